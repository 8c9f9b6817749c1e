"""What a PDF does not say and has to be guessed."""

from __future__ import annotations

import pytest
from fpdf import FPDF

from rag.loading import load_file


def pdf_of(*pages: str, title: str = "", heading: str = "") -> bytes:
    """A PDF with a text on each page, and a heading on the first."""
    pdf = FPDF()
    if title:
        pdf.set_title(title)
    for page in pages:
        pdf.add_page()
        if heading:
            pdf.set_font("Helvetica", size=20)
            pdf.cell(0, 14, heading, new_x="LMARGIN", new_y="NEXT")
            heading = ""
        pdf.set_font("Helvetica", size=11)
        pdf.multi_cell(90, 5, page, new_x="LMARGIN", new_y="NEXT")
    return bytes(pdf.output())


@pytest.mark.parametrize(
    ("title", "heading", "expected"),
    [
        ("Care of tents", "Chapter one", "Care of tents"),
        ("Microsoft Word - care.docx", "Care of tents", "Care of tents"),
        ("care_v3.indd", "", "file"),
        ("", "", "file"),
    ],
)
def test_the_title_is_not_one_that_a_program_made_up(
    title: str, heading: str, expected: str
) -> None:
    """Then the line in the largest letters counts, else the file's name."""
    document = load_file(
        "file.pdf", pdf_of("Dry the tent before it is stored.", title=title, heading=heading)
    )
    assert document.title == expected
    assert document.language is None


def test_a_paragraph_goes_on_over_the_end_of_a_page() -> None:
    """The page begins in the middle of its sentence, and the sentence is whole."""
    document = load_file("a.pdf", pdf_of("The tent is dried", "before it is stored.", "Next one."))
    assert document.content == "The tent is dried before it is stored.\n\nNext one.\n"
    assert [document.content[start:] for start in document.pages] == [
        document.content,
        "before it is stored.\n\nNext one.\n",
        "Next one.\n",
    ]


def test_a_hyphen_stays_before_capitals_and_leaders_become_one_mark() -> None:
    """Only before a small letter is it taken for a cut word's."""
    document = load_file("a.pdf", pdf_of("See the Anna-\nAmalia library and its hand-\nbooks."))
    assert document.content == "See the Anna-Amalia library and its handbooks.\n"
    document = load_file("a.pdf", pdf_of("Care . . . . . . . . . . . 12"))
    assert document.content == "Care … 12\n"


def test_an_empty_page_has_a_number_too() -> None:
    """What follows keeps its own page."""
    document = load_file("a.pdf", pdf_of("One.", "", "Three."))
    assert document.content == "One.\n\nThree.\n"
    assert document.pages == (0, 6, 6)
