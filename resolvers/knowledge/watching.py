"""Following KB_DIR while the server runs."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from pathlib import Path
from typing import Final

from watchfiles import awatch

from models.errors import is_unavailable
from resolvers.knowledge.base import KnowledgeBase
from resolvers.knowledge.folder import Stamp, sync_folder

log = logging.getLogger("groundql.knowledge")

# Network drives tell of no changes, so the folder is also looked through now and then. Seconds.
SCAN: Final = 60.0
# A burst of changes is awaited for so long, a quiet moment in it for so long. Milliseconds.
_BURST: Final = 1_000
_QUIET: Final = 200


class FolderWatch:
    """Brings the knowledge base in step with the folder whenever something in it changes."""

    def __init__(
        self, knowledge: KnowledgeBase, folder: Path, *, scan_seconds: float = SCAN
    ) -> None:
        self._knowledge = knowledge
        self._folder = folder
        self._scan_seconds = scan_seconds
        self._stamps: dict[str, Stamp] = {}
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()

    async def sync(self) -> None:
        """Look through the folder once."""
        await sync_folder(self._knowledge, self._folder, stamps=self._stamps)

    async def run(self) -> None:
        """Follow the folder until the task is cancelled."""
        self._knowledge.store.bind()
        watching = asyncio.create_task(self._watch(), name="folder-watch")
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._scan_seconds):
                        await self._changed.wait()
                self._changed.clear()
                if not await asyncio.to_thread(self._folder.is_dir):
                    continue
                try:
                    await self.sync()
                except Exception as error:
                    if is_unavailable(error):
                        log.warning("The folder waits for the database: %s", error)
                    else:
                        log.exception("%s could not be followed", self._folder)
        finally:
            self._stopping.set()
            await watching

    async def _watch(self) -> None:
        """Note changes; without a folder, or a system that tells of them, the scans remain."""
        try:
            async for _ in awatch(
                self._folder, debounce=_BURST, step=_QUIET, stop_event=self._stopping
            ):
                self._changed.set()
        except Exception as error:
            log.warning("%s is looked through only now and then: %s", self._folder, error)
