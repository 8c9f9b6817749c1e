"""How far the indexing is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final

from tortoise.functions import Count

from models.document import Document, DocumentStatus

log = logging.getLogger("groundql.knowledge")

# Between two counts while documents are indexed, at least and at most. Seconds.
_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 10.0
# Counting takes a look at every document: no more than about this part of the time goes to it.
_SHARE: Final = 0.01


@dataclass(frozen=True, slots=True)
class IndexProgress:
    """How far the indexing is. `documents` is how many there are, `chunks` what is searchable;
    `warning` is what somebody should look at."""

    documents: int
    ready: int
    failed: int
    chunks: int
    warning: str | None = None


async def count_by_status() -> dict[DocumentStatus, int]:
    rows = (
        await Document.filter(deleted_at__isnull=True)
        .annotate(count=Count("id"))
        .group_by("status")
        .values_list("status", "count")
    )
    return {DocumentStatus(status): count for status, count in rows}


class Counting:
    """Counts now and then while documents change."""

    def __init__(self, report: Callable[[], Awaitable[None]]) -> None:
        self._report = report
        self._due = False
        self._task: asyncio.Task[None] | None = None

    def soon(self) -> None:
        """Report within a moment, once for all changes until then."""
        self._due = True
        if self._task is None:
            self._task = asyncio.create_task(self._work(), name="index-progress")

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _work(self) -> None:
        try:
            while self._due:
                self._due = False
                begun = monotonic()
                await self._report()
                pause = (monotonic() - begun) / _SHARE
                await asyncio.sleep(min(max(_PAUSE, pause), _LONGEST_PAUSE))
        except Exception as error:
            # The next change tries again.
            log.warning("The documents could not be counted: %s", error)
        finally:
            self._task = None
