"""A small schema with its hooks, and real servers for it."""

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import strawberry
import uvicorn
from graphql import GraphQLError
from strawberry.file_uploads import Upload
from strawberry.scalars import JSON
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext

import transport
from transport.direct import Direct
from transport.documents import DocumentCache
from transport.endpoint import Connection, GraphQLEndpoint, Limits, Rejected, request_id


@dataclass
class Journal:
    """What the resolvers and hooks saw, in order."""

    entries: list[str] = field(default_factory=list)
    produced: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Context:
    connection: Connection
    journal: Journal


Info = strawberry.Info[Context, None]


@strawberry.type
class Node:
    name: str = "node"

    @strawberry.field
    def child(self) -> "Node":
        return Node()


@strawberry.type
class Query:
    @strawberry.field
    def hello(self, name: str = "world") -> str:
        return f"Hello {name}"

    @strawberry.field
    def node(self) -> Node:
        return Node()

    @strawberry.field
    def double(self, number: int = 1, factor: float = 2.0, flag: bool = True) -> float:
        return number * factor

    @strawberry.field
    def anything(self, value: JSON) -> JSON:
        return value

    @strawberry.field
    def viewer(self, info: Info) -> str | None:
        return info.context.connection.authorization

    @strawberry.field
    def request(self, info: Info) -> str:
        return f"{info.context.connection.request_id} {request_id.get()}"

    @strawberry.field
    async def bug(self) -> str | None:
        raise RuntimeError("secret detail")


@strawberry.type
class Mutation:
    @strawberry.mutation
    def write(self, info: Info, text: str = "x") -> str:
        info.context.journal.entries.append(f"write {text}")
        return text

    @strawberry.mutation
    async def upload(self, files: list[Upload]) -> list[str]:
        return [(await file.read()).decode() for file in files]  # type: ignore[attr-defined]


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, info: Info, to: int = 3) -> AsyncGenerator[int, None]:
        """Counts without ever waiting, and notes its end."""
        journal = info.context.journal
        try:
            for number in range(1, to + 1):
                journal.produced = number
                yield number
        finally:
            journal.entries.append("count ended")

    @strawberry.subscription
    async def direct(self, info: Info, to: int = 3) -> AsyncGenerator[int, None]:
        """Counts the short way, but yields every third number."""
        journal = info.context.journal
        root: object = info.root_value
        assert isinstance(root, Direct)
        try:
            for number in range(1, to + 1):
                journal.produced = number
                if number % 3 == 0:
                    yield number
                elif not await root.send({"direct": number}):
                    journal.entries.append("direct refused")
                    return
        finally:
            journal.entries.append("direct ended")

    @strawberry.subscription
    async def text(self, info: Info, size: int, to: int) -> AsyncGenerator[str, None]:
        journal = info.context.journal
        try:
            for number in range(1, to + 1):
                journal.produced = number
                yield "x" * size
        finally:
            journal.entries.append("text ended")

    @strawberry.subscription
    async def wait(self, info: Info) -> AsyncGenerator[str, None]:
        """Says that it has begun, then waits for the journal's gate."""
        journal = info.context.journal
        journal.entries.append("wait began")
        try:
            yield "begun"
            await journal.gate.wait()
            yield "done"
        finally:
            journal.entries.append("wait ended")

    @strawberry.subscription
    async def silent(self, info: Info) -> AsyncGenerator[str, None]:
        """Says nothing until the journal's gate opens."""
        await info.context.journal.gate.wait()
        yield "done"

    @strawberry.subscription
    async def rejected(self) -> AsyncGenerator[str, None]:
        yield "before"
        raise Rejected(4403, "Forbidden")

    @strawberry.subscription
    async def bug(self) -> AsyncGenerator[str, None]:
        yield "before"
        raise RuntimeError("secret detail")


class QuietSchema(strawberry.Schema):
    def process_errors(
        self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        """The hooks' format_error is where errors are logged."""


class AppHooks:
    """Knows two good tokens; everything it does is in the journal."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.fail_operation: BaseException | None = None
        self.delay = 0.0

    async def connect(self, connection: Connection) -> None:
        self.journal.entries.append(f"connect {connection.authorization}")
        if connection.authorization == "bad":
            raise Rejected(4403, "Forbidden")
        if connection.authorization == "bug":
            raise RuntimeError("secret detail")

    @asynccontextmanager
    async def operation(self, connection: Connection) -> AsyncIterator[Context]:
        if self.fail_operation is not None:
            raise self.fail_operation
        if self.delay:
            await asyncio.sleep(self.delay)
        self.journal.entries.append("enter")
        try:
            yield Context(connection, self.journal)
        finally:
            self.journal.entries.append("exit")

    def format_error(self, error: GraphQLError) -> dict[str, Any]:
        formatted: dict[str, Any] = dict(error.formatted)
        known = error.original_error is None or isinstance(error.original_error, GraphQLError)
        if not known:
            formatted["message"] = "Internal server error."
        code = "BAD_USER_INPUT" if known else "INTERNAL_SERVER_ERROR"
        formatted["extensions"] = {"code": code, **(error.extensions or {})}
        return formatted


def build_schema(cache: DocumentCache | None = None) -> strawberry.Schema:
    return QuietSchema(
        Query,
        Mutation,
        Subscription,
        extensions=[(cache or DocumentCache()).extension],
        config=StrawberryConfig(),
    )


@dataclass
class App:
    endpoint: GraphQLEndpoint
    hooks: AppHooks
    journal: Journal


def build_app(
    limits: Limits | None = None, *, allowed_origins: tuple[str, ...] = (), **values: Any
) -> App:
    journal = Journal()
    hooks = AppHooks(journal)
    endpoint = GraphQLEndpoint(
        build_schema(),
        hooks,
        limits=limits or Limits(**values),
        allowed_origins=allowed_origins,
    )
    return App(endpoint, hooks, journal)


@asynccontextmanager
async def serve(app: Any, **settings: Any) -> AsyncIterator[str]:
    """Run a real server in this event loop; yields host:port."""
    # asyncio turns Nagle's algorithm off only for sockets that name their protocol; with it on,
    # every second small message waits 40 ms for the client's acknowledgement.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        log_level="critical",
        access_log=False,
        lifespan="off",
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=2,
        **settings,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await eventually(lambda: server.started)
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listener.close()


async def eventually(check: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until `check` holds; fails when it does not in time."""
    async with asyncio.timeout(seconds):
        while not check():  # noqa: ASYNC110 - the state has no event to wait for
            await asyncio.sleep(0.005)


def transport_tasks() -> list[asyncio.Task[Any]]:
    """The running tasks whose coroutine is of the transport or of a streamed operation."""
    folder = str(Path(transport.__file__).parent)
    return [
        task
        for task in asyncio.all_tasks()
        if getattr(task.get_coro(), "cr_code", None) is not None
        and task.get_coro().cr_code.co_filename.startswith(folder)  # type: ignore[union-attr]
    ]
