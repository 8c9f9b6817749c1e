"""The product's own server with a small embedding model and a generator that takes its time.

Run as `python -m tests.faults.server`. It starts within a second or two, since torch is not loaded;
everything else is what `python server.py` runs. Settings come from the environment; without
GENERATOR=openai the answers are those of `SlowGenerator`.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import sys
import threading
from collections.abc import AsyncGenerator
from typing import Final

import server
from rag.embedding.fake import FakeEmbedder
from rag.generation.base import GenerationEvent, Prompt, TextPiece
from settings import load_settings
from tests.application import fast_passwords
from web.logs import configure_logging
from wiring import Parts

PIECES: Final = "FAULT_PIECES"
"""How many pieces an answer has, as `least-most`."""
PAUSE: Final = "FAULT_PAUSE"
"""Seconds between two pieces."""

SHORT: Final = 5
"""The pieces of an answer to a `question short…`."""

_NAME = re.compile(r"question (\w+)")


def pieces_of(question: str, count: int) -> list[str]:
    """The answer to `… question NAME …`: NAME:1, NAME:2 and so on, so that nothing can be missing
    or come twice without being seen."""
    found = _NAME.search(question)
    name = found[1] if found else "?"
    return [f"{name}:{number} " for number in range(1, count + 1)]


class SlowGenerator:
    """Says `pieces_of` the question."""

    provider: Final = "offline"
    model: Final = "slow"

    def __init__(self, least: int, most: int, pause: float) -> None:
        self._least = least
        self._most = most
        self._pause = pause

    async def generate(self, prompt: Prompt) -> AsyncGenerator[GenerationEvent, None]:
        question = prompt.messages[-1].content
        count = SHORT if "question short" in question else random.randint(self._least, self._most)
        for piece in pieces_of(question, count):
            yield TextPiece(piece)
            await asyncio.sleep(self._pause)

    async def close(self) -> None:
        pass


def main() -> int:
    settings = load_settings()
    configure_logging(settings.log_format, settings.log_level)
    least, _, most = os.environ.get(PIECES, "5-60").partition("-")
    pause = float(os.environ.get(PAUSE, "0.05"))
    own = None if settings.generator == "openai" else SlowGenerator(int(least), int(most), pause)
    parts = Parts(
        passwords=fast_passwords,
        embedder=FakeEmbedder,
        generator=None if own is None else lambda: own,
    )
    code = server.serve(settings, parts)
    # Whatever still runs now would have been left behind by the stop.
    others = [thread.name for thread in threading.enumerate() if not thread.daemon]
    print("Threads at the end:", ", ".join(sorted(others)), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
