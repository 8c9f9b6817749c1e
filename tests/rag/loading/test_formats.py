"""What each format becomes."""

from __future__ import annotations

import datetime

import docx
import pytest
from docx.oxml import parse_xml

from rag.errors import LoadingError
from rag.loading import ParseLimits, load_documents, load_file
from tests.rag.loading.writers import (
    archive,
    book,
    mail,
    manual_pdf,
    presentation,
    saved,
    with_part,
    word_file,
    workbook,
)

MANUAL = """# Pitching

Choose level ground, and peg the corners first. Then raise the poles.

# Care

Dry the tent before storage.

You need:

- a sponge
- lukewarm water

# Warranty

The warranty is five years.
"""
_W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


@pytest.mark.parametrize("outline", [True, False])
def test_pdf_has_paragraphs_headings_lists_and_pages(outline: bool) -> None:
    """Running heads and page numbers are gone, cut words are whole, each page has its offset."""
    document = load_file("manual.pdf", manual_pdf(outline=outline))
    assert (document.title, document.language) == ("Firn 2 Manual", "en")
    assert document.content == MANUAL
    assert [document.content[start:].split("\n")[0] for start in document.pages] == [
        "# Pitching",
        "# Care",
        "# Warranty",
    ]


def test_docx_has_headings_lists_and_tables() -> None:
    """Styles decide what is a heading; a bar in a cell is not the border of one."""
    document = load_file("returns.docx", word_file())
    assert (document.title, document.language, document.pages) == ("Returns", "de", ())
    assert document.content == (
        "# Returning goods\n\nYou have 30 days.\n\n- The parcel\n- The receipt\n\n## Costs\n\n"
        "| Country | Price |\n| --- | --- |\n| Austria | free |\n| Norway | 12 / 14 EUR |\n\n"
        "That is all.\n"
    )


def test_docx_shows_tracked_changes_as_accepted() -> None:
    """Inserted text and text in content controls is there, deleted text is not."""
    document = docx.Document()
    for xml in (
        f'<w:p xmlns:w="{_W}"><w:r><w:t>It costs </w:t></w:r>'
        "<w:del><w:r><w:delText>nine</w:delText></w:r></w:del>"
        "<w:ins><w:r><w:t>ten</w:t></w:r></w:ins><w:r><w:br/><w:t>euros.</w:t></w:r></w:p>",
        f'<w:sdt xmlns:w="{_W}"><w:sdtContent><w:p><w:pPr><w:outlineLvl w:val="2"/></w:pPr>'
        "<w:r><w:t>Terms</w:t></w:r></w:p></w:sdtContent></w:sdt>",
        f'<w:p xmlns:w="{_W}"><w:pPr><w:numPr><w:ilvl w:val="1"/><w:numId w:val="3"/></w:numPr>'
        "</w:pPr><w:r><w:t>deep</w:t></w:r></w:p>",
    ):
        document.element.body.insert(len(document.element.body) - 1, parse_xml(xml))
    loaded = load_file("a b.docx", saved(document))
    assert loaded.title == "Terms"
    assert loaded.content == "It costs ten\neuros.\n\n### Terms\n\n  - deep\n"


def test_docx_table_in_a_cell_is_part_of_that_cell() -> None:
    """A nested table gives no rows of its own; a cell over two columns keeps the columns apart."""
    document = docx.Document()
    table = document.add_table(rows=2, cols=3)
    table.cell(0, 0).merge(table.cell(0, 1)).text = "Wide"
    table.cell(0, 2).text = "Price"
    for cell, text in zip(table.rows[1].cells, ("M", "red", "4"), strict=True):
        cell.text = text
    table.cell(1, 1).add_table(1, 1).cell(0, 0).text = "inner"
    assert load_file("a.docx", saved(document)).content == (
        "| Wide |  | Price |\n| --- | --- | --- |\n| M | red inner | 4 |\n"
    )


def test_pptx_has_a_section_and_a_page_for_each_slide() -> None:
    """Title, bullets with their levels, tables, and the speaker's notes."""
    document = load_file("deck.pptx", presentation())
    assert document.title == "Spring range"
    assert document.content == (
        "## Tents\n\n- Light\n  - 372 g\n\nShow the small one.\n\n"
        "## Prices\n\n| Model | Price |\n| --- | --- |\n| Firn | 199 |\n"
    )
    assert [document.content[start:][:9] for start in document.pages] == ["## Tents\n", "## Prices"]


