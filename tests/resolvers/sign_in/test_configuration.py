"""What the operator writes about providers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from resolvers.sign_in.configuration import ProviderSettings, check_redirects, read_providers
from settings import SettingsError
from tests.application import test_settings
from tests.clock import SettableClock
from wiring import create_providers

SECRET = "s3cr3t-of-the-client"
GOOD: dict[str, Any] = {
    "issuer": "https://id.example/realms/shop",
    "client_id": "groundql",
    "client_secret": SECRET,
}


def read(production: bool = False, **changes: Any) -> ProviderSettings:
    text = json.dumps({"keycloak": {**GOOD, **changes}})
    (found,) = read_providers(text, production=production)
    return found


def test_a_provider(tmp_path: Path) -> None:
    """Three settings are enough; a secret may stand in a file, and nothing is trusted at first."""
    assert read() == ProviderSettings(
        "keycloak", GOOD["issuer"], "groundql", SECRET, label="keycloak"
    )
    assert (read().link_verified_email, read().assume_email_verified) == (False, False)
    assert SECRET not in repr(read())
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    from_file = read(client_secret="", client_secret_file=str(file), label="Our company")
    assert (from_file.client_secret, from_file.label) == (SECRET, "Our company")
    assert read(client_secret="").client_secret == ""
    assert read(scopes=["openid", "email"]).scopes == ("openid", "email")
    assert read_providers("  ", production=True) == ()


def test_rules_of_a_sign_in() -> None:
    """Without any, nothing more is asked for; the younger of two ages counts."""
    plain = read()
    assert (plain.required_acr, plain.required_amr, plain.oldest_sign_in) == ((), (), None)
    strict = read(required_acr=["gold"], required_amr=["mfa"], max_age=600, min_rsa_bits=3072)
    assert (strict.required_acr, strict.required_amr) == (("gold",), ("mfa",))
    assert (strict.oldest_sign_in, strict.min_rsa_bits) == (600, 3072)
    assert read(max_age=600, login_seconds=300).oldest_sign_in == 300
    assert read(login_seconds=3600).oldest_sign_in == 3600


@pytest.mark.parametrize(
    "changes",
    [
        {"required_acr": "gold"},
        {"required_acr": ["gold silver"]},
        {"required_amr": [1]},
        {"max_age": 59},
        {"max_age": True},
        {"max_age": "600"},
        {"login_seconds": 31_536_001},
        {"login_seconds": 60.5},
        {"min_rsa_bits": 1024},
        {"max_age": None},
    ],
)
def test_rules_that_are_none(changes: dict[str, Any]) -> None:
    """The sentence names the member."""
    with pytest.raises(ValueError, match=f"^{next(iter(changes))} of keycloak must be"):
        read(**changes)


@pytest.mark.parametrize(
    ("issuer", "production", "accepted"),
    [
        ("https://id.example", True, True),
        ("https://10.0.0.7:8443/realms/x", True, True),
        ("http://127.0.0.1:8080", False, True),
        ("http://localhost:8080/realms/x", False, True),
        ("http://[::1]:8080", False, True),
        ("http://127.0.0.1:8080", True, False),
        ("http://id.example", False, False),
        ("http://localhost.evil.example", False, False),
        ("https://id.example?x", False, False),
        ("https://id.example#x", False, False),
        ("https://user:word@id.example", False, False),
        ("https://id.example:99999", False, False),
        ("https://[id.example", False, False),
        ("https://id.example/\nx", False, False),
        ("https://", False, False),
        ("id.example", False, False),
        ("", False, False),
    ],
)
def test_issuers(issuer: str, production: bool, accepted: bool) -> None:
    """Only https; http with this machine alone, and not in production."""
    if accepted:
        assert read(production, issuer=issuer).issuer == issuer
    else:
        with pytest.raises(ValueError, match="issuer of keycloak must be"):
            read(production, issuer=issuer)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SECRET, "cannot be read as JSON"),
        (f'["{SECRET}"]', "must be an object"),
        (json.dumps({str(n): GOOD for n in range(21)}), "at most 20"),
        (json.dumps({"Key Cloak": GOOD}), "a provider's name has"),
        (json.dumps({"a": SECRET}), "a must be an object"),
        (json.dumps({"a": {**GOOD, "secret": SECRET}}), "a has secret, which is no setting"),
        (json.dumps({"a": {**GOOD, "client_secret": 7}}), "client_secret of a must be a text"),
        (json.dumps({"a": {**GOOD, "link_verified_email": "no"}}), "must be true or false"),
        (json.dumps({"a": {**GOOD, "scopes": ["email"]}}), "with openid among them"),
        (json.dumps({"a": {**GOOD, "scopes": ["openid", "a b"]}}), "with openid among them"),
        (json.dumps({"a": {**GOOD, "client_id": ""}}), "client_id of a is missing"),
        (json.dumps({"a": {**GOOD, "client_secret_file": "x"}}), "one is enough"),
    ],
)
def test_what_cannot_be_used(text: str, said: str) -> None:
    """The sentence says what to change and holds no secret."""
    with pytest.raises(ValueError, match=said) as caught:
        read_providers(text, production=False)
    assert SECRET not in str(caught.value)


def test_files_of_secrets(tmp_path: Path) -> None:
    """One that is not there or empty is said so."""
    with pytest.raises(ValueError, match="cannot be read"):
        read(client_secret="", client_secret_file=str(tmp_path / "none"))
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ValueError, match="is empty"):
        read(client_secret="", client_secret_file=str(tmp_path / "empty"))


@pytest.mark.parametrize(
    ("uri", "accepted"),
    [
        ("https://shop.example/signed-in", True),
        ("https://shop.example/signed-in?from=oidc", True),
        ("http://127.0.0.1:3000/back", True),
        ("http://localhost/back", True),
        ("com.example.app:/signed-in", True),
        ("http://shop.example/signed-in", False),
        ("javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("https://shop.example/#x", False),
        ("https:///x", False),
        ("https://[x", False),
        ("/signed-in", False),
        ("https://shop.example/" + "x" * 2000, False),
    ],
)
def test_where_people_come_back_to(uri: str, accepted: bool) -> None:
    """A web page over https, this machine, or an app's own scheme."""
    if accepted:
        check_redirects((uri,))
    else:
        with pytest.raises(ValueError, match="each must be an address"):
            check_redirects((uri,))


def test_the_server_s_settings(tmp_path: Path) -> None:
    """They are checked at the start, and shown without the secret."""
    text = json.dumps({"keycloak": GOOD})
    settings = test_settings(
        tmp_path,
        "",
        oidc_providers=text,
        oidc_redirect_uris=" https://a.example/x, https://b.example/ ",
    )
    known = create_providers(settings, SettableClock())
    assert known.redirect_uris == {"https://a.example/x", "https://b.example/"}
    assert known.issuers == [GOOD["issuer"]]
    assert SECRET not in repr(settings)
    for changes, said in (
        ({"oidc_providers": "{"}, "OIDC_PROVIDERS is wrong: it cannot be read as JSON."),
        ({"oidc_redirect_uris": "x"}, "OIDC_REDIRECT_URIS is wrong: each must be"),
        ({"oidc_providers": text}, "OIDC_REDIRECT_URIS must be set when OIDC_PROVIDERS is."),
    ):
        with pytest.raises(SettingsError, match=said):
            create_providers(test_settings(tmp_path, "", **changes), SettableClock())
