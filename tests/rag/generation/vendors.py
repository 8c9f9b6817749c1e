"""The vendors that the contract tests run over, and small tools for talking to a generator."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from rag.errors import GenerationError
from rag.generation.base import (
    Generator,
    Prompt,
    PromptMessage,
    RetryPolicy,
    TextPiece,
    Timeouts,
    UsageReport,
)
from rag.generation.gemini import GeminiGenerator
from rag.generation.openai import OpenAIGenerator
from rag.types import Retrieval
from tests.wire import gemini_server, openai_server
from tests.wire.server import WireServer

both_loops = pytest.mark.parametrize(
    "anyio_backend",
    [("asyncio", {"use_uvloop": True}), ("asyncio", {"use_uvloop": False})],
    ids=["uvloop", "asyncio"],
)

KEY = "sk-secret-0123456789abcdefghijklmnop"
MODEL = "test-model"
# As short as a busy machine allows: a worker's first call also warms up the SDK, and has taken
# more than 0.4 s to its first token.
TIMEOUTS = Timeouts(connect=1.0, first_token=1.0, next_token=0.5)
RETRY = RetryPolicy(attempts=3, base_delay=0.01, max_delay=0.05, max_retry_after=0.5)


def prompt_of(*messages: PromptMessage) -> Prompt:
    retrieval = Retrieval(
        question="",
        query="",
        query_vector=np.zeros(1, dtype=np.float32),
        focus_vector=np.zeros(1, dtype=np.float32),
        hits=(),
        nearest=(),
        grounded=False,
    )
    return Prompt(messages=messages, retrieval=retrieval, prompt_tokens=99)


PROMPT = prompt_of(
    PromptMessage("system", "Answer from the passages."),
    PromptMessage("user", "Is the sky blue?"),
    PromptMessage("assistant", "Yes [1]."),
    PromptMessage("user", "Why — „wirklich“?"),
)


@dataclass(frozen=True)
class Vendor:
    """One vendor; `wire` is a module whose `answer`, `stalled`, … have the same names for all."""

    name: str
    wire: ModuleType
    server: type[Any]  # a WireServer with base_url
    generator: type[Any]

    @asynccontextmanager
    async def connected(self, server: WireServer, **options: Any) -> AsyncIterator[Generator]:
        """A generator that talks to `server`, closed at the end."""
        options = {"timeouts": TIMEOUTS, "retry": RETRY, **options}
        base_url = options.pop("base_url", None) or server.base_url  # type: ignore[attr-defined]
        generator = self.generator(api_key=KEY, model=MODEL, base_url=base_url, **options)
        try:
            yield generator
        finally:
            await generator.close()


OPENAI = Vendor("openai", openai_server, openai_server.OpenAIWireServer, OpenAIGenerator)
GEMINI = Vendor("gemini", gemini_server, gemini_server.GeminiWireServer, GeminiGenerator)


@dataclass
class Outcome:
    """What came out of one call: pieces, at most one usage, and the error that ended it."""

    texts: list[str]
    usage: UsageReport | None
    error: GenerationError | None
    seconds: float


async def outcome(generator: Generator, prompt: Prompt = PROMPT) -> Outcome:
    texts: list[str] = []
    usage: UsageReport | None = None
    failure: GenerationError | None = None
    start = time.monotonic()
    try:
        async for event in generator.generate(prompt):
            assert usage is None, "the usage comes last"
            if isinstance(event, TextPiece):
                assert event.text
                texts.append(event.text)
            else:
                usage = event
    except GenerationError as error:
        failure = error
    return Outcome(texts, usage, failure, time.monotonic() - start)
