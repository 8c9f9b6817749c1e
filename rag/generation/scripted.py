"""A generator for tests that does what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Final

from rag.errors import GenerationError
from rag.generation.base import GenerationEvent, Prompt, TextPiece, UsageReport


class ScriptedGenerator:
    """Plays a script for each answer: a str is a piece of text, a float a wait in seconds, an
    `asyncio.Event` a wait until it is set, an error is raised, a `UsageReport` is passed on.

    `prompts` records what was asked, `finished` counts the answers played to their end, `aborted`
    those that the caller closed or cancelled before, `closed` tells whether `close` was called.
    """

    provider: Final = "offline"
    model: Final = "scripted"

    def __init__(
        self, script: Sequence[str | float | asyncio.Event | GenerationError | UsageReport]
    ) -> None:
        self.script = list(script)
        self.prompts: list[Prompt] = []
        self.finished = 0
        self.aborted = 0
        self.closed = False

    async def generate(self, prompt: Prompt) -> AsyncGenerator[GenerationEvent, None]:
        self.prompts.append(prompt)
        try:
            for step in list(self.script):
                if isinstance(step, str):
                    yield TextPiece(step)
                elif isinstance(step, UsageReport):
                    yield step
                elif isinstance(step, asyncio.Event):
                    await step.wait()
                elif isinstance(step, GenerationError):
                    raise step
                else:
                    await asyncio.sleep(step)
        except (GeneratorExit, asyncio.CancelledError):
            self.aborted += 1
            raise
        self.finished += 1

    async def close(self) -> None:
        self.closed = True