def test_xlsx_has_a_table_for_each_sheet() -> None:
    """Blank rows and sheets are left out; values are written as a person writes them."""
    data = workbook(
        {
            "Prices": [
                ["", ""],
                ["Size", "Price", "Since"],
                ["M", 42.5, datetime.date(2026, 1, 2)],
                ["L\nXL", 45, True],
            ],
            "Empty": [],
        }
    )
    document = load_file("list.xlsx", data)
    assert document.title == "list"
    assert document.content == (
        "## Prices\n\n| Size | Price | Since |\n| --- | --- | --- |\n"
        "| M | 42.5 | 2026-01-02 |\n| L XL | 45 | yes |\n"
    )


@pytest.mark.parametrize(
    "data",
    [
        b'Size;Price\nM;"4,5\nx"\n;\nL;5\n',
        b'\xef\xbb\xbfSize\tPrice\r\nM\t"4,5 x"\r\nL\t5\t\r\n',
        'Size,Price\nM,"4,5 x"\nL,5\n'.encode("utf-16"),
    ],
)
def test_csv_is_a_table_whatever_separates_its_cells(data: bytes) -> None:
    """The first row is the head; short rows are filled, blank ones left out."""
    content = "| Size | Price |\n| --- | --- |\n| M | 4,5 x |\n| L | 5 |\n"
    assert load_file("prices.csv", data).content == content


def test_epub_has_its_chapters_in_reading_order() -> None:
    """Title and language come from the metadata, chapters from the spine."""
    chapters = {
        "b%20c.xhtml": "<?xml version='1.0'?><!DOCTYPE html><html xmlns='http://www.w3.org/1999/"
        "xhtml'><head><title/></head><body><h1>One</h1><p>First.</p></body></html>",
        "a.xhtml": "<html><body><h2>Two</h2><p>Second.</p></body></html>",
    }
    data = with_part(book(chapters), "OEBPS/b c.xhtml", chapters["b%20c.xhtml"].encode())
    document = load_file("walk.epub", data)
    assert (document.title, document.language) == ("The long walk", "fr")
    assert document.content == "# One\n\nFirst.\n\n## Two\n\nSecond.\n"


@pytest.mark.parametrize("html", [False, True])
def test_eml_has_its_heads_body_and_names_of_attachments(html: bool) -> None:
    """The plain body is taken if there is one, else that in HTML."""
    document = load_file("m.eml", mail(html=html))
    body = "# Guten Tag\n\nDer Firn fehlt." if html else "Guten Tag,\n\nder Firn fehlt."
    assert document.title == "Käufe im März"
    assert document.content == (
        "From: Zoë <zoe@example.com>\nTo: shop@example.com\n"
        f"Date: Mon, 02 Mar 2026 10:00:00 +0000\n\n{body}\n\nAttachments: bill.pdf\n"
    )


@pytest.mark.parametrize(
    ("name", "data", "limits", "reason"),
    [
        ("a.pdf", manual_pdf(), ParseLimits(pages=2), "has more than 2 pages; split it"),
        ("a.pptx", presentation(), ParseLimits(pages=1), "has more than 1 slides; split it"),
        ("a.docx", archive({"x": bytes(2_000_000)}), ParseLimits(unpacked_mb=1), "unpacks to 1 MB"),
        ("a.pdf", bytes(1024 * 1024 + 1), ParseLimits(file_mb=1), "larger than 1 MB; split it"),
        ("a.xlsx", workbook({"A": [["x"] * 501]}), ParseLimits(), "more than 500 columns"),
        ("a.csv", b"x," * 501, ParseLimits(), "more than 500 columns"),
        ("a.csv", b"x" * 5_300_000, ParseLimits(), "longer than 5 million characters"),
        ("a.csv", b"\xff\xfea", ParseLimits(), "damaged UTF-16"),
        ("a.eml", b"text", ParseLimits(), "not an e-mail"),
        (
            "a.eml",
            b"Subject: x\nContent-Type: application/pkcs7-mime\n\nx",
            ParseLimits(),
            "encrypted; save it decrypted",
        ),
        ("a.eml", b"Subject: x\n\n", ParseLimits(), "empty; there is no text"),
        ("a.doc", b"x", ParseLimits(), r"only files that end in \.csv.*\.jsonl.* can be read"),
    ],
)
def test_what_is_beyond_a_limit_is_refused(
    name: str, data: bytes, limits: ParseLimits, reason: str
) -> None:
    """The message names the file, the limit and what to do."""
    with pytest.raises(LoadingError, match=rf"\Aa\.\w+: .*{reason}"):
        load_documents(name, data, limits=limits)


def test_control_characters_become_blanks() -> None:
    """No store takes NUL, and offsets must not move."""
    csv = load_file("a.csv", b"a\x07b,c\n1,2\n")
    assert csv.content == "| a b | c |\n| --- | --- |\n| 1 | 2 |\n"
