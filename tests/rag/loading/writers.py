"""Files of each format, made by the usual writers."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from io import BytesIO
from typing import Any

import docx
import pptx
import xlsxwriter
from fpdf import FPDF

_CONTAINER = (
    '<?xml version="1.0"?><container version="1.0" '
    'xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/>'
    "</rootfiles></container>"
)


def manual_pdf(*, outline: bool = True, password: str = "") -> bytes:
    """Three pages with a running head, page numbers, headings, a list and cut words."""
    pdf = FPDF()
    pdf.set_title("Firn 2 Manual")
    pdf.set_lang("en-GB")
    pdf.set_auto_page_break(False)
    pages = (
        ("Pitching", ["Choose level ground, and peg the cor-\nners first. Then raise the poles."]),
        (
            "Care",
            ["Dry the tent before storage.", "You need:", "- a sponge\n- lukewarm water"],
        ),
        ("Warranty", ["The warranty is five years."]),
    )
    for number, (heading, paragraphs) in enumerate(pages, start=1):
        pdf.add_page()
        pdf.set_font("Helvetica", size=9)
        pdf.cell(0, 8, "Firn 2 - Manual", new_x="LMARGIN", new_y="NEXT")
        pdf.set_font("Helvetica", size=18)
        if outline:
            pdf.start_section(heading)
        pdf.cell(0, 12, heading, new_x="LMARGIN", new_y="NEXT")
        pdf.set_font("Helvetica", size=11)
        for paragraph in paragraphs:
            pdf.multi_cell(120, 5, paragraph, new_x="LMARGIN", new_y="NEXT")
            pdf.ln(5)
        pdf.set_y(-20)
        pdf.set_font("Helvetica", size=9)
        pdf.cell(0, 8, f"Page {number} of 3", align="C")
    if password:
        pdf.set_encryption(owner_password="owner", user_password=password)
    return bytes(pdf.output())


def empty_pdf() -> bytes:
    """One page without text, as a scan is."""
    pdf = FPDF()
    pdf.add_page()
    return bytes(pdf.output())


def word_file() -> bytes:
    """A Word document with headings, lists, a table and a hyperlink's worth of runs."""
    document = docx.Document()
    document.core_properties.title = "Returns"
    document.core_properties.language = "de-AT"
    document.add_heading("Returning goods", 1)
    paragraph = document.add_paragraph("You have ")
    paragraph.add_run("30 days").bold = True
    paragraph.add_run(".")
    document.add_paragraph("The parcel", style="List Bullet")
    document.add_paragraph("The receipt", style="List Number")
    document.add_heading("Costs", 2)
    table = document.add_table(rows=0, cols=2)
    for row in (("Country", "Price"), ("Austria", "free"), ("Norway", "12 | 14 EUR")):
        for cell, text in zip(table.add_row().cells, row, strict=True):
            cell.text = text
    document.add_paragraph("That is all.")
    return saved(document)


def presentation() -> bytes:
    """Two slides: bullets with notes, and a table."""
    deck = pptx.Presentation()
    deck.core_properties.title = "Spring range"
    first = deck.slides.add_slide(deck.slide_layouts[1])
    first.shapes.title.text = "Tents"
    frame = first.placeholders[1].text_frame
    frame.text = "Light"
    deeper = frame.add_paragraph()
    deeper.text, deeper.level = "372 g", 1
    first.notes_slide.notes_text_frame.text = "Show the small one."
    second = deck.slides.add_slide(deck.slide_layouts[5])
    second.shapes.title.text = "Prices"
    table = second.shapes.add_table(2, 2, 0, 0, 100, 100).table
    for row, texts in enumerate((("Model", "Price"), ("Firn", "199"))):
        for column, text in enumerate(texts):
            table.cell(row, column).text = text
    return saved(deck)


def workbook(sheets: Mapping[str, Sequence[Sequence[Any]]]) -> bytes:
    """An Excel workbook with these rows."""
    stream = BytesIO()
    book = xlsxwriter.Workbook(stream, {"in_memory": True, "default_date_format": "yyyy-mm-dd"})
    for name, rows in sheets.items():
        sheet = book.add_worksheet(name)
        for number, row in enumerate(rows):
            sheet.write_row(number, 0, row)
    book.close()
    return stream.getvalue()


def book(chapters: Mapping[str, str], *, prologue: str = "") -> bytes:
    """An EPUB whose reading order is that of `chapters`, names to HTML."""
    items = "".join(
        f'<item id="c{number}" href="{name}" media-type="application/xhtml+xml"/>'
        for number, name in enumerate(chapters)
    )
    order = "".join(f'<itemref idref="c{number}"/>' for number in range(len(chapters)))
    package = (
        f'<?xml version="1.0"?>{prologue}<package xmlns="http://www.idpf.org/2007/opf" '
        'version="3.0"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        "<dc:title>The  long walk</dc:title><dc:language>fr-FR</dc:language></metadata>"
        f"<manifest>{items}</manifest><spine>{order}</spine></package>"
    )
    return archive(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": _CONTAINER,
            "OEBPS/book.opf": package,
            **{f"OEBPS/{name}": text for name, text in chapters.items()},
        }
    )


def mail(*, html: bool = False) -> bytes:
    """An e-mail with an attachment, its body in both forms or in HTML alone."""
    message = EmailMessage()
    message["From"] = "Zoë <zoe@example.com>"
    message["To"] = "shop@example.com"
    message["Subject"] = "Käufe im März"
    message["Date"] = "Mon, 02 Mar 2026 10:00:00 +0000"
    if html:
        message.set_content("<h1>Guten Tag</h1><p>Der <b>Firn</b> fehlt.</p>", subtype="html")
    else:
        message.set_content("Guten Tag,\n\nder Firn fehlt.\n")
        message.add_alternative("<p>other</p>", subtype="html")
    message.add_attachment(b"%PDF-", maintype="application", subtype="pdf", filename="bill.pdf")
    return message.as_bytes()


def archive(parts: Mapping[str, str | bytes], *, stored: bool = False) -> bytes:
    """A ZIP file with these parts."""
    stream = BytesIO()
    method = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(stream, "w", method) as file:
        for name, data in parts.items():
            file.writestr(name, data)
    return stream.getvalue()


def with_part(data: bytes, name: str, text: bytes) -> bytes:
    """The ZIP file with one part put in another's place."""
    with zipfile.ZipFile(BytesIO(data)) as file:
        parts: dict[str, str | bytes] = {one: file.read(one) for one in file.namelist()}
    return archive(parts | {name: text})


def saved(document: Any) -> bytes:
    """What the writer's `save` gives."""
    stream = BytesIO()
    document.save(stream)
    return stream.getvalue()
