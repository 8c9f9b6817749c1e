from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag import errors
from rag.generation import retrying
from resolvers import mail_texts, rates
from resolvers.fresh_login import SIGN_IN_AGAIN
from resolvers.replies import log, run
from schema.errors import INVALID_EMAIL
from schema.scopes import SET_UP_FIRST
from texts import Language, counted, fill, preferred_language, translate
from texts.catalogue import CATALOGUE, OTHERS, PLACE

ROOT = Path(__file__).parent.parent.parent
# The place of the message among the arguments of each problem.
PROBLEMS = {
    "InvalidInput": 1,
    "InvalidCredentials": 0,
    "InvalidToken": 0,
    "SecondFactorRequired": 0,
    "SignInFailed": 0,
    "NotFound": 0,
    "RateLimited": 0,
}


def template(node: ast.expr) -> list[str]:
    """The entries of the catalogue that an expression may be made from. A text with places that
    `fill` has not made could not be translated: it is given as its code, which is no entry."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr():
            return [ast.unparse(node)]
        case ast.Call(func=ast.Name(id="fill"), args=[ast.Constant(value=str(text))]):
            named = sorted(str(keyword.arg) for keyword in node.keywords)
            return [text if sorted(set(PLACE.findall(text))) == named else ast.unparse(node)]
        case ast.Call(func=ast.Name(id="counted"), args=[one, ast.Constant(value=str(text))]):
            named = sorted(str(keyword.arg) for keyword in node.keywords)
            many = text if sorted(set(PLACE.findall(text))) == named else ast.unparse(node)
            return [*template(one), many]
        case ast.IfExp(body=body, orelse=orelse):
            return [*template(body), *template(orelse)]
    return []


def said_in_code() -> set[str]:
    """Every message that the use cases and the schema give to a problem."""
    found: set[str] = set()
    for folder in ("resolvers", "schema"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call):
                    continue
                function = node.func
                name = function.attr if isinstance(function, ast.Attribute) else ""
                name = function.id if isinstance(function, ast.Name) else name
                place = PROBLEMS.get(name)
                if place is None or len(node.args) <= place:
                    continue
                texts = template(node.args[place])
                found |= {f"There is no such {t}." if name == "NotFound" else t for t in texts}
    return found


def test_every_problem_is_in_the_catalogue() -> None:
    """A sentence that is said somewhere and not translated fails here."""
    said = said_in_code()
    assert len(said) > 40
    assert said - CATALOGUE.keys() == set()


def test_every_failure_and_mail_is_in_the_catalogue() -> None:
    """So are the reasons of failed replies, the defaults of problems, and the words of mails."""
    failures = {
        kind.user_message
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.GenerationError)
    }
    failures |= {retrying.BLOCKED_ANSWER, retrying.BLOCKED_QUESTION, retrying.QUOTA_USED_UP}
    failures |= {run.NO_KNOWLEDGE, run.FAILURE, run.INTERRUPTED, log.UNSTORABLE, INVALID_EMAIL}
    failures |= {SIGN_IN_AGAIN, SET_UP_FIRST}
    failures |= {rates.TOO_FAST, rates.BUDGET_SPENT}
    assert failures - CATALOGUE.keys() == set()
    for language in OTHERS:
        for failure in failures:
            assert translate(failure, language) != failure
        for mail in (
            mail_texts.verification("https://x", "a@b.example", "t", language),
            mail_texts.account_exists("https://x", "a@b.example", language),
            mail_texts.password_reset("https://x", "a@b.example", "t", language),
            mail_texts.email_change("https://x", "a@b.example", "t", language),
            mail_texts.email_changed("https://x", "a@b.example", language),
            mail_texts.account_deleted("https://x", "a@b.example", language),
            mail_texts.password_changed("https://x", "a@b.example", language),
            mail_texts.shared("https://x", "a@b.example", language),
            mail_texts.invitation("https://x", "a@b.example", language),
        ):
            assert mail.subject not in CATALOGUE
            assert "Someone" not in mail.text
            assert "If " not in mail.text
            assert f'<html lang="{language}">' in mail.html
            assert translate(mail_texts.COPY, language) in mail.html


@pytest.mark.parametrize("english", [text for text in CATALOGUE if "{seconds}" in text])
def test_one_second_has_its_own_sentence(english: str) -> None:
    """Nobody is told to wait "1 seconds": for each sentence with seconds there is one for one."""
    one = english.replace("{seconds} seconds", "one second")
    assert counted(one, english, seconds=1) == one
    assert counted(one, english, seconds=2) == english.format(seconds=2)
    assert counted(one, english, seconds=0) == english.format(seconds=0)
    words = ("eine Sekunde.", "un segundo.", "une seconde.")
    plurals = ("2 Sekunden.", "2 segundos.", "2 secondes.")
    for language, word, plural in zip(OTHERS, words, plurals, strict=True):
        assert translate(counted(one, english, seconds=1), language).endswith(word)
        assert translate(counted(one, english, seconds=2), language).endswith(plural)


@pytest.mark.parametrize("english", CATALOGUE)
def test_a_sentence_has_all_languages_with_the_same_places(english: str) -> None:
    """None is empty or English, and what is filled in is filled in everywhere."""
    translations = CATALOGUE[english]
    assert len(translations) == len(OTHERS)
    for translation in translations:
        assert translation.strip()
        assert translation != english
        assert sorted(PLACE.findall(translation)) == sorted(PLACE.findall(english))


@pytest.mark.parametrize(
    ("sentence", "language", "said"),
    [
        ("The message is empty.", Language.DE, "Die Nachricht ist leer."),
        ("The message is empty.", Language.EN, "The message is empty."),
        ("The message is full.", Language.DE, "The message is full."),
        (
            fill(
                "{field} is too long: {length} characters, at most {maximum} are allowed.",
                field="title",
                length=300,
                maximum=200,
            ),
            Language.ES,
            "title es demasiado largo: 300 caracteres; se permiten como máximo 200.",
        ),
        (
            fill("{name}: the file is empty.", name="our {new}: plan.md"),
            Language.DE,
            "our {new}: plan.md: Die Datei ist leer.",
        ),
        (
            fill("{name}: the file is empty.", name="our {new} plan.md"),
            Language.EN,
            "our {new} plan.md: the file is empty.",
        ),
        (fill("{name}: the file is full.", name="x"), Language.DE, "x: the file is full."),
    ],
)
def test_a_sentence_is_found_with_what_is_filled_in(
    sentence: str, language: Language, said: str
) -> None:
    """What the catalogue does not have stays English; what is given is a plain text."""
    translated = translate(sentence, language)
    assert translated == said
    assert type(translated) is str


@pytest.mark.parametrize("english", [english for english in CATALOGUE if PLACE.search(english)])
def test_what_is_filled_in_may_be_any_text(english: str) -> None:
    """Blanks and all: every value stands in the translation where its place is."""
    values = {name: f"<{name} of it>" for name in PLACE.findall(english)}
    for number, language in enumerate(OTHERS):
        pieces = PLACE.split(CATALOGUE[english][number])
        expected = [values[piece] if at % 2 else piece for at, piece in enumerate(pieces)]
        assert translate(fill(english, **values), language) == "".join(expected)


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("de-CH, en;q=0.8", "de"),
        ("it, fr;q=0.5, es;q=0.7", "es"),
        ("en-GB,de;q=0.9", "en"),
        ("fr;q=0, de;q=0.1", "de"),
        ("it", None),
        ("*", None),
        ("", None),
        ("de;q=x, es;q=2, fr", "fr"),
        ("DE ; Q=0.3", "de"),
    ],
)
def test_the_browser_says_which_language(header: str, language: str | None) -> None:
    """The best quality of ours counts, the first of equals; nonsense is skipped."""
    assert preferred_language(header) == language


@given(st.text(alphabet="deq=;,.-019 *\x00é"))
def test_any_header_is_read(header: str) -> None:
    """It never fails."""
    assert preferred_language(header) in (None, *Language)
