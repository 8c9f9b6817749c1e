"""What both Gemini adapters share: how a conversation looks, and what finish reasons mean."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from rag.errors import GenerationError, ProviderUnavailable
from rag.generation.base import PromptMessage
from rag.generation.retrying import BLOCKED_ANSWER, BLOCKED_QUESTION, Failure, Finish

OFFICIAL_BASE_URL = "https://generativelanguage.googleapis.com"

BLOCKING_REASONS = frozenset(
    {
        "SAFETY",
        "RECITATION",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "ESCALATION",
        "MODEL_ARMOR",
        "LANGUAGE",
    }
)


def split_system(messages: Iterable[PromptMessage]) -> tuple[str, list[PromptMessage]]:
    """The system instruction, and the turns: Gemini keeps the two apart."""
    system: list[str] = []
    turns: list[PromptMessage] = []
    for message in messages:
        if message.role == "system":
            system.append(message.content)
        else:
            turns.append(message)
    return "\n\n".join(system), turns


def grouped_turns(
    turns: Iterable[PromptMessage],
) -> list[tuple[Literal["user", "model"], list[str]]]:
    """Role and texts of each turn in Gemini's words.

    Neighbours of one role (a question whose reply failed, and the next question) become parts of
    one turn, since Gemini wants the roles to alternate.
    """
    groups: list[tuple[Literal["user", "model"], list[str]]] = []
    for turn in turns:
        role: Literal["user", "model"] = "model" if turn.role == "assistant" else "user"
        if groups and groups[-1][0] == role:
            groups[-1][1].append(turn.content)
        else:
            groups.append((role, [turn.content]))
    return groups


def finish_of(reason: str, *, provider: str) -> Finish:
    """What a candidate's finish reason means.

    Raises:
        Failure: it leaves no answer that could be shown as complete.
    """
    if reason == "STOP":
        return Finish.STOP
    if reason in ("MAX_TOKENS", "CONTINUATION"):  # the latter: the limit of a single request
        return Finish.LENGTH
    detail = f"{provider}: finish reason {reason}"
    if reason in BLOCKING_REASONS:
        raise Failure(GenerationError(detail, user_message=BLOCKED_ANSWER), retry=False)
    raise Failure(ProviderUnavailable(detail), retry=True)


def blocked_prompt(reason: str, *, provider: str) -> Failure:
    detail = f"{provider}: prompt blocked: {reason}"
    return Failure(GenerationError(detail, user_message=BLOCKED_QUESTION), retry=False)


def parse_retry_delay(value: object) -> float | None:
    """Seconds of a google.rpc.RetryInfo's `retryDelay` in JSON, such as "34s" or "1.5s"."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?s", value):
        return float(value[:-1])
    return None
