"""Files that attack the reader, given to the real process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from rag.errors import LoadingError
from rag.loading import ParseLimits
from rag.loading.parser import DocumentParser
from tests.rag.loading.attacks import (
    FAR_PROLOGUE,
    LAUGHS,
    OLD_OFFICE,
    PNG,
    SCAN,
    ZIP,
    book_with,
    crowded_archive,
    external,
    form_loop,
    inflating_word_file,
    lying_archive,
    nested_mail,
    nested_pdf,
    nested_word_file,
    page_loop,
    sheet_cell,
    sheet_with,
    word_with,
)
from tests.rag.loading.writers import archive, manual_pdf, word_file, workbook

pytestmark = pytest.mark.anyio

ENTITIES = "the file declares entities, which no document needs and attacks use; save it anew."
DAMAGED_ZIP = "the file is damaged and cannot be unpacked; save it anew."
NO_WORD = "this is not a Word document, or it is damaged; save it anew."
NO_PAGES = "the PDF is damaged: its pages cannot be read; save it anew."
SECRET = external("file:///etc/passwd")
TOO_MUCH = (
    "the file is damaged, or needs more than 1024 MB of memory to be read. Save it anew or split "
    "it into smaller files."
)
TOO_LONG = "; the file may be damaged. Save it anew or split it into smaller files."


@pytest.fixture
async def parser() -> AsyncIterator[DocumentParser]:
    parser = DocumentParser()
    yield parser
    await parser.close()


async def refusal(parser: DocumentParser, name: str, data: bytes) -> str:
    """Why a file is refused, without its name."""
    with pytest.raises(LoadingError) as caught:
        await parser.parse(name, data)
    message = str(caught.value)
    assert message.startswith(f"{name}: ")
    return message.removeprefix(f"{name}: ")


async def test_each_attack_is_refused_in_a_sentence(parser: DocumentParser) -> None:
    """Bombs, loops, encryption, wrong names and damage: what is wrong and what to do."""
    expected = {
        ("laughs.docx", word_with(LAUGHS, "&a9;")): ENTITIES,
        ("laughs.xlsx", sheet_with(LAUGHS, sheet_cell("&a9;"))): ENTITIES,
        ("laughs.epub", book_with(LAUGHS, "&a9;")): ENTITIES,
        ("late.docx", word_with(FAR_PROLOGUE + LAUGHS, "&a9;")): ENTITIES,
        ("late.epub", book_with(FAR_PROLOGUE + LAUGHS, "&a9;")): ENTITIES,
        ("entity.docx", word_with(SECRET, "&a9;")): ENTITIES,
        ("entity.xlsx", sheet_with(SECRET, sheet_cell("&a9;"))): ENTITIES,
        ("entity.epub", book_with(SECRET, "&a9;")): ENTITIES,
        ("lying.docx", lying_archive(inflating_word_file(3), 1_000)): DAMAGED_ZIP,
        ("cut.docx", word_file()[:9_000]): DAMAGED_ZIP,
        ("path.docx", archive({"[Content_Types].xml": "<a/>", "../../x": "y"})): (
            "the file is an archive with a path that leads out of it; save it anew."
        ),
        ("crowd.xlsx", crowded_archive(5_000)): (
            "the file is an archive of more than 5000 parts, as no document is; save it anew."
        ),
        ("deep.docx", nested_word_file(50_000)): NO_WORD,
        ("deep.jsonl", b'{"text":' + b"[" * 50_000 + b"]" * 50_000 + b"}"): (
            "line 1: this is not a JSON object in one line."
        ),
        ("deep.html", b"<div>" * 5_000): "the HTML is nested too deeply.",
        ("deep.eml", nested_mail(2_000)): "the file is nested too deeply to be read.",
        ("deep.pdf", nested_pdf(20_000)): "the PDF is damaged; save it anew.",
        ("loop.pdf", page_loop(1_000)): NO_PAGES,
        ("endless.pdf", page_loop(100_000_000)): "the PDF is damaged; save it anew.",
        ("locked.pdf", manual_pdf(password="x")): (
            "the PDF is protected by a password; save it without one."
        ),
        ("scan.pdf", SCAN): (
            "the PDF has no text; it may be scanned. Run text recognition (OCR) over it first."
        ),
        ("cut.pdf", manual_pdf()[:800]): "the PDF is damaged; save it anew.",
        ("image.pdf", PNG): (
            "this is not a PDF, whatever its name says; give it the right suffix."
        ),
        ("zip.pdf", ZIP): "this is not a PDF, whatever its name says; give it the right suffix.",
        ("image.docx", PNG): (
            "this is a PNG image, not a Word document; give it the right suffix."
        ),
        ("text.docx", b"hello"): (
            "this is not a Word document, whatever its name says; save it anew as one."
        ),
        ("old.docx", OLD_OFFICE): (
            "the file is protected by a password or in the old binary Office format; save it "
            "without a password in the current format."
        ),
        ("zip.docx", ZIP): NO_WORD,
        ("sheet.docx", workbook({"A": [["b"]]})): NO_WORD,
        ("zip.epub", ZIP): (
            "this is not an EPUB book, whatever its name says; save it anew as one."
        ),
        ("empty.pdf", b""): "the file is empty; there is no text to search in.",
    }  # fmt: skip
    found = {key: await refusal(parser, *key) for key in expected}
    assert {name: text for (name, _), text in found.items()} == {
        name: text for (name, _), text in expected.items()
    }


async def test_no_entity_reaches_the_network(parser: DocumentParser) -> None:
    """Not even one whose declaration is so written that it is not refused at sight."""
    visitors: list[object] = []

    async def visited(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visitors.append(writer.get_extra_info("peername"))
        writer.close()

    server = await asyncio.start_server(visited, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    address = f"http://127.0.0.1:{port}/"
    html = f'<link rel="stylesheet" href="{address}"><img src="{address}"><p>Text'
    assert [one.content for one in await parser.parse("a.html", html.encode())] == ["Text\n"]
    for name, data in (
        ("a.docx", word_with(external(address), "&a9;")),
        ("a.epub", book_with(external(address), "&a9;")),
    ):
        assert await refusal(parser, name, data) == ENTITIES
    server.close()
    await server.wait_closed()
    assert visitors == []


async def test_a_file_that_takes_too_much_memory_is_refused(parser: DocumentParser) -> None:
    """A workbook with a cell in the last row and column would be 17 billion cells."""
    rows = sheet_cell("x") + sheet_cell("y", "XFD1048576", 1_048_576)
    assert await refusal(parser, "far.xlsx", sheet_with("", rows)) == (
        "the file is damaged, or needs more than 1024 MB of memory to be read. Save it anew or "
        "split it into smaller files."
    )
    [document] = await parser.parse("next.pdf", manual_pdf())
    assert document.title == "Firn 2 Manual"


@pytest.mark.slow
async def test_a_file_that_takes_too_long_is_refused_while_others_are_read() -> None:
    """The process is killed; meanwhile the event loop runs and another file is read."""
    parser = DocumentParser(ParseLimits(seconds=5))
    hanging = asyncio.create_task(parser.parse("loop.pdf", form_loop()))
    [document] = await parser.parse("other.pdf", manual_pdf())
    assert document.title == "Firn 2 Manual"
    assert not hanging.done()
    with pytest.raises(LoadingError) as caught:
        await hanging
    # Which limit it meets first depends on how fast the machine is.
    assert str(caught.value).removeprefix("loop.pdf: ") in (
        f"reading it took longer than 5 seconds{TOO_LONG}",
        TOO_MUCH,
    )
    [document] = await parser.parse("after.pdf", manual_pdf())
    assert document.title == "Firn 2 Manual"
    await parser.close()


@pytest.mark.slow
async def test_large_attacks_are_refused_within_the_default_limits(
    parser: DocumentParser,
) -> None:
    """A bomb of 340 KB, a lying one, a hundred thousand parts, and a page that draws itself."""
    bomb = inflating_word_file(300)
    assert len(bomb) < 350_000
    assert await refusal(parser, "bomb.docx", bomb) == (
        "the file unpacks to 300 MB, more than 200 MB; split it or take out what is not text."
    )
    assert await refusal(parser, "lying.docx", lying_archive(bomb, 1_000_000)) == DAMAGED_ZIP
    assert await refusal(parser, "large.docx", inflating_word_file(150)) == NO_WORD
    assert await refusal(parser, "crowd.docx", crowded_archive(100_000)) == (
        "the file is an archive of more than 5000 parts, as no document is; save it anew."
    )
    assert await refusal(parser, "form.pdf", form_loop()) in (
        f"reading it took longer than 8 seconds{TOO_LONG}",
        TOO_MUCH,
    )
