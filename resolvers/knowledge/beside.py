"""Work beside the event loop that must not be left half done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def to_its_end(work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Run in a thread. Whoever is cancelled meanwhile waits for its end first, so that what is
    locked around it stays locked until then."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *arguments, **named))
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
        except Exception:
            break  # of the work: raised below
    if cancelled is not None:
        task.exception()
        raise cancelled
    return task.result()
