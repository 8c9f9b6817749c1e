"""The wire servers themselves: what tests rely on, and how they are started by hand."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.wire import gemini_server, openai_server
from tests.wire.server import Pause, WireServer

CHAT: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "user", "content": "Hello?"}],
    "stream": True,
    "stream_options": {"include_usage": True},
}
CHAT_PATH = "/v1/chat/completions"
GEMINI_PATH = "/v1beta/models/m:streamGenerateContent?alt=sse"


def post(url: str, body: object, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """Status and text of an answer, straight to this machine whatever the proxy settings."""
    request = urllib.request.Request(url, json.dumps(body).encode(), headers or {})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def test_openai_s_wire_format() -> None:
    """An answer is a series of chunks, a usage for those who ask, and [DONE]."""
    with openai_server.OpenAIWireServer() as server:
        server.enqueue(openai_server.answer("Hi", "!", usage=(3, 2)))
        status, text = post(f"{server.base_url}/chat/completions", CHAT)
    assert status == 200
    events = text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    assert [chunk["object"] for chunk in chunks] == ["chat.completion.chunk"] * 5
    deltas = [chunk["choices"][0]["delta"].get("content") for chunk in chunks[:4]]
    assert deltas == ["", "Hi", "!", None]
    assert chunks[3]["choices"][0]["finish_reason"] == "stop"
    assert chunks[4]["choices"] == []
    assert chunks[4]["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def test_gemini_s_wire_format() -> None:
    """The last chunk carries text, finish reason and usage, and nothing comes after it."""
    with gemini_server.GeminiWireServer() as server:
        server.enqueue(gemini_server.answer("Hi", "!", usage=(3, 2)))
        status, text = post(f"{server.base_url}{GEMINI_PATH}", {"contents": []})
    assert status == 200
    *events, rest = text.split("\r\n\r\n")
    assert rest == ""
    first, last = (json.loads(event.removeprefix("data: ")) for event in events)
    assert first["candidates"][0]["content"]["parts"] == [{"text": "Hi"}]
    assert "finishReason" not in first["candidates"][0]
    assert last["candidates"][0]["finishReason"] == "STOP"
    assert last["usageMetadata"]["totalTokenCount"] == 5


def test_requests_are_recorded() -> None:
    """A test can read what was sent, and that the reply went out whole."""
    with openai_server.OpenAIWireServer() as server:
        post(f"{server.base_url}/chat/completions", CHAT, {"X-Test": "yes"})
        assert server.wait_for_requests(1)
        assert server.wait_until_finished(1)
        [request] = server.requests
        assert (request.method, request.path, request.query) == (
            "POST",
            "/v1/chat/completions",
            "",
        )
        assert request.json == CHAT
        assert request.headers["x-test"] == "yes"
        assert not request.disconnected
        assert not server.wait_for_disconnect(0.01)


@pytest.mark.parametrize(
    ("kind", "path", "body", "key", "status"),
    [
        (openai_server.OpenAIWireServer, "/v1/completions", CHAT, "right", 404),
        (openai_server.OpenAIWireServer, CHAT_PATH, {**CHAT, "stream": False}, "right", 400),
        (openai_server.OpenAIWireServer, CHAT_PATH, CHAT, "wrong", 401),
        (gemini_server.GeminiWireServer, "/v1beta/models/m:generateContent", {}, "right", 404),
        (gemini_server.GeminiWireServer, GEMINI_PATH, {}, "wrong", 400),
    ],
)
def test_what_the_vendor_would_refuse(
    kind: Any, path: str, body: object, key: str, status: int
) -> None:
    """Wrong paths, unstreamed requests and wrong keys get the vendor's error, not an answer."""
    with kind(api_key="right") as server:
        headers = {"authorization": f"Bearer {key}", "x-goog-api-key": key}
        got, text = post(f"{server.origin}{path}", body, headers)
    assert got == status
    assert "error" in json.loads(text)


def test_a_client_that_leaves_is_noticed() -> None:
    """A closed connection is seen while the server pauses, and the reply is not finished."""
    with openai_server.OpenAIWireServer() as server:
        server.enqueue(openai_server.stream(openai_server.opening(), Pause(30)))
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            body = json.dumps(CHAT).encode()
            head = f"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: {len(body)}\r\n\r\n"
            client.sendall(head.encode() + body)
            assert client.recv(12) == b"HTTP/1.1 200"
            assert server.connections == 1
        assert server.wait_for_disconnect(1.0)
        assert server.wait_until_unconnected(1.0)
        assert not server.requests[0].finished


def test_stopping_ends_what_is_under_way() -> None:
    """A server stops at once even while a reply stalls."""
    with openai_server.OpenAIWireServer() as server:
        server.enqueue(openai_server.stalled("One"))
        client = socket.create_connection(("127.0.0.1", server.port))
        body = json.dumps(CHAT).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        assert server.wait_for_requests(1)
        start = time.monotonic()
    assert time.monotonic() - start < 1
    client.close()


def test_a_taken_port_is_an_error() -> None:
    """A server that cannot listen says so instead of hanging."""
    with openai_server.OpenAIWireServer() as first, pytest.raises(OSError, match="in use"):
        openai_server.OpenAIWireServer(port=first.port).__enter__()


@pytest.mark.parametrize(
    ("module", "path", "body", "marker"),
    [
        ("tests.wire.openai_server", CHAT_PATH, CHAT, "data: [DONE]"),
        ("tests.wire.gemini_server", GEMINI_PATH, {}, '"finishReason": "STOP"'),
    ],
)
def test_by_hand(module: str, path: str, body: object, marker: str) -> None:
    """Started from the command line, a server says where it is, answers, and stops on Ctrl-C."""
    command = [sys.executable, "-m", module, "--delay", "0"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # Shells start background jobs with SIGINT ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None
        hint = process.stdout.readline()
        origin = (
            "http://127.0.0.1:" + hint.split("http://127.0.0.1:")[1].split("/")[0].split(",")[0]
        )
        status, text = post(origin.strip() + path, body)
        assert (status, marker in text) == (200, True)
        assert process.stdout.readline().startswith("POST ")
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(30) == 0
        finally:
            process.kill()


def test_the_base_class_refuses_to_be_used() -> None:
    """A vendor's server says itself what it refuses."""
    server = WireServer(default=gemini_server.answer("x"))
    with pytest.raises(NotImplementedError):
        server.refuse(None)  # type: ignore[arg-type]
