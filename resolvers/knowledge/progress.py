"""Following the indexing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from resolvers.context import Context
from resolvers.knowledge.state import IndexProgress

# A reader gets at most one state in so many seconds: thousands of short documents go by quickly.
PACE: Final = 0.1


async def follow(context: Context) -> AsyncGenerator[IndexProgress, None]:
    """How far it is now, then each change; a reader who is slow gets the latest state.

    Raises:
        Unauthenticated
    """
    context.require_viewer()
    knowledge = context.services.knowledge
    changed = asyncio.Event()

    def note(_: IndexProgress) -> None:
        changed.set()

    knowledge.listeners.add(note)
    try:
        await knowledge.report()
        shown: IndexProgress | None = None
        while True:
            changed.clear()
            if knowledge.progress != shown:
                shown = knowledge.progress
                yield shown
                await asyncio.sleep(PACE)
            else:
                await changed.wait()
    finally:
        knowledge.listeners.discard(note)
