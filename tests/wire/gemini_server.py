"""Gemini's streamGenerateContent (`alt=sse`), on 127.0.0.1. See the package's docstring."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from tests.wire.server import (
    BreakOff,
    Reply,
    Request,
    Script,
    Stall,
    Step,
    WireServer,
    json_reply,
    serve_by_hand,
)

SSE = {"content-type": "text/event-stream"}
DEFAULT_PIECES = ("According to ", "the documents, ", "yes ", "[1].")


def event(body: object) -> bytes:
    return b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\r\n\r\n"


def chunk(
    *texts: str,
    finish_reason: str | None = None,
    usage: tuple[int, int] | None = None,
    thought: bool = False,
) -> bytes:
    """One GenerateContentResponse with one part a text."""
    parts = [{"text": text, **({"thought": True} if thought else {})} for text in texts]
    candidate: dict[str, Any] = {"index": 0}
    if parts:
        candidate["content"] = {"role": "model", "parts": parts}
    if finish_reason is not None:
        candidate["finishReason"] = finish_reason
    body: dict[str, Any] = {
        "candidates": [candidate],
        "modelVersion": "test-model",
        "responseId": "r1",
    }
    if usage is not None:
        prompt, candidates = usage
        body["usageMetadata"] = {
            "promptTokenCount": prompt,
            "candidatesTokenCount": candidates,
            "totalTokenCount": prompt + candidates,
        }
    return event(body)


def answer(
    *texts: str, usage: tuple[int, int] | None = (42, 7), finish_reason: str = "STOP"
) -> Reply:
    """A complete answer; as with the vendor, the last chunk carries both text and finish reason."""
    *early, last = texts
    return stream(
        *(chunk(text) for text in early), chunk(last, finish_reason=finish_reason, usage=usage)
    )


def stream(*steps: Step) -> Reply:
    """A stream of any steps; nothing is added."""
    return Reply(headers=SSE, steps=steps)


def stalled(*texts: str) -> Reply:
    """The texts, then silence."""
    return stream(*(chunk(text) for text in texts), Stall())


def broken_off(*texts: str, reset: bool = False) -> Reply:
    """The texts, then the connection closes in the middle of the reply."""
    return stream(*(chunk(text) for text in texts), BreakOff(reset=reset))


def unfinished(*texts: str) -> Reply:
    """The texts, then a polite end of the body, without a finish reason."""
    return stream(*(chunk(text) for text in texts))


def blocked_prompt(reason: str = "SAFETY") -> Reply:
    return stream(event({"promptFeedback": {"blockReason": reason}, "modelVersion": "test-model"}))


def error_body(
    code: int, status: str, message: str, details: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    body: dict[str, Any] = {"code": code, "message": message, "status": status}
    if details is not None:
        body["details"] = details
    return {"error": body}


def error(
    code: int,
    status: str = "INTERNAL",
    message: str = "Something went wrong.",
    *,
    details: list[dict[str, Any]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    return json_reply(code, error_body(code, status, message, details), headers)


def rate_limited(*, retry_after: str | None = None, retry_delay: str | None = None) -> Reply:
    """429 with a Retry-After header, with Google's RetryInfo ("1.5s"), or with neither."""
    details: list[dict[str, Any]] | None = None
    if retry_delay is not None:
        details = [
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": []},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": retry_delay},
        ]
    return error(
        429,
        "RESOURCE_EXHAUSTED",
        "You exceeded your current quota.",
        details=details,
        headers={} if retry_after is None else {"retry-after": retry_after},
    )


def wrong_key(key: str) -> Reply:
    """Quotes the key, as careless gateways do."""
    return error(400, "INVALID_ARGUMENT", f"API key not valid: {key}.")


class GeminiWireServer(WireServer):
    def __init__(
        self, *, default: Script | None = None, api_key: str | None = None, port: int = 0
    ) -> None:
        super().__init__(default=default or answer(*DEFAULT_PIECES), api_key=api_key, port=port)

    @property
    def base_url(self) -> str:
        return self.origin

    def refuse(self, request: Request) -> Reply | None:
        path = re.fullmatch(r"/v1(?:beta)?/models/[^/]+:streamGenerateContent", request.path)
        if request.method != "POST" or path is None or "alt=sse" not in request.query.split("&"):
            return error(404, "NOT_FOUND", f"Unknown request: {request.method} {request.path}.")
        key = request.headers.get("x-goog-api-key", "")
        if self.api_key is not None and key != self.api_key:
            return wrong_key(key)
        return None


def main() -> None:
    serve_by_hand(
        lambda port: GeminiWireServer(port=port),
        description=__doc__ or "",
        hint="A Gemini API at {origin}, for the SDK's option base_url",
    )


if __name__ == "__main__":
    main()
