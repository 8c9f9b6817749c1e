"""myjwt forges tokens from a real one, against a server for each algorithm that signs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from resolvers.signing_keys import key_pair
from tests.attack.conftest import Target, run_tool, target, tool

# The tool's own functions, each with what an attacker has: a token, our public key, a word list.
FORGE = r"""
import json, sys
from myjwt import modify_jwt, utils, vulnerabilities

token, public, words = sys.argv[1:4]
head, body, signature = token.split(".")
guesses = open(words, encoding="utf-8").read().split()


def with_hmac(parts, key="", name="HS256"):
    return modify_jwt.signature(modify_jwt.change_alg(parts, name), key)


plain = lambda: utils.jwt_to_json(token)
made = [vulnerabilities.none_vulnerability(token)]
if public:
    made.append(vulnerabilities.confusion_rsa_hmac(token, public))
for injection in ("../../../../../../dev/null", "x' UNION SELECT ''; -- ", "/dev/null", ""):
    made.append(vulnerabilities.inject_sql_kid(with_hmac(plain()), injection))
for name in ("HS256", "HS384", "HS512"):
    made += [with_hmac(plain(), word, name) for word in guesses]
for key, value in (("role", "ADMIN"), ("sub", "00000000-0000-0000-0000-000000000000")):
    changed = utils.encode_jwt(modify_jwt.add_payload(plain(), {key: value}))
    made += [changed + "." + signature, with_hmac(modify_jwt.add_payload(plain(), {key: value}))]
for header in ({"jku": "http://127.0.0.1:9/"}, {"x5u": "http://127.0.0.1:9/"}, {"jwk": {}}):
    changed = utils.encode_jwt(modify_jwt.add_header(plain(), header))
    made += [changed + "." + signature, with_hmac(modify_jwt.add_header(plain(), header))]
key = "" if public else vulnerabilities.bruteforce_wordlist(token, words)
print(json.dumps({"made": made, "key": key}))
"""
WORDS = ("secret", "password", "changeme", "groundql", "jwt", "key", "0", "admin", "token")


def make_key(name: str) -> bytes:
    made = (
        ed25519.Ed25519PrivateKey.generate()
        if name == "EdDSA"
        else rsa.generate_private_key(public_exponent=65537, key_size=3072)
    )
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture(params=["HS256", "RS256", "EdDSA"])
def signing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Target, Path | None]]:
    """A server, and the file of the public key if there is one."""
    if request.param == "HS256":
        with target(tmp_path / "server") as made:
            yield made, None
        return
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    private.write_bytes(make_key(request.param))
    private.chmod(0o600)
    key = key_pair(private.read_bytes()).public
    public.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with target(tmp_path / "server", SIGNING_KEY_FILE=str(private)) as made:
        yield made, public


def test_no_forged_token_is_accepted(signing: tuple[Target, Path | None], tmp_path: Path) -> None:
    """0 of them reach anything, none makes the server stumble, and the tool finds no key."""
    server, public = signing
    real = server.log_in("ann")
    me = "{ me { email } }"
    assert server.data(me, real) == {"me": {"email": "ann@example.com"}}
    words = tmp_path / "words.txt"
    words.write_text("\n".join(WORDS), encoding="utf-8")
    ended = run_tool(
        tool("python"), "-c", FORGE, real, public or "", words, folder=tmp_path, seconds=60
    )
    assert ended.returncode == 0, ended.stderr
    forged = json.loads(ended.stdout)
    assert forged["key"] == ""
    assert len(forged["made"]) >= 40
    assert len(set(forged["made"])) == len(forged["made"])
    for token in forged["made"]:
        answer = server.post(me, token)
        assert answer.get("data") in (None, {"me": None}), token
        (error,) = answer.get("errors") or [{"extensions": {"code": "none"}}]
        assert error["extensions"]["code"] in ("UNAUTHENTICATED", "none")
    assert server.data(me, real) == {"me": {"email": "ann@example.com"}}
    server.never_stumbled()
