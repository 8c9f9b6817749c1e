"""The servers that the benchmarks of streaming and history talk to, each a process of its own.

`groundql` is the application as `python server.py` runs it, with a fake embedding model and a
generator that costs next to nothing. `plain` is what one could write by hand with Starlette: the
same messages, one token each, without GraphQL and without a store.

    python -m benchmarks.servers groundql FOLDER

prints its port. Beside the API there are `POST /plan`, `POST /open` and `GET /usage`: see `Plan`.
With BENCHMARK_PROFILE=FILE in the environment, what `cProfile` sees of the event loop is written to
FILE.groundql and FILE.plain.
"""

from __future__ import annotations

import asyncio
import cProfile
import json
import os
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import orjson
import uvicorn
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from benchmarks.history_by_hand import read_page, read_page_beside
from benchmarks.sample import sample_settings
from rag.embedding.fake import FakeEmbedder
from rag.generation.base import GenerationEvent, Prompt, TextPiece
from resolvers.account import authenticate
from server import create_app, listen
from transport.limits import Limits
from wiring import Parts, tune_interpreter

# Pieces of the size of a language model's tokens.
TOKENS: Final = ("You ", "can ", "send ", "it ", "back", " in ", "45 ", "days", ", as", " new.")
DOCUMENT: Final = """---
title: Returns
type: policy
category: returns
language: en
---
# Returns

You can return an item within 45 days of delivery. Keep the receipt.
"""
DATABASE: Final = "groundql.db"


class Plan:
    """What replies say: `tokens` pieces each, `rate` a second or, with 0, as fast as it goes.

    They all wait before their first piece until `POST /open`, so that they begin together, and so
    that the memory of waiting subscriptions can be read. With a rate, a piece is the moment at
    which it was made (`time.monotonic_ns`, one clock for all processes of a machine), and the
    replies are spread evenly over the time between two pieces.
    """

    def __init__(self) -> None:
        self.begin(replies=1, tokens=1, rate=0)

    def begin(self, *, replies: int, tokens: int, rate: float) -> None:
        self.replies, self.tokens, self.rate = replies, tokens, rate
        self.waiting = 0
        self.gate = asyncio.Event()

    async def pieces(self) -> AsyncGenerator[str, None]:
        number = self.waiting
        self.waiting += 1
        await self.gate.wait()
        if not self.rate:
            for place in range(self.tokens):
                yield TOKENS[place % len(TOKENS)]
            return
        clock = asyncio.get_running_loop().time
        begin = clock() + number / self.replies / self.rate
        for place in range(self.tokens):
            if (delay := begin + place / self.rate - clock()) > 0:
                await asyncio.sleep(delay)
            yield f"{time.monotonic_ns()} "

    def routes(self) -> list[Route]:
        async def begin(request: Request) -> Response:
            self.begin(**await request.json())
            return JSONResponse({})

        async def start(request: Request) -> Response:
            self.gate.set()
            return JSONResponse({})

        async def usage(request: Request) -> Response:
            return JSONResponse(
                {"waiting": self.waiting, "cpu": time.process_time(), "memory": _memory()}
            )

        return [
            Route("/plan", begin, methods=["POST"]),
            Route("/open", start, methods=["POST"]),
            Route("/usage", usage),
        ]


def _memory() -> int | None:
    """The resident memory of this process in bytes, where Linux tells it."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


class _PlannedGenerator:
    provider: Final = "offline"
    model: Final = "planned"

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    async def generate(self, prompt: Prompt) -> AsyncGenerator[GenerationEvent, None]:
        async for piece in self._plan.pieces():
            yield TextPiece(piece)

    async def close(self) -> None:
        pass


def groundql(folder: Path) -> Starlette:
    """The application; its data is in `folder`."""
    (folder / "kb").mkdir(parents=True, exist_ok=True)
    (folder / "kb" / "returns.md").write_text(DOCUMENT, encoding="utf-8")
    plan = Plan()
    settings = sample_settings(folder, folder / "kb")
    changes: dict[str, Any] = json.loads(os.environ.get("BENCHMARK_SETTINGS", "{}"))
    app = create_app(
        # A key that stays in the folder: tokens outlive the process.
        settings.model_copy(update={"secret_key": SecretStr(""), **changes}),
        Parts(embedder=FakeEmbedder, generator=lambda: _PlannedGenerator(plan)),
    )
    app.router.routes.extend(plan.routes())

    async def history(request: Request) -> Response:
        """A page by hand, for who is logged in, with the store that GraphQL reads."""
        services = app.state.services
        services.store.bind()
        viewer, _ = await authenticate(services, request.headers.get("authorization"))
        place = {**await request.json(), "reader": str(viewer.id) if viewer else ""}
        body = await read_page_beside(services.store, **place)
        return Response(body, media_type="application/json")

    app.router.routes.append(Route("/history", history, methods=["POST"]))
    lifespan = app.router.lifespan_context

    @asynccontextmanager
    async def ready(app: Starlette) -> AsyncIterator[None]:
        async with lifespan(app):
            # As the server does it once everything is loaded.
            await tune_interpreter(app.state.knowledge)
            yield

    app.router.lifespan_context = ready
    return app


def plain(folder: Path) -> Starlette:
    """The hand-written endpoints: replies over a WebSocket, and a page of a session in `folder`."""
    plan = Plan()

    async def socket(websocket: WebSocket) -> None:
        await websocket.accept(subprotocol="graphql-transport-ws")
        await websocket.receive_text()
        await websocket.send_text('{"type":"connection_ack"}')
        operation: str = json.loads(await websocket.receive_text())["id"]
        seq = 1

        async def send(event: dict[str, Any]) -> None:
            message = {"id": operation, "type": "next", "payload": {"data": {"chat": event}}}
            await websocket.send_text(orjson.dumps(message).decode())

        await send({"__typename": "ReplyStarted", "seq": seq})
        async for piece in plan.pieces():
            seq += 1
            await send({"__typename": "TextDelta", "seq": seq, "text": piece})
            if seq % 32 == 0:
                await asyncio.sleep(0)  # a send need not suspend, and others want their turn
        await send({"__typename": "ReplyEnded", "seq": seq + 1, "reply": {"status": "COMPLETE"}})
        await websocket.send_text(orjson.dumps({"id": operation, "type": "complete"}).decode())
        await websocket.receive()  # the client closes

    connection: sqlite3.Connection | None = None

    async def history(request: Request) -> Response:
        nonlocal connection
        if connection is None:
            connection = sqlite3.connect(folder / DATABASE)
        body = read_page(connection, **await request.json())
        return Response(body, media_type="application/json")

    return Starlette(
        routes=[
            WebSocketRoute("/graphql", socket),
            Route("/history", history, methods=["POST"]),
            *plan.routes(),
        ]
    )


def main(kind: str, folder: Path) -> None:
    app = {"groundql": groundql, "plain": plain}[kind](folder)
    listener = listen("127.0.0.1", 0)
    listener.listen(2048)  # whoever connects from now on waits until the lifespan has begun
    print(listener.getsockname()[1], flush=True)
    # The options of `server.serve`.
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        ws_max_size=Limits().message_bytes,
        ws_max_queue=4,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=1,
        server_header=False,
    )
    # uvicorn raises the signal that stopped it again, which would end the process at once.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    profiler = cProfile.Profile()
    profile = os.environ.get("BENCHMARK_PROFILE")
    if profile:
        profiler.enable()
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        if profile:
            profiler.disable()
            profiler.dump_stats(f"{profile}.{kind}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
