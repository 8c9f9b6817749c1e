"""What all providers share: time-outs, retries, and the end of a stream.

A provider's adapter opens a `ProviderStream` and explains its vendor's exceptions as `Failure`s;
`stream_answer` does the rest. Rules:

- Every try has its own time-outs. A first token that comes too late is not asked for again, since
  the person has waited long enough and the provider may bill both; a connection that could not be
  made in time is.
- Until the first token a failure may be retried; afterwards it ends the answer.
- An answer is complete only when the provider has said why it finished. A stream that just ends,
  however politely, is a failure.
"""

from __future__ import annotations

import asyncio
import email.utils
import logging
import math
import random
import re
from collections.abc import AsyncGenerator, Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Protocol, TypeVar

import anyio

from rag.errors import (
    GenerationError,
    ProviderRateLimited,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
)
from rag.generation.base import (
    GenerationEvent,
    Prompt,
    RetryPolicy,
    TextPiece,
    Timeouts,
    UsageReport,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Seconds that a complete answer waits for its usage report, which follows within milliseconds
# where it comes at all.
USAGE_GRACE = 2.0

# Seconds that closing a stream may take; connections are local objects, so this is never reached
# unless the event loop is starved.
CLOSE_LIMIT = 1.0

BLOCKED_ANSWER = (
    "The language model's safety rules stopped this answer. Please put the question differently."
)
BLOCKED_QUESTION = (
    "The language model's safety rules do not allow this question. Please put it differently."
)
QUOTA_USED_UP = (
    "The language model's quota is used up. Please tell the administrator of this service."
)


class Finish(Enum):
    """Why a provider ended its answer, where that leaves a usable one."""

    STOP = "stop"
    LENGTH = "length"  # cut at the provider's or model's token limit; complete as far as it goes


@dataclass(frozen=True, slots=True)
class Chunk:
    """One message of a provider's stream in neutral terms; any part of it may be missing."""

    text: str = ""
    usage: UsageReport | None = None
    finish: Finish | None = None


class Failure(Exception):
    """How a try ended, and whether another one makes sense. Never leaves this package.

    `retry_after` is what the provider asked for, in seconds.
    """

    def __init__(
        self, error: GenerationError, *, retry: bool, retry_after: float | None = None
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry = retry
        self.retry_after = retry_after


class ProviderStream(Protocol):
    async def receive(self) -> Chunk | None:
        """The next chunk, or None where the stream ends.

        Raises:
            Failure: the provider itself says that there will be no (further) answer.
            Exception: anything else the vendor's SDK throws; see `Provider.explain`.
        """

    async def close(self) -> None:
        """Close the connection; safe to call at any time and more than once."""


class Provider(Protocol):
    """A vendor's API, as an adapter presents it to `stream_answer`."""

    @property
    def name(self) -> str: ...

    async def open(self, prompt: Prompt) -> ProviderStream:
        """Send the request; raises like `ProviderStream.receive`."""

    def explain(self, error: Exception) -> Failure:
        """Turn whatever the vendor's SDK threw into ours, without any secret in its text."""


async def stream_answer(
    provider: Provider, prompt: Prompt, *, timeouts: Timeouts, retry: RetryPolicy
) -> AsyncGenerator[GenerationEvent, None]:
    """`Generator.generate` for any provider."""
    answer = await _begin(provider, prompt, timeouts=timeouts, retry=retry)
    try:
        piece: str | None = answer.first_piece
        completion_tokens = 0.0
        while piece is not None:
            completion_tokens += estimated_tokens(piece)
            yield TextPiece(piece)
            piece = await answer.next_piece()
        yield answer.usage or UsageReport(
            prompt_tokens=prompt.prompt_tokens, completion_tokens=math.ceil(completion_tokens)
        )
    finally:
        await answer.close()


def estimated_tokens(text: str) -> float:
    """About four bytes of UTF-8 a token, which is near enough for European languages."""
    return len(text.encode("utf-8", "surrogatepass")) / 4


async def _begin(
    provider: Provider, prompt: Prompt, *, timeouts: Timeouts, retry: RetryPolicy
) -> _Answer:
    """Try until the first piece of text is there."""
    number = 0
    while True:
        number += 1
        answer = _Answer(provider, timeouts)
        try:
            await answer.begin(prompt)
        except Failure as failure:
            ended = failure
        else:
            return answer
        if not ended.retry or number >= retry.attempts:
            break
        delay = delay_before(
            number + 1, retry, retry_after=ended.retry_after, jitter=random.random()
        )
        if delay is None:
            break
        logger.info("%s: try %d failed (%s); next in %.1f s", provider.name, number, ended, delay)
        await asyncio.sleep(delay)
    raise ended.error


class _Answer:
    """One try: a request and the stream of its reply."""

    def __init__(self, provider: Provider, timeouts: Timeouts) -> None:
        self.first_piece = ""
        self.usage: UsageReport | None = None
        self._provider = provider
        self._timeouts = timeouts
        self._stream: ProviderStream | None = None
        self._finish: Finish | None = None

    async def begin(self, prompt: Prompt) -> None:
        """Send the request and wait for the first piece; closed again if that fails.

        Raises:
            Failure
        """
        deadline = asyncio.get_running_loop().time() + self._timeouts.first_token
        late = f"no first token within {self._timeouts.first_token:g} s"
        try:
            self._stream = await self._within(deadline, self._provider.open(prompt), late=late)
            piece = await self._piece(deadline, late=late)
            if piece is None:
                raise self._empty()
        except BaseException:
            await self.close()
            raise
        self.first_piece = piece

    async def next_piece(self) -> str | None:
        """The next piece of text, None at the complete answer's end.

        Raises:
            GenerationError
        """
        deadline = asyncio.get_running_loop().time() + self._timeouts.next_token
        late = f"no next token within {self._timeouts.next_token:g} s"
        try:
            return await self._piece(deadline, late=late)
        except Failure as failure:
            ended = failure
        raise ended.error

    async def close(self) -> None:
        if self._stream is not None:
            with anyio.move_on_after(CLOSE_LIMIT, shield=True):
                await self._stream.close()

    async def _piece(self, deadline: float, *, late: str) -> str | None:
        assert self._stream is not None
        while self._finish is None:
            chunk = await self._within(deadline, self._stream.receive(), late=late)
            if chunk is None:
                raise self._broken_off()
            self._note(chunk)
            if chunk.text:
                return chunk.text
        await self._receive_usage(deadline)
        return None

    async def _receive_usage(self, deadline: float) -> None:
        """Read what follows the finish reason. The text is complete: nothing here can fail it."""
        assert self._stream is not None
        deadline = min(deadline, asyncio.get_running_loop().time() + USAGE_GRACE)
        try:
            while chunk := await self._within(deadline, self._stream.receive(), late="no usage"):
                self._note(chunk)
        except Failure as failure:
            logger.info("%s: after the complete answer: %s", self._provider.name, failure)

    def _note(self, chunk: Chunk) -> None:
        if chunk.usage is not None:
            self.usage = chunk.usage
        if chunk.finish is not None and self._finish is None:
            self._finish = chunk.finish
            if chunk.finish is Finish.LENGTH:
                logger.warning("%s: answer cut at the token limit", self._provider.name)

    def _broken_off(self) -> Failure:
        detail = f"{self._provider.name}: the stream ended without a finish reason"
        return Failure(ProviderUnavailable(detail), retry=True)

    def _empty(self) -> Failure:
        if self._finish is Finish.LENGTH:
            detail = f"{self._provider.name}: the token limit was reached before any text"
            return Failure(GenerationError(detail), retry=False)
        detail = f"{self._provider.name}: the answer has no text"
        return Failure(ProviderUnavailable(detail), retry=True)

    async def _within(self, deadline: float, step: Awaitable[T], *, late: str) -> T:
        limit = asyncio.timeout_at(deadline)
        try:
            async with limit:
                return await step
        except Failure:
            raise
        except Exception as error:
            # Explained outside of this block, so that the vendor's exception, which may quote a
            # key, does not become the context of ours.
            thrown = error
        if limit.expired():
            raise Failure(ProviderTimeout(f"{self._provider.name}: {late}"), retry=False)
        raise self._provider.explain(thrown)


def delay_before(
    number: int, policy: RetryPolicy, *, retry_after: float | None, jitter: float
) -> float | None:
    """Seconds to wait before try `number` (2, 3, …), or None if the provider asks for too long.

    `jitter` is a random number in 0..1; it lengthens a wait of ours by up to a quarter. The
    provider's own wait is kept exactly.
    """
    if retry_after is not None:
        return retry_after if retry_after <= policy.max_retry_after else None
    wait: float = policy.base_delay * 2 ** (number - 2)
    return min(wait * (1 + 0.25 * jitter), policy.max_delay)


def parse_retry_after(value: str | None, *, now: datetime | None = None) -> float | None:
    """Seconds that a Retry-After header asks for: a number, or a date of RFC 9110, 10.2.3.

    A date in the past gives 0, nonsense None.
    """
    if value is None:
        return None
    value = value.strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
        return float(value)
    try:
        date = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    if date.tzinfo is None:  # "-0000": no known zone; HTTP-dates are always in GMT
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())


def failure_of_status(status: int, detail: str, *, retry_after: float | None = None) -> Failure:
    """What an HTTP status means here."""
    if status == 429:
        return Failure(ProviderRateLimited(detail), retry=True, retry_after=retry_after)
    if status >= 500 or status in (408, 409, 425):  # the last three: timing, not the request
        return Failure(ProviderUnavailable(detail), retry=True, retry_after=retry_after)
    if status >= 300:  # redirects are not followed: they would carry the key elsewhere
        return Failure(ProviderRejected(detail), retry=False)
    return Failure(ProviderUnavailable(detail), retry=True)
