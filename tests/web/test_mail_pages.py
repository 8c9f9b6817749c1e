"""The pages that mails link to."""

from __future__ import annotations

import re
from html import unescape

import pytest
from graphql import build_schema, parse, validate

from schema.root import build_schema as make_schema
from tests.application import Running
from texts import Language, translate
from texts.catalogue import CATALOGUE
from web.mail_pages import FAILED, MAIL_PAGES, UNREACHABLE, MailPage

pytestmark = pytest.mark.anyio

SCHEMA = build_schema(make_schema().as_str())


@pytest.mark.parametrize("page", MAIL_PAGES, ids=lambda page: page.path)
def test_its_mutation_fits_the_schema(page: MailPage) -> None:
    """And its success is a type of the result, with the fields that its text has places for."""
    assert validate(SCHEMA, parse(page.mutation)) == []
    assert f"... on {page.success} " in page.mutation or page.success == "Acknowledged"
    for field in re.findall(r"\{(\w+)\}", page.done):
        assert f" {field} " in page.mutation


@pytest.mark.parametrize("page", MAIL_PAGES, ids=lambda page: page.path)
@pytest.mark.parametrize("language", [Language.DE, Language.ES, Language.FR])
def test_all_its_texts_are_translated(page: MailPage, language: Language) -> None:
    """None of the English ones is left."""
    html = unescape(page.html(language))
    assert f'<html lang="{language}">' in html
    shown = (page.title, page.intro, page.label, page.button, page.done, page.half)
    for text in filter(None, (*shown, FAILED, UNREACHABLE)):
        assert text in CATALOGUE
        assert translate(text, language) in html
        assert text not in html


def test_texts_cannot_end_an_attribute() -> None:
    """A text with quotes and brackets stays a text."""
    page = MAIL_PAGES[0]
    odd = MailPage(
        **{name: getattr(page, name) for name in MailPage.__slots__} | {"done": '"><b>&'}
    )
    assert '"><b>' not in odd.html(Language.EN)
    assert 'data-done="&quot;&gt;&lt;b&gt;&amp;"' in odd.html(Language.EN)


async def test_a_page_speaks_the_browser_s_language(scripted: Running) -> None:
    """The one of ours that it wants most, else English."""
    base = scripted.url.removesuffix("/graphql")
    for header, title in (
        ("fr-CH, de;q=0.9", "Confirmer votre adresse"),
        ("it, en;q=0.5", "Confirm your address"),
        ("", "Confirm your address"),
    ):
        page = await scripted.http.get(f"{base}/verify-email", headers={"accept-language": header})
        assert f"<h1>{title}</h1>" in page.text
        assert page.headers["vary"].lower().count("accept-language") == 1
        assert page.headers["cache-control"] == "no-store"
