"""The ZIP files that DOCX, PPTX, XLSX and EPUB are, looked at before anything is unpacked."""

from __future__ import annotations

import re
import zipfile
import zlib
from io import BytesIO
from typing import Final

from rag.errors import LoadingError
from rag.loading.limits import MEGABYTE, ParseLimits

_MAX_ENTRIES: Final = 5_000
_OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_KNOWN: Final = (
    (b"%PDF-", "a PDF"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"{\\rtf", "an RTF file"),
)
_BLOCK: Final = 1_000_000
_OVERLAP: Final = 32
_XML_SUFFIXES: Final = (".xml", ".rels", ".opf", ".ncx", ".xhtml", ".html", ".htm", ".svg", ".vml")


def open_archive(
    data: bytes, kind: str, limits: ParseLimits, *, doctype: bool = False
) -> zipfile.ZipFile:
    """The archive, once it is known to be harmless to read.

    `kind` is what it should be, "a Word document". Unless `doctype` is set, no part may declare a
    document type, as the Office formats demand; with it, none may declare entities.

    Raises:
        LoadingError: a sentence that says what it is instead, or what is wrong with it.
    """
    if data.startswith(_OLE):
        raise LoadingError(
            "the file is protected by a password or in the old binary Office format; "
            "save it without a password in the current format."
        )
    if not data.startswith(b"PK\x03\x04"):
        for magic, name in _KNOWN:
            if data.startswith(magic):
                raise LoadingError(f"this is {name}, not {kind}; give it the right suffix.")
        raise LoadingError(f"this is not {kind}, whatever its name says; save it anew as one.")
    try:
        archive = zipfile.ZipFile(BytesIO(data))
        _check_entries(archive, limits)
        _check_markup(archive, doctype)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError) as error:
        raise LoadingError("the file is damaged and cannot be unpacked; save it anew.") from error
    return archive


def read_entry(archive: zipfile.ZipFile, name: str) -> bytes | None:
    """The bytes of a part; None if there is none.

    Raises:
        LoadingError: it is damaged.
    """
    try:
        return archive.read(name)
    except KeyError:
        return None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise LoadingError("the file is damaged and cannot be unpacked; save it anew.") from error


def _check_entries(archive: zipfile.ZipFile, limits: ParseLimits) -> None:
    entries = archive.infolist()
    if len(entries) > _MAX_ENTRIES:
        raise LoadingError(
            f"the file is an archive of more than {_MAX_ENTRIES} parts, as no document is; "
            "save it anew."
        )
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > limits.unpacked_mb * MEGABYTE:
        raise LoadingError(
            f"the file unpacks to {unpacked // MEGABYTE} MB, more than {limits.unpacked_mb} MB; "
            "split it or take out what is not text."
        )
    for entry in entries:
        # Nothing is ever unpacked to a disk; a name that tries to leave it says enough.
        parts = entry.filename.replace("\\", "/").split("/")
        if ".." in parts or parts[0] == "" or ":" in parts[0]:
            raise LoadingError(
                "the file is an archive with a path that leads out of it; save it anew."
            )
        if entry.flag_bits & 1:
            raise LoadingError("the file is protected by a password; save it without one.")


def damaged(kind: str, error: Exception) -> LoadingError:
    """What to raise when a parser gave up, `kind` being "a Word document".

    Raises:
        MemoryError: it gave up because it got no more memory, which libxml2 calls a syntax error.
    """
    if "memory" in str(error).casefold():
        raise MemoryError from error
    return LoadingError(f"this is not {kind}, or it is damaged; save it anew.")


def _check_markup(archive: zipfile.ZipFile, doctype: bool) -> None:
    """Read every part of XML once: to its end, since comments may stand before a document type."""
    refused = re.compile(rb"<!ENTITY" if doctype else rb"<!DOCTYPE|<!ENTITY", re.IGNORECASE)
    for entry in archive.infolist():
        if not entry.filename.lower().endswith(_XML_SUFFIXES):
            continue
        with archive.open(entry) as part:
            tail = b""
            while block := part.read(_BLOCK):
                if refused.search(tail + block.replace(b"\0", b"")):  # UTF-16 looks like this, too
                    raise LoadingError(
                        "the file declares entities, which no document needs and attacks use; "
                        "save it anew."
                    )
                tail = block[-_OVERLAP:].replace(b"\0", b"")
