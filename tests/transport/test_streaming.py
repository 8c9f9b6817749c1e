"""Subscriptions over HTTP: multipart/mixed and server-sent events, over a real server."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.transport.app import App, build_app, eventually, serve, transport_tasks
from transport.endpoint import Rejected

pytestmark = pytest.mark.anyio

MULTIPART = 'multipart/mixed;subscriptionSpec="1.0", application/json'
EVENTS = "text/event-stream"
UNAVAILABLE = {"message": "Service restart", "extensions": {"code": "SERVICE_UNAVAILABLE"}}


@asynccontextmanager
async def streamed(
    app: App, query: str, accept: str = MULTIPART
) -> AsyncIterator[tuple[httpx.Response, AsyncIterator[str]]]:
    async with (
        serve(app.endpoint) as address,
        httpx.AsyncClient() as client,
        client.stream(
            "POST",
            f"http://{address}/graphql",
            json={"query": query},
            headers={"accept": accept},
        ) as response,
    ):
        yield response, response.aiter_text()


def parts(text: str) -> list[Any]:
    """The parts' JSON, read as a client does; the text must be one whole multipart body."""
    assert text.startswith("\r\n---\r\n")
    assert text.endswith("\r\n-----\r\n")
    found = text.removeprefix("\r\n---").removesuffix("--\r\n").split("\r\n---")
    assert found.pop() == ""
    bodies = []
    for part in found:
        head, _, body = part.partition("\r\n\r\n")
        assert head == "\r\ncontent-type: application/json"
        bodies.append(json.loads(body))
    return bodies


async def test_multipart_parts_carry_the_results() -> None:
    """Each is wrapped in `payload`, and the last boundary closes the stream."""
    async with streamed(build_app(), "subscription { count(to: 2) }") as (response, chunks):
        assert response.status_code == 200
        content_type = 'multipart/mixed;boundary="-";subscriptionSpec="1.0"'
        assert response.headers["content-type"] == content_type
        assert len(response.headers["x-request-id"]) == 32
        text = "".join([chunk async for chunk in chunks])
    assert parts(text) == [{"payload": {"data": {"count": 1}}}, {"payload": {"data": {"count": 2}}}]


async def test_events_carry_the_results() -> None:
    """GraphQL over SSE, distinct connections mode."""
    query = "subscription { count(to: 2) }"
    async with streamed(build_app(), query, EVENTS) as (response, chunks):
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        text = "".join([chunk async for chunk in chunks])
    assert text == (
        ":\n\n"
        'event: next\ndata: {"data":{"count":1}}\n\n'
        'event: next\ndata: {"data":{"count":2}}\n\n'
        "event: complete\ndata:\n\n"
    )


async def test_an_event_source_may_use_get() -> None:
    """A browser's EventSource knows no other method."""
    app = build_app()
    async with serve(app.endpoint) as address, httpx.AsyncClient() as client:
        response = await client.get(
            f"http://{address}/?query={quote('subscription { count(to: 1) }')}",
            headers={"accept": EVENTS},
        )
    assert 'data: {"data":{"count":1}}' in response.text


@pytest.mark.parametrize("query", ["{ hello }", "mutation { write }"])
async def test_other_operations_give_one_part(query: str) -> None:
    """A client that asks for a stream gets one, whatever it runs."""
    async with streamed(build_app(), query) as (response, chunks):
        assert response.status_code == 200
        found = parts("".join([chunk async for chunk in chunks]))
    assert len(found) == 1
    assert set(found[0]["payload"]) == {"data"}


@pytest.mark.parametrize("accept", [MULTIPART, EVENTS])
async def test_each_event_arrives_as_it_happens(accept: str) -> None:
    """The first event is whole on the wire while the source still waits."""
    app = build_app()
    async with streamed(app, "subscription { wait }", accept) as (_, chunks):
        text = ""
        while '{"data":{"wait":"begun"}}' not in text:
            text += await asyncio.wait_for(anext(chunks), 5)
        assert text.endswith("\r\n---" if accept == MULTIPART else "\n\n")
        app.journal.gate.set()
        rest = "".join([chunk async for chunk in chunks])
    assert '{"data":{"wait":"done"}}' in rest


