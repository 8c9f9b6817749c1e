"""Which licences `make sbom` refuses."""

from __future__ import annotations

import re
import runpy
from importlib.metadata import PackageMetadata, PackageNotFoundError, distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SBOM = runpy.run_path(str(ROOT / "tools" / "sbom.py"))


@pytest.mark.parametrize(
    ("licence", "refused"),
    [
        ("MIT", False),
        ("LGPL-3.0-only", False),
        ("GNU Lesser General Public License v2 (LGPLv2)", False),
        ("GNU General Public License v3 or later (GPLv3+); MIT License", False),
        ("Apache-2.0 OR GPL-2.0-only", False),
        ("GPL-3.0-or-later", True),
        ("AGPL-3.0-only", True),
        ("GNU General Public License v3 (GPLv3)", True),
        ("GNU Affero General Public License v3", True),
        ("", False),
    ],
)
def test_licences(licence: str, refused: bool) -> None:
    """Of several that a package offers one is enough."""
    assert SBOM["is_refused"](licence) is refused


def test_nothing_that_is_installed_is_refused() -> None:
    """Of all that the lock file names, and of what the tests add, no licence is GPL or AGPL."""
    locked = (ROOT / "requirements.lock").read_text("utf-8")
    names = re.findall(r"^([A-Za-z0-9._-]+)==", locked, re.MULTILINE)
    assert len(names) > 50
    refused: dict[str, list[str]] = {}
    for name in [*names, "torch"]:
        try:
            metadata = distribution(name).metadata
        except PackageNotFoundError:
            continue  # for another platform
        given = [metadata["License-Expression"] or "", *licences_of(metadata)]
        named = [one for one in given if one]
        if named and all(SBOM["is_refused"](one) for one in named):
            refused[name] = named
    assert refused == {}


def licences_of(metadata: PackageMetadata) -> list[str]:
    """From the classifiers, else the first line of the old field."""
    classifiers = [
        one.rpartition(" :: ")[2]
        for one in metadata.get_all("Classifier") or ()
        if one.startswith("License ::")
    ]
    return classifiers or [(metadata["License"] or "").strip().partition("\n")[0]]
