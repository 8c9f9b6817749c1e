"""Files that try to take more than they may, or are not what their names say."""

from __future__ import annotations

import struct
import zipfile
from io import BytesIO

from tests.rag.loading.writers import archive, book, empty_pdf, with_part, word_file, workbook

_W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
# Each entity is ten of the one before: a billion of the first.
LAUGHS = (
    "<!DOCTYPE x [<!ENTITY a0 'ha'>"
    + "".join(f"<!ENTITY a{number} '{f'&a{number - 1};' * 10}'>" for number in range(1, 10))
    + "]>"
)
FAR_PROLOGUE = "<!--" + "x" * 100_000 + "-->"


def external(address: str) -> str:
    """A document type whose entity `a9` is the text at an address."""
    return f"<!DOCTYPE x [<!ENTITY a9 SYSTEM '{address}'>]>"


def word_with(prologue: str, text: str) -> bytes:
    """A Word document whose body is a paragraph with this text."""
    xml = (
        f'<?xml version="1.0"?>{prologue}<w:document xmlns:w="{_W}"><w:body><w:p><w:r>'
        f"<w:t>{text}</w:t></w:r></w:p></w:body></w:document>"
    )
    return with_part(word_file(), "word/document.xml", xml.encode())


def sheet_with(prologue: str, cells: str) -> bytes:
    """A workbook whose sheet holds these rows."""
    xml = (
        f'<?xml version="1.0"?>{prologue}<worksheet xmlns="{_SHEET}"><sheetData>{cells}'
        "</sheetData></worksheet>"
    )
    return with_part(workbook({"A": [["a"]]}), "xl/worksheets/sheet1.xml", xml.encode())


def sheet_cell(text: str, place: str = "A1", row: int = 1) -> str:
    """One cell with a text."""
    return f'<row r="{row}"><c r="{place}" t="inlineStr"><is><t>{text}</t></is></c></row>'


def book_with(prologue: str, text: str) -> bytes:
    """A book with the prologue in its package file and its only chapter."""
    chapter = f"<?xml version='1.0'?>{prologue}<html><body><p>{text}</p></body></html>"
    return book({"a.xhtml": chapter}, prologue=prologue)


def inflating_word_file(megabytes: int) -> bytes:
    """A small Word document that unpacks to so many MB."""
    stream = BytesIO()
    with (
        zipfile.ZipFile(BytesIO(word_file())) as source,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            if name != "word/document.xml":
                target.writestr(name, source.read(name))
        with target.open("word/document.xml", "w") as part:
            part.write(f'<w:document xmlns:w="{_W}"><w:body><w:p><w:r><w:t>'.encode())
            for _ in range(megabytes):
                part.write(b"a " * (512 * 1024))
            part.write(b"</w:t></w:r></w:p></w:body></w:document>")
    return stream.getvalue()


def lying_archive(data: bytes, claimed: int) -> bytes:
    """The same archive, whose directory claims another unpacked size for every part."""
    out = bytearray(data)
    for signature, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        position = out.find(signature)
        while position >= 0:
            out[position + offset : position + offset + 4] = struct.pack("<I", claimed)
            position = out.find(signature, position + 4)
    return bytes(out)


def crowded_archive(entries: int) -> bytes:
    """A Word document with so many empty parts beside its own."""
    stream = BytesIO(word_file())
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as file:
        for number in range(entries):
            file.writestr(zipfile.ZipInfo(f"x/{number}"), b"")
    return stream.getvalue()


def pdf_of(objects: list[str]) -> bytes:
    """A PDF of these objects, numbered from 1; the first is the catalogue."""
    out = bytearray(b"%PDF-1.7\n")
    offsets = []
    for number, text in enumerate(objects, start=1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{text}\nendobj\n".encode("latin-1")
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    for offset in offsets:
        out += f"{offset:010} 00000 n \n".encode()
    out += f"trailer\n<</Size {len(objects) + 1}/Root 1 0 R>>\nstartxref\n{start}\n%%EOF".encode()
    return bytes(out)


def page_loop(count: int) -> bytes:
    """A PDF whose tree of pages is its own child, and claims so many pages."""
    return pdf_of(
        [
            "<</Type/Catalog/Pages 2 0 R>>",
            f"<</Type/Pages/Kids[2 0 R 2 0 R]/Count {count}/Parent 2 0 R>>",
        ]
    )


def form_loop() -> bytes:
    """A PDF whose page draws a form that draws itself."""
    stream = "/F Do /F Do"
    return pdf_of(
        [
            "<</Type/Catalog/Pages 2 0 R>>",
            "<</Type/Pages/Kids[3 0 R]/Count 1>>",
            "<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 5 0 R"
            "/Resources<</XObject<</F 4 0 R>>>>>>",
            "<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</F 4 0 R>>>>"
            f"/Length {len(stream)}>>\nstream\n{stream}\nendstream",
            f"<</Length {len(stream)}>>\nstream\n{stream}\nendstream",
        ]
    )


def nested_pdf(depth: int) -> bytes:
    """A PDF whose catalogue holds an array in an array, and so on."""
    return pdf_of(
        [
            f"<</Type/Catalog/Pages 2 0 R/X {'[' * depth}{']' * depth}>>",
            "<</Type/Pages/Kids[]/Count 0>>",
        ]
    )


def nested_mail(depth: int) -> bytes:
    """An e-mail in an e-mail in an e-mail."""
    head = b"Subject: x\nMIME-Version: 1.0\nContent-Type: message/rfc822\n\n"
    return head * depth + b"Subject: y\n\ntext\n"


def nested_word_file(depth: int) -> bytes:
    """A Word document of nested content controls."""
    inner = "<w:sdt><w:sdtContent>" * depth + "</w:sdtContent></w:sdt>" * depth
    xml = f'<w:document xmlns:w="{_W}"><w:body>{inner}</w:body></w:document>'
    return with_part(word_file(), "word/document.xml", xml.encode())


PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 64
ZIP = archive({"a.txt": "text"})
OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 512
SCAN = empty_pdf()