async def test_silence_is_filled_with_heartbeats() -> None:
    """The headers come with the first; proxies then know that the stream is alive."""
    app = build_app(stream_start_seconds=0.01, heartbeat_seconds=0.05)
    async with streamed(app, "subscription { silent }") as (_, chunks):
        text = ""
        while text.count("{}") < 3:
            text += await asyncio.wait_for(anext(chunks), 5)
        app.journal.gate.set()
        text += "".join([chunk async for chunk in chunks])
    found = parts(text)
    assert found[:3] == [{}, {}, {}]
    assert found[-1] == {"payload": {"data": {"silent": "done"}}}


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("subscription {", 400),
        ("subscription { nothing }", 400),
        ('subscription { count(to: "x") }', 400),
        ("{" * 10_000, 400),
        ("query A { hello } query B { hello }", 200),
    ],
)
async def test_a_refused_operation_is_a_plain_response(query: str, status: int) -> None:
    """What is known before the stream begins has an HTTP status."""
    async with streamed(build_app(), query) as (response, chunks):
        text = "".join([chunk async for chunk in chunks])
        assert response.status_code == status
        if status == 400:
            assert response.headers["content-type"] == "application/json; charset=utf-8"
            assert json.loads(text)["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_a_refusal_after_the_start_is_an_event() -> None:
    """A stream that has begun cannot take its status back."""
    app = build_app(stream_start_seconds=0.0)
    app.hooks.delay = 0.05
    async with streamed(app, "subscription { nothing }") as (response, chunks):
        assert response.status_code == 200
        found = parts("".join([chunk async for chunk in chunks]))
    assert found[0] == {}
    assert [set(part["payload"]) for part in found[1:]] == [{"errors"}]


async def test_a_bug_in_a_source_is_masked() -> None:
    """It is the last event."""
    async with streamed(build_app(), "subscription { bug }") as (_, chunks):
        found = parts("".join([chunk async for chunk in chunks]))
    error = {
        "message": "Internal server error.",
        "extensions": {"code": "INTERNAL_SERVER_ERROR"},
    }
    assert found == [{"payload": {"data": {"bug": "before"}}}, {"payload": {"errors": [error]}}]


async def test_a_source_may_reject_the_client() -> None:
    """Rejected is a fatal error of the stream, in Apollo's form."""
    async with streamed(build_app(), "subscription { rejected }") as (_, chunks):
        found = parts("".join([chunk async for chunk in chunks]))
    error = {"message": "Forbidden", "extensions": {"code": "FORBIDDEN"}}
    assert found[1:] == [{"payload": None, "errors": [error]}]


async def test_a_rejection_before_the_start_has_its_status() -> None:
    """As for any other request."""
    app = build_app()
    app.hooks.fail_operation = Rejected(4401, "No")
    async with streamed(app, "subscription { count }") as (response, _):
        assert response.status_code == 401


@pytest.mark.parametrize("accept", [MULTIPART, EVENTS])
async def test_a_client_that_goes_away_ends_its_operation(accept: str) -> None:
    """At once, also in the middle of silence."""
    app = build_app()
    async with serve(app.endpoint) as address:
        async with (
            httpx.AsyncClient() as client,
            client.stream(
                "POST",
                f"http://{address}/graphql",
                json={"query": "subscription { wait }"},
                headers={"accept": accept},
            ) as response,
        ):
            async for text in response.aiter_text():
                if "begun" in text:
                    break
        await eventually(lambda: app.journal.entries[-2:] == ["wait ended", "exit"])
        await eventually(lambda: not transport_tasks())


async def test_a_slow_reader_pauses_its_source() -> None:
    """What is produced is bounded by the connection's buffers."""
    app = build_app()
    async with streamed(app, "subscription { text(size: 10000, to: 100000) }") as (response, _):
        previous = -1
        while app.journal.produced != previous:
            previous = app.journal.produced
            await asyncio.sleep(0.1)
        assert previous * 10_000 < 30_000_000
        await response.aclose()
        await eventually(lambda: "text ended" in app.journal.entries)


async def test_shutdown_ends_streams_with_a_fatal_error() -> None:
    """Within its grace they may end by themselves."""
    app = build_app()
    async with streamed(app, "subscription { wait }") as (_, chunks):
        text = ""
        while "begun" not in text:
            text += await asyncio.wait_for(anext(chunks), 5)
        await app.endpoint.shutdown(grace=0.05)
        text += "".join([chunk async for chunk in chunks])
    assert parts(text)[1:] == [{"payload": None, "errors": [UNAVAILABLE]}]
    assert app.journal.entries[-2:] == ["wait ended", "exit"]


async def test_requests_after_shutdown_get_503() -> None:
    """The one 5xx that is no bug; clients try again elsewhere."""
    app = build_app()
    await app.endpoint.shutdown()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app.endpoint)) as client:
        response = await client.post("http://test/", json={"query": "{ hello }"})
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.json()["errors"][0]["extensions"]["code"] == "SERVICE_UNAVAILABLE"


async def test_chosen_streams_can_be_closed() -> None:
    """As sockets can; before its start a stream ends as a plain response."""
    app = build_app(stream_start_seconds=60)
    task = asyncio.create_task(_read(app))
    await eventually(lambda: "enter" in app.journal.entries)
    await asyncio.sleep(0.05)
    assert app.endpoint.close(lambda connection: True) == 1
    response = await task
    assert response.status_code == 403
    error = {"message": "Forbidden", "extensions": {"code": "FORBIDDEN"}}
    assert response.json() == {"errors": [error]}


async def _read(app: App) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app.endpoint)) as client:
        return await client.post(
            "http://test/",
            json={"query": "subscription { silent }"},
            headers={"accept": MULTIPART},
        )
