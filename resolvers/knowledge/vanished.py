"""Whether files that are gone were deleted, or only cannot be seen at the moment."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from models.document import Document

log = logging.getLogger("groundql.knowledge")

# A file of this name says that what is missing was deleted indeed, for an hour after it was written
# or touched: one that was forgotten there must not count the next time.
REMOVED: Final = ".removed"
_COUNTS_FOR: Final = 3600.0  # seconds

# Fewer are soon indexed again, and people do delete some files.
_FEW: Final = 10


def held_back(folder: Path, there: int, missing: Sequence[Document]) -> str | None:
    """Why documents stay although their files are missing; None if they may be removed.

    `there` is how many documents came from the folder. If more than half of them are missing at
    once, a drive below the folder is probably not mounted, or a copy has not ended.
    """
    if len(missing) < _FEW or 2 * len(missing) <= there or _is_confirmed(folder):
        return None
    return (
        f"The files of {len(missing)} of {there} documents are missing: is every drive mounted? "
        f"The documents stay. To remove them, write or touch a file named {REMOVED} in the folder."
    )


def _is_confirmed(folder: Path) -> bool:
    with suppress(OSError):
        return abs(time.time() - (folder / REMOVED).stat().st_mtime) <= _COUNTS_FOR
    return False
