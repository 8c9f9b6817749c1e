"""XLSX, by calamine, and CSV, by the standard library, as tables."""

from __future__ import annotations

import csv
import datetime
from io import BytesIO, StringIO
from typing import Final

from rag.errors import LoadingError
from rag.loading.archive import open_archive
from rag.loading.layout import Layout
from rag.loading.limits import MAX_BYTES, ParseLimits
from rag.loading.text_files import decode
from rag.types import SourceDocument

_MAX_COLUMNS: Final = 500
_SAMPLE: Final = 20_000


def load_xlsx(data: bytes, stem: str, limits: ParseLimits) -> SourceDocument:
    """Each sheet is a section with a table, whose first row that is not blank is the head. Cells
    have the values that were last computed. The title is the file's name.

    Raises:
        LoadingError: it is no workbook, damaged, encrypted, or too large.
    """
    open_archive(data, "an Excel workbook", limits)
    import python_calamine as calamine

    layout = Layout()
    try:
        workbook = calamine.CalamineWorkbook.from_filelike(BytesIO(data))
        for meta in workbook.sheets_metadata:
            if meta.typ != calamine.SheetTypeEnum.WorkSheet:
                continue
            if meta.visible != calamine.SheetVisibleEnum.Visible:
                continue
            sheet = workbook.get_sheet_by_name(meta.name)
            if sheet.end is None:  # nothing in it
                continue
            if sheet.end[1] >= _MAX_COLUMNS:
                raise LoadingError(
                    f"the sheet {meta.name!r} has more than {_MAX_COLUMNS} columns; "
                    "delete those that are not needed."
                )
            layout.heading(2, meta.name)
            layout.table([_shown(value) for value in row] for row in sheet.iter_rows())
    except (calamine.CalamineError, ValueError, KeyError) as error:
        raise LoadingError("this is not an Excel workbook, or it is damaged; save it anew.") from (
            error
        )
    return SourceDocument(title=stem, content=layout.text())


def _shown(value: object) -> str:
    """A cell's value as a person writes it."""
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.12g}"
        case datetime.datetime():
            midnight = value.time() == datetime.time()
            return value.date().isoformat() if midnight else value.isoformat(" ", "minutes")
        case datetime.date() | datetime.time():
            return value.isoformat()
        case _:
            return str(value)


def load_csv(data: bytes, stem: str, limits: ParseLimits) -> SourceDocument:
    """One table, whose first row is the head. Commas, semicolons, tabs or bars separate the cells,
    whichever the head has most of. UTF-8, or UTF-16 with its mark. The title is the file's name.

    Raises:
        LoadingError: it is not text, or not a table.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            text = data.decode("utf-16")
        except UnicodeDecodeError as error:
            raise LoadingError("the file is damaged UTF-16 text; save it as UTF-8.") from error
    else:
        text = decode(data)
    if len(text) > MAX_BYTES:
        raise LoadingError(
            "the text is longer than 5 million characters; split it into smaller files."
        )
    head = next((line for line in text[:_SAMPLE].split("\n") if line.strip()), "")
    delimiter = max(",;\t|", key=head.count)
    layout = Layout()
    try:
        rows = list(csv.reader(StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise LoadingError(
            f"this is not a table in CSV ({error}); put texts with line breaks in quotes."
        ) from error
    if max(map(len, rows), default=0) > _MAX_COLUMNS:
        raise LoadingError(f"the table has more than {_MAX_COLUMNS} columns; delete some.")
    layout.table(rows)
    return SourceDocument(title=stem, content=layout.text())
