"""Who may open a socket, how it ends, and that nothing is left of it."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from tests.transport.app import build_app, eventually, serve, transport_tasks
from tests.transport.sockets import complete, next_, opened

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("origin", "accepted"),
    [
        ("https://allowed.example", True),
        ("HTTPS://Allowed.Example", True),
        ("https://other.example", False),
        ("http://allowed.example", False),
        ("null", False),
        ("http://127.0.0.1:1", False),
        ("http://[", False),
        ("same", True),
    ],
)
async def test_origins_are_checked_before_the_handshake(origin: str, accepted: bool) -> None:
    """The own origin and listed ones open a socket; any other page gets 403."""
    app = build_app(allowed_origins=("https://allowed.example",))
    async with serve(app.endpoint) as address:
        origin = f"http://{address}" if origin == "same" else origin
        if accepted:
            async with opened(address, origin=Origin(origin)) as client:
                await client.init()
        else:
            with pytest.raises(InvalidStatus) as caught:
                async with opened(address, origin=Origin(origin)):
                    raise AssertionError("opened")
            assert caught.value.response.status_code == 403


async def test_sockets_of_one_address_are_bounded() -> None:
    """One more is refused with 429; a place that is freed can be used."""
    app = build_app(sockets_per_address=1)
    async with serve(app.endpoint) as address:
        async with opened(address):
            with pytest.raises(InvalidStatus) as caught:
                async with opened(address):
                    raise AssertionError("opened")
            assert caught.value.response.status_code == 429
        await eventually(lambda: app.endpoint.open_sockets == 0)
        async with opened(address) as client:
            await client.init()


async def test_shutdown_closes_idle_sockets_at_once_and_busy_ones_after_their_end() -> None:
    """1012 comes after the last event; new operations and sockets are not taken."""
    app = build_app()
    async with (
        serve(app.endpoint) as address,
        opened(address) as idle,
        opened(address) as busy,
        opened(address) as stuck,
    ):
        for client in (idle, busy, stuck):
            await client.init()
        await stuck.subscribe("subscription { wait }")
        await stuck.next()
        stuck_gate, app.journal.gate = app.journal.gate, asyncio.Event()
        await busy.subscribe("subscription { wait }", id="2")
        await busy.next()
        shutdown = asyncio.create_task(app.endpoint.shutdown(grace=0.3))
        assert await idle.closed() == (1012, "Service restart")
        await busy.subscribe("{ hello }", id="3")
        await busy.send({"type": "ping"})
        assert await busy.next() == {"type": "pong"}
        app.journal.gate.set()
        messages = [await busy.next() for _ in range(2)]
        assert messages == [next_({"wait": "done"}, "2"), complete("2")]
        with pytest.raises(InvalidStatus) as caught:
            async with opened(address):
                raise AssertionError("opened")
        assert caught.value.response.status_code == 503
        assert await stuck.closed() == (1012, "Service restart")
        assert await busy.closed() == (1012, "Service restart")
        assert not stuck_gate.is_set()
        await shutdown
    assert app.journal.entries.count("exit") == 2
    assert app.endpoint.open_sockets == 0


async def test_chosen_sockets_can_be_closed() -> None:
    """Those whose token matches, with their operations; the others go on."""
    app = build_app()
    async with serve(app.endpoint) as address, opened(address) as one, opened(address) as two:
        await one.init({"authorization": "one"})
        await two.init({"authorization": "two"})
        await one.subscribe("subscription { wait }")
        await one.next()
        assert app.endpoint.close(lambda connection: connection.authorization == "one") == 1
        assert await one.closed() == (4403, "Forbidden")
        await two.subscribe("{ viewer }")
        assert await two.next() == next_({"viewer": "two"})
        assert app.journal.entries.count("wait ended") == 1


# Resources


async def test_a_client_that_goes_away_ends_its_operations() -> None:
    """Whether it closes politely or its connection breaks."""
    app = build_app()
    async with serve(app.endpoint) as address:
        for polite in (True, False):
            app.journal.entries.clear()
            async with opened(address) as client:
                await client.init()
                await client.subscribe("subscription { wait }")
                await client.next()
                if not polite:
                    client.socket.transport.abort()
            await eventually(lambda: app.journal.entries[-2:] == ["wait ended", "exit"])
        await eventually(lambda: app.endpoint.open_sockets == 0)


async def test_a_slow_reader_pauses_only_its_own_source() -> None:
    """Memory stays bounded by the socket's buffers, others go on, and the end cleans up."""
    app = build_app()
    size, events = 10_000, 100_000
    async with serve(app.endpoint) as address:
        async with opened(address, max_queue=1) as slow:
            await slow.init()
            query = "subscription ($size: Int!, $to: Int!) { text(size: $size, to: $to) }"
            await slow.subscribe(query, variables={"size": size, "to": events})
            await eventually(lambda: app.journal.produced > 1)
            previous = -1
            while app.journal.produced != previous:
                previous = app.journal.produced
                await asyncio.sleep(0.1)
            # What the kernel's and the server's buffers hold, far from the whole.
            assert previous * size < 30_000_000
            async with opened(address) as quick:
                await quick.init()
                await quick.subscribe("{ hello }")
                assert await quick.next() == next_({"hello": "Hello world"})
            assert app.journal.produced == previous
            for _ in range(2000):
                await slow.next()
            assert app.journal.produced > previous
            slow.socket.transport.abort()
        await eventually(lambda: "text ended" in app.journal.entries)
        assert app.journal.produced < events


async def test_two_hundred_connections_leave_nothing_behind() -> None:
    """No task, no socket, however each of them ends."""
    app = build_app()
    async with serve(app.endpoint) as address:

        async def visit(number: int) -> None:
            async with opened(address) as client:
                await client.init()
                await client.subscribe("subscription { wait }")
                await client.next()
                if number % 3 == 0:
                    await client.send(complete())
                elif number % 3 == 1:
                    client.socket.transport.abort()

        for start in range(0, 200, 20):
            await asyncio.gather(*(visit(start + number) for number in range(20)))
        await eventually(lambda: app.endpoint.open_sockets == 0 and not transport_tasks())
    assert app.journal.entries.count("wait began") == 200
    assert app.journal.entries.count("wait ended") == 200
    assert app.journal.entries.count("exit") == 200


async def test_retiring_lets_what_runs_end_by_itself() -> None:
    """A socket closes after its last `complete`, an idle one at once, a stubborn one after the
    grace; those that do not match stay."""
    app = build_app()
    async with serve(app.endpoint) as address, AsyncExitStack() as stack:
        busy, idle, stubborn, other = [
            await stack.enter_async_context(opened(address)) for _ in range(4)
        ]
        for client, token in ((busy, "a"), (idle, "a"), (stubborn, "a"), (other, "b")):
            await client.init({"authorization": token})
        await busy.subscribe("subscription { count(to: 2) }")
        await stubborn.subscribe("subscription { wait }")
        await eventually(lambda: len(app.endpoint.connections()) == 4)
        assert await busy.next() == next_({"count": 1})
        await app.endpoint.retire(
            lambda connection: connection.authorization == "a", reason="Over", grace=0.2
        )
        assert [await busy.next(), await busy.next()] == [next_({"count": 2}), complete()]
        for client in (busy, idle, stubborn):
            assert await client.closed() == (4403, "Over")
        assert [one.authorization for one in app.endpoint.connections()] == ["b"]
