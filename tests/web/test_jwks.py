"""The public keys that others verify our tokens with, and the settings that name the keys."""

from __future__ import annotations

from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from rag.embedding.fake import FakeEmbedder
from resolvers.clock import SystemClock
from settings import SettingsError
from tests.application import running_app, test_settings
from tests.resolvers.test_token_forgery import pem
from wiring import create_tokens

pytestmark = pytest.mark.anyio


async def test_a_token_is_verified_from_outside(
    anyio_backend: str, empty_database_url: str, tmp_path: Path
) -> None:
    """With nothing but /.well-known/jwks.json; and it works in the API."""
    (tmp_path / "kb").mkdir()
    (tmp_path / "key.pem").write_bytes(pem(ed25519.Ed25519PrivateKey.generate()))
    settings = test_settings(
        tmp_path, empty_database_url, signing_key_file=str(tmp_path / "key.pem")
    )
    async with running_app(settings, embedder=FakeEmbedder()) as app:
        token = await app.login()
        response = await app.http.get(app.url.replace("/graphql", "/.well-known/jwks.json"))
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/jwk-set+json"
        assert response.headers["cache-control"] == "public, max-age=300"
        keys = jwt.PyJWKSet.from_dict(response.json())
        kid = jwt.get_unverified_header(token)["kid"]
        claims = jwt.decode(token, keys[kid], algorithms=["EdDSA"], audience="groundql-api")
        me = await app.data("{ me { id email } }", token=token)
        assert me["me"]["email"] == "ada@example.com"
        assert claims["typ"] == "access"


def test_keys_that_cannot_be_used(tmp_path: Path) -> None:
    """The start is refused with one sentence that names the setting or the file."""
    former = "0123456789abcdef0123456789abcdeX@2026-12-01T00:00Z"
    good = test_settings(tmp_path, "", former_secret_keys=former)
    assert [end.isoformat() for _, end in good.former_secrets] == ["2026-12-01T00:00:00+00:00"]
    create_tokens(good, SystemClock())
    for changes, message in (
        ({"secret_key": "secret" * 8}, "SECRET_KEY or FORMER_SECRET_KEYS is wrong: the secret"),
        ({"signing_key_file": str(tmp_path / "none.pem")}, "none.pem cannot be used: No such"),
        (
            {"former_signing_key_files": f"{tmp_path / 'none.pem'}@2026-12-01T00:00Z"},
            "none.pem cannot be used: No such",
        ),
    ):
        with pytest.raises(SettingsError, match=message):
            create_tokens(test_settings(tmp_path, "", **changes), SystemClock())
    (tmp_path / "bad.pem").write_text("PRIVATE")
    with pytest.raises(SettingsError, match=r"bad\.pem cannot be used: it is not a private key"):
        create_tokens(
            test_settings(tmp_path, "", signing_key_file=str(tmp_path / "bad.pem")), SystemClock()
        )
