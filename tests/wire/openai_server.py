"""OpenAI's streaming chat completions, on 127.0.0.1. See the package's docstring for usage."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
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

SSE = {"content-type": "text/event-stream; charset=utf-8"}
DONE = b"data: [DONE]\n\n"
DEFAULT_PIECES = ("According to ", "the documents, ", "yes ", "[1].")


def event(body: object) -> bytes:
    return b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"


def chunk(
    delta: Mapping[str, Any] | None = None,
    *,
    finish_reason: str | None = None,
    usage: tuple[int, int] | None = None,
) -> bytes:
    """One chat.completion.chunk. With `delta=None` it has no choice, as a usage chunk has none."""
    body: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "test-model",
        "choices": [],
    }
    if delta is not None:
        body["choices"] = [
            {"index": 0, "delta": dict(delta), "logprobs": None, "finish_reason": finish_reason}
        ]
    if usage is not None:
        prompt, completion = usage
        body["usage"] = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }
    return event(body)


def opening() -> bytes:
    """The first chunk: a role, no text yet."""
    return chunk({"role": "assistant", "content": ""})


def pieces(*texts: str) -> tuple[bytes, ...]:
    return tuple(chunk({"content": text}) for text in texts)


def answer(
    *texts: str, usage: tuple[int, int] | None = (42, 7), finish_reason: str = "stop"
) -> Callable[[Request], Reply]:
    """A complete answer. The usage is sent only to those who ask for it, as the vendor does."""

    def reply(request: Request) -> Reply:
        steps: list[Step] = [opening(), *pieces(*texts), chunk({}, finish_reason=finish_reason)]
        options = request.json.get("stream_options") or {}
        if usage is not None and options.get("include_usage"):
            steps.append(chunk(usage=usage))
        return Reply(headers=SSE, steps=(*steps, DONE))

    return reply


def stream(*steps: Step) -> Reply:
    """A stream of any steps; nothing is added."""
    return Reply(headers=SSE, steps=steps)


def stalled(*texts: str) -> Reply:
    """The texts, then silence. Without texts it stalls after the opening chunk."""
    return stream(opening(), *pieces(*texts), Stall())


def broken_off(*texts: str, reset: bool = False) -> Reply:
    """The texts, then the connection closes in the middle of the reply."""
    return stream(opening(), *pieces(*texts), BreakOff(reset=reset))


def unfinished(*texts: str) -> Reply:
    """The texts, then a polite end of the body, without a finish reason or [DONE]."""
    return stream(opening(), *pieces(*texts))


def error(
    status: int,
    message: str = "Something went wrong.",
    *,
    type: str = "server_error",
    code: str | None = None,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    body = {"error": {"message": message, "type": type, "param": param, "code": code}}
    return json_reply(status, body, headers)


def rate_limited(*, retry_after: str | None = None) -> Reply:
    headers = {} if retry_after is None else {"retry-after": retry_after}
    return error(
        429,
        "Rate limit reached for test-model.",
        type="requests",
        code="rate_limit_exceeded",
        headers=headers,
    )


def quota_used_up() -> Reply:
    return error(
        429,
        "You exceeded your current quota.",
        type="insufficient_quota",
        code="insufficient_quota",
    )


def wrong_key(key: str) -> Reply:
    """Quotes the key, as careless gateways do."""
    return error(
        401,
        f"Incorrect API key provided: {key}.",
        type="invalid_request_error",
        code="invalid_api_key",
    )


def no_stream_options() -> Callable[[Request], Reply]:
    """An endpoint that does not know `stream_options`, and answers without."""

    def reply(request: Request) -> Reply:
        if "stream_options" in request.json:
            return error(
                400,
                "Unknown parameter: 'stream_options'.",
                type="invalid_request_error",
                param="stream_options",
            )
        return answer("Plain ", "answer.")(request)

    return reply


class OpenAIWireServer(WireServer):
    def __init__(
        self, *, default: Script | None = None, api_key: str | None = None, port: int = 0
    ) -> None:
        super().__init__(default=default or answer(*DEFAULT_PIECES), api_key=api_key, port=port)

    @property
    def base_url(self) -> str:
        return f"{self.origin}/v1"

    def refuse(self, request: Request) -> Reply | None:
        if (request.method, request.path) != ("POST", "/v1/chat/completions"):
            return error(404, f"Unknown request URL: {request.method} {request.path}.")
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self.api_key is not None and key != self.api_key:
            return wrong_key(key)
        if request.json.get("stream") is not True:
            return error(400, "This server only streams.", type="invalid_request_error")
        return None


def main() -> None:
    serve_by_hand(
        lambda port: OpenAIWireServer(port=port),
        description=__doc__ or "",
        hint="GENERATOR=openai OPENAI_API_KEY=any OPENAI_BASE_URL={origin}/v1",
    )


if __name__ == "__main__":
    main()
