"""The language in which a person is spoken to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.outbox_mail import OutboxMail
from models.user import Role
from rag.embedding.base import Embedder
from rag.errors import ProviderTimeout
from rag.generation.scripted import ScriptedGenerator
from tests.application import PASSWORD, Running, running_app, test_settings
from tests.schema.test_documents import upload

pytestmark = pytest.mark.anyio

SET = "mutation($l: Language) { setLanguage(language: $l) { id language } }"
RENAME = """mutation { createSession(title: "") { __typename
  ... on InvalidInput { field message } } }"""
REGISTER = """mutation($i: RegisterInput!) { register(input: $i) { __typename
  ... on InvalidInput { field message } } }"""
SHARE = """mutation($id: ID!, $e: String!) { shareSession(id: $id, email: $e, role: READER) {
  __typename } }"""
ASK = """mutation { ask(input: {content: "How long can I return an item?"}) {
  ... on SendMessagePayload { reply { status failure } } } }"""


async def in_language(
    app: Running, query: str, language: str, token: str | None = None, **variables: Any
) -> Any:
    """The one field of an operation that is sent with Accept-Language."""
    app.http.headers["accept-language"] = language
    (result,) = (await app.data(query, variables, token)).values()
    return result


async def test_problems_are_told_in_the_language_of_the_person(offline: Running) -> None:
    """The setting counts first, then the browser, then English; errors for developers stay
    English."""
    token = await offline.login()
    title = 'mutation { renameSession(id: "x", title: "y") { ... on NotFound { message } } }'
    for header, message in (
        ("", "There is no such session."),
        ("it", "There is no such session."),
        ("de-AT", "Diese Sitzung gibt es nicht."),
        ("es", "Esa sesión no existe."),
        ("fr", "Cette session n'existe pas."),
    ):
        assert await in_language(offline, title, header, token) == {"message": message}
    chosen = await in_language(offline, SET, "es", token, l="DE")
    assert chosen["language"] == "DE"
    assert (await offline.data("{ me { language } }", token=token))["me"] == {"language": "DE"}
    assert (await in_language(offline, title, "fr", token))["message"].startswith("Diese Sitzung")
    assert (await in_language(offline, SET, "es", token))["language"] is None
    assert (await in_language(offline, title, "fr", token))["message"].startswith("Cette session")
    assert await offline.code(SET, {"l": "DE"}) == "UNAUTHENTICATED"
    refused = await offline.post("{ sessions { edges { cursor } } }")
    assert refused["errors"][0]["message"] == "Log in first: this needs an access token."


async def test_a_wrong_address_is_told_in_four_languages(offline: Running) -> None:
    """What the library says about it exists in English only: others get one sentence for all."""
    wrong = {"email": "a..b@example.com", "password": PASSWORD}
    german = await in_language(offline, REGISTER, "de", i=wrong)
    assert german["message"] == "Die E-Mail-Adresse ist ungültig."
    english = await in_language(offline, REGISTER, "en", i=wrong)
    assert english["message"] not in (german["message"], "The email address is not valid.")
    short = {"email": "a@example.com", "password": "x"}
    french = await in_language(offline, REGISTER, "fr", i=short)
    assert french["message"] == "Le mot de passe doit avoir au moins 8 caractères."


async def test_mails_are_in_the_language_of_their_reader(offline: Running) -> None:
    """A new account gets its mail in the browser's language; who has chosen one gets that, whoever
    writes; who has not is invited in the inviter's."""
    await in_language(
        offline, REGISTER, "de", i={"email": "anna@example.com", "password": PASSWORD}
    )
    offline.http.headers["accept-language"] = "en"
    spanish = await offline.login("bea@example.com")
    await in_language(offline, SET, "en", spanish, l="ES")
    french = await offline.login("cem@example.com")
    await in_language(offline, SET, "en", french, l="FR")
    session = await in_language(
        offline, "mutation { createSession { ... on ChatSession { id } } }", "en", french
    )
    for address in ("bea@example.com", "dan@example.com"):
        await in_language(offline, SHARE, "en", french, id=session["id"], e=address)
    offline.services.store.bind()
    subjects = {mail.to: mail.subject for mail in await OutboxMail.all().order_by("id")}
    assert subjects == {
        "anna@example.com": "Bitte bestätigen Sie Ihre E-Mail-Adresse",
        "bea@example.com": "Se compartió una conversación con usted",
        "cem@example.com": "Please confirm your email address",
        "dan@example.com": "Une conversation a été partagée avec vous",
    }


async def test_a_failure_is_told_in_the_language_of_its_reader(
    sqlite_url: str, tmp_path: Path, embedder: Embedder
) -> None:
    """It is stored once and translated for whoever reads it."""
    generator = ScriptedGenerator([ProviderTimeout("late")])
    settings = test_settings(tmp_path, sqlite_url)
    async with running_app(settings, embedder=embedder, generator=generator) as app:
        token = await app.login()
        answer = await in_language(app, ASK, "es", token)
    assert answer["reply"] == {
        "status": "FAILED",
        "failure": "El modelo de lenguaje tardó demasiado en responder. Inténtelo de nuevo.",
    }


async def test_a_problem_that_names_a_file_is_told_in_four_languages(offline: Running) -> None:
    """Whatever the file is called, blanks and braces and all."""
    token = await offline.login("eve@example.com", Role.EDITOR)
    for header, message in (
        ("en", "our {new} plan.md: the file is empty."),
        ("de", "our {new} plan.md: Die Datei ist leer."),
        ("es", "our {new} plan.md: el archivo está vacío."),
        ("fr", "our {new} plan.md : le fichier est vide."),
    ):
        offline.http.headers["accept-language"] = header
        refused = await upload(offline, token, "our {new} plan.md", b"")
        assert refused["problem"] == message
