"""How much a file may take to be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MEGABYTE: Final = 1024 * 1024
# Text files (Markdown, plain text, HTML) and the text of any one document.
MAX_BYTES: Final = 5 * MEGABYTE


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """Limits for one file. What is beyond them is refused with a `LoadingError`.

    `seconds` of elapsed time, `memory_mb` of address space of the process that reads, `file_mb` of
    the file itself, `unpacked_mb` of what a ZIP-based file (DOCX, PPTX, XLSX, EPUB) unpacks to,
    `pages` of a PDF or slides of a presentation, `records` of a JSON Lines file.
    """

    seconds: float = 8.0
    memory_mb: int = 1024
    file_mb: int = 20
    unpacked_mb: int = 200
    pages: int = 2_000
    records: int = 100_000
