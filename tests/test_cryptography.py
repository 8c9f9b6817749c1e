"""docs/cryptography.md names every module that uses cryptography, and none else."""

from __future__ import annotations

import re
from pathlib import Path

from resolvers.sign_in.id_token import ALGORITHMS
from resolvers.sign_in.id_token import MIN_RSA_BITS as MIN_PROVIDER_BITS
from resolvers.signing_keys import MIN_RSA_BITS
from tests.test_no_fetching import ROOT, imported, modules

LIBRARIES = {
    *("argon2", "authlib", "cryptography", "hashlib", "hmac", "joserfc", "jwt", "pyotp", "random"),
    *("secrets", "ssl", "standardwebhooks"),
}
TEXT = (ROOT / "docs" / "cryptography.md").read_text("utf-8")


def uses(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(path)} & LIBRARIES


def test_every_module_is_in_the_inventory() -> None:
    """One that begins to use cryptography fails this test until it is listed."""
    used = {str(path.relative_to(ROOT)) for path in modules() if uses(path)}
    listed = set(re.findall(r"`([\w/]+\.py)`", TEXT.partition("## Keys")[0]))
    listed = {path for path in listed if not path.startswith("tests/")}
    assert used - listed == set()
    assert listed - used <= {"resolvers/sign_in/provider.py"}  # it hands PKCE to Authlib


def test_no_weak_algorithm_is_named_in_the_code() -> None:
    """The policy forbids them, but for what a public file is made with."""
    weak = re.compile(r"\bmd5\b|\bsha1\b|\bDES\b|\bARC4\b|modes\.ECB|modes\.CBC|PKCS1v15\(", re.I)
    for path in modules():
        if uses(path):
            text = path.read_text("utf-8").replace(
                "sha1(password.encode(), usedforsecurity=False)", ""
            )
            assert not weak.search(text), path


def test_the_sizes_and_algorithms_are_those_of_the_code() -> None:
    """As the inventory writes them."""
    assert f"RSA of {MIN_RSA_BITS:,} bits at least" in TEXT
    assert f"RSA of {MIN_PROVIDER_BITS:,} bits at least" in TEXT
    for name in ALGORITHMS:
        assert name in TEXT
