"""Generating one reply: retrieve, generate, cite, end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import TypeAlias

from models.chat_message import MessageStatus, UngroundedReason
from rag.errors import GenerationError
from rag.generation.base import TextPiece, UsageReport
from rag.pipeline import Pipeline
from rag.types import Hit, Retrieval, Turn
from resolvers.answers.approved import MODEL, PROVIDER, GivenAnswer
from resolvers.knowledge.state import NotReady
from resolvers.replies.events import StoredHit
from resolvers.replies.running import Ending, RunningReply

log = logging.getLogger("groundql.replies")

Found: TypeAlias = Retrieval | GivenAnswer
RetrievalTask: TypeAlias = asyncio.Task[tuple[Pipeline, Found]]

NO_KNOWLEDGE = (
    "Questions cannot be answered at the moment. Please tell the administrator of this service."
)
FAILURE = "The answer could not be generated because of a problem on our side. Please try again."
# The first text goes to its readers before the rest of the reply is worked on, since a generator
# that never waits would hold it up. Seconds.
HEAD_START = 0.003
# A generator that never waits would keep the writer and everyone else out: after so many pieces it
# is their turn. Most generators wait for the next piece anyway.
PIECES_A_TURN = 8
INTERRUPTED = "The server was restarted before the answer was complete. Please ask again."


async def run_reply(
    running: RunningReply,
    *,
    retrieval: RetrievalTask,
    history: Sequence[Turn],
    touch: Callable[[RunningReply], None],
) -> Found | None:
    """Generate a reply and end it, whatever happens: the last thing queued is its ending. Returns
    what was found for it, None if it did not come to that.

    `running.cancel()` is how a reply is stopped (`running.stop_requested`) or, when the server
    goes down, interrupted; what was generated until then stays.
    """
    pipeline: Pipeline | None = None
    found: Found | None = None
    usage: UsageReport | None = None
    prompt_tokens: int | None = None
    pieces: list[str] = []
    status, failure = MessageStatus.COMPLETE, None
    running.generating = True
    try:
        if running.cancelled:
            raise asyncio.CancelledError
        pipeline, found = await retrieval
        if isinstance(found, GivenAnswer):
            return _give(running, found, touch)
        # What is too far from the question is no source: nothing is cited from it.
        sources = found.hits if found.grounded else ()
        running.pending.sources = tuple(_stored(hit) for hit in sources)
        prompt = pipeline.build_prompt(found, history)
        prompt_tokens = prompt.prompt_tokens
        touch(running)
        async with aclosing(pipeline.answer(prompt)) as stream:
            async for event in stream:
                if isinstance(event, TextPiece):
                    pieces.append(event.text)
                    running.add_text(event.text)
                    touch(running)
                    if len(pieces) == 1:
                        await running.wait_shown()
                        await asyncio.sleep(HEAD_START)
                    if running.is_full:
                        await running.wait_for_room()
                    if len(pieces) % PIECES_A_TURN == 0:
                        await asyncio.sleep(0)
                else:
                    usage = event
    except asyncio.CancelledError:
        status = MessageStatus.STOPPED if running.stop_requested else MessageStatus.INTERRUPTED
        failure = None if running.stop_requested else INTERRUPTED
    except NotReady as error:
        log.warning("Reply %s failed: %s", running.reply_id, error)
        status, failure = MessageStatus.FAILED, NO_KNOWLEDGE
    except GenerationError as error:
        log.warning("Reply %s failed: %s", running.reply_id, error)
        status, failure = MessageStatus.FAILED, error.user_message
    except Exception:
        log.exception("Reply %s failed", running.reply_id)
        status, failure = MessageStatus.FAILED, FAILURE
    finally:
        running.generating = False
    text = "".join(pieces)
    assert not isinstance(found, GivenAnswer)
    reason = found.ungrounded if found else None
    running.pending.ending = Ending(
        status=status,
        failure=failure,
        grounded=found.grounded if found else None,
        ungrounded_reason=UngroundedReason(reason) if reason else None,
        citations=tuple(pipeline.cite(text, found)) if pipeline and found else (),
        documents=_documents(found) if found else (),
        provider=pipeline.generator.provider if pipeline else None,
        model=pipeline.generator.model if pipeline else None,
        prompt_tokens=usage.prompt_tokens if usage else prompt_tokens,
        completion_tokens=usage.completion_tokens if usage else _estimate_tokens(text),
        first_token_ms=_milliseconds(running, running.first_delta_committed_at),
        total_ms=_milliseconds(running, time.perf_counter()),
    )
    ending = running.pending.ending
    running.used_tokens = (ending.prompt_tokens or 0) + (ending.completion_tokens or 0)
    touch(running)
    return found


def _give(
    running: RunningReply, given: GivenAnswer, touch: Callable[[RunningReply], None]
) -> GivenAnswer:
    """An approved answer is there as a whole: one commit holds all of it."""
    running.pending.sources = given.hits
    running.add_text(given.text)
    elapsed = _milliseconds(running, time.perf_counter())
    running.pending.ending = Ending(
        status=MessageStatus.COMPLETE,
        grounded=True,
        citations=given.citations,
        provider=PROVIDER,
        model=MODEL,
        prompt_tokens=0,
        completion_tokens=0,
        first_token_ms=elapsed,
        total_ms=elapsed,
    )
    touch(running)
    return given


def _stored(hit: Hit) -> StoredHit:
    return StoredHit(
        document_id=hit.passage.document_id,
        text=hit.passage.text,
        headings=hit.passage.headings,
        start=hit.passage.start,
        end=hit.passage.end,
        score=hit.score,
        page=hit.passage.page,
    )


def _documents(found: Retrieval) -> tuple[str, ...]:
    """What the reply was made from. Where nothing was found, near topics may be named."""
    hits = (*found.hits, *found.nearest)
    return tuple(dict.fromkeys(hit.passage.document_id for hit in hits))


def _milliseconds(running: RunningReply, moment: float | None) -> int | None:
    return None if moment is None else round((moment - running.started_at) * 1000)


def _estimate_tokens(text: str) -> int:
    """About four characters a token, for providers that report no usage."""
    return -(-len(text) // 4)
