"""The port of a text generator: a prompt goes in, pieces of text and a usage come out."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Literal, Protocol

from rag.types import Retrieval


@dataclass(frozen=True, slots=True)
class PromptMessage:
    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a generator is asked.

    `messages` is the complete prompt for a model: one system message, earlier turns, and last the
    question. `retrieval` is what it was built from, for generators that need no model.
    `prompt_tokens` is our own estimate, used where the provider reports none. Without `retry` a
    failure is final: for what nobody waits for.
    """

    messages: tuple[PromptMessage, ...]
    retrieval: Retrieval = field(repr=False)
    prompt_tokens: int
    retry: bool = True


@dataclass(frozen=True, slots=True)
class TextPiece:
    """The next piece of the answer, never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class UsageReport:
    """Token counts; comes at most once, after the last piece."""

    prompt_tokens: int
    completion_tokens: int


GenerationEvent = TextPiece | UsageReport


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `first_token` counts from the request's start, `next_token` between two pieces."""

    connect: float = 5.0
    first_token: float = 30.0
    next_token: float = 20.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Retries happen only before the first token.

    The wait before try n (n = 2, 3 …) is `base_delay * 2 ** (n - 2)` with up to 25 % jitter, at
    most `max_delay`; a Retry-After of the provider replaces it, and ends the tries if it is longer
    than `max_retry_after`.
    """

    attempts: int = 3
    base_delay: float = 0.5
    max_delay: float = 8.0
    max_retry_after: float = 20.0


class Generator(Protocol):
    """Generates one answer per call; safe for concurrent use."""

    @property
    def provider(self) -> str:
        """One of "offline", "openai", "gemini" and "gemini-legacy"."""

    @property
    def model(self) -> str: ...

    def generate(self, prompt: Prompt) -> AsyncGenerator[GenerationEvent, None]:
        """Stream the answer.

        Closing the generator (`aclose`) closes the provider's stream at once.

        Raises:
            GenerationError: see `rag.errors`; after the first piece nothing is retried.
        """

    async def close(self) -> None:
        """Release connections; the generator is not used afterwards."""
