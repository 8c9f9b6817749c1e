"""The real application for tests: served by uvicorn on a port of its own."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from models.store import Store
from models.user import Role, User
from rag.embedding.base import Embedder
from rag.generation.base import Generator
from resolvers.context import Services
from resolvers.passwords import PasswordHasher
from server import create_app
from settings import Settings
from wiring import Parts, create_knowledge, prepare_knowledge

PASSWORD = "a long sentence is a good password"
SECRET = "0123456789abcdef0123456789abcdef"

DOCUMENTS = {
    "returns.md": """---
title: Returns
type: policy
category: returns
language: en
---
# Returns

## How long you have

You can return an item within 45 days of delivery. Keep the receipt.

## Who pays

Return shipping costs 4.90 euros. It is free if the item is faulty.
""",
    "shipping.md": """---
title: Shipping
type: policy
category: shipping
language: en
---
# Shipping

## Germany

Parcels within Germany arrive in two working days and cost 3.90 euros.

## Switzerland

Parcels to Switzerland arrive in six working days and cost 14.50 euros.
""",
    "kettle.md": """---
title: Gooseneck kettle manual
type: manual
category: kitchen
language: en
---
# Gooseneck kettle manual

## Descaling

Descale the kettle once a month with citric acid. Boil twice with fresh water afterwards.

## Error codes

| Code | Meaning |
| --- | --- |
| E1 | There is no water in the kettle |
| E2 | The temperature sensor is broken |
""",
    "urlaub.md": """---
title: Urlaub
type: policy
category: leave
language: de
---
# Urlaub

Alle Angestellten haben 30 Tage Urlaub im Jahr. Nicht genommene Tage verfallen Ende März.
""",
}


def write_documents(folder: Path) -> Path:
    """A small knowledge base."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in DOCUMENTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_settings(folder: Path, database_url: str, **changes: Any) -> Settings:
    """Settings that read neither the environment nor .env."""
    values: dict[str, Any] = {
        "data_dir": folder / "data",
        "kb_dir": folder / "kb",
        "database_url": database_url,
        "secret_key": SECRET,
        "shutdown_grace": 0.5,
        "mails_per_mailbox": 1_000,
        "mails_per_network": 100_000,
        # Most tests are faster than people are.
        "messages_per_minute": 0,
        "uploads_per_minute": 0,
        "address_messages_per_minute": 0,
        **changes,
    }
    return Settings(_env_file=None, **values)


test_settings.__test__ = False  # type: ignore[attr-defined]


def fast_passwords() -> PasswordHasher:
    """Argon2id with the least cost that it allows."""
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@dataclass
class Running:
    """A running application and a client for it."""

    app: Starlette
    url: str
    http: httpx.AsyncClient
    settings: Settings
    generator: Any
    _numbers: Any = field(default_factory=itertools.count)

    @property
    def services(self) -> Services:
        services: Services = self.app.state.services
        return services

    async def post(
        self, query: str, variables: dict[str, Any] | None = None, token: str | None = None
    ) -> dict[str, Any]:
        """The whole JSON answer of an operation."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        # json.dumps escapes lone surrogates, which httpx's own encoding refuses.
        response = await self.http.post(
            self.url,
            content=json.dumps({"query": query, "variables": variables or {}}),
            headers={"content-type": "application/json", **headers},
        )
        result: dict[str, Any] = response.json()
        return result

    async def data(
        self, query: str, variables: dict[str, Any] | None = None, token: str | None = None
    ) -> dict[str, Any]:
        """The data of an operation that must not have errors."""
        answer = await self.post(query, variables, token)
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    async def code(
        self, query: str, variables: dict[str, Any] | None = None, token: str | None = None
    ) -> str:
        """The code of the one error of an operation."""
        errors = (await self.post(query, variables, token))["errors"]
        assert len(errors) == 1, errors
        code: str = errors[0]["extensions"]["code"]
        return code

    async def login(self, email: str = "ada@example.com", role: Role = Role.USER) -> str:
        """Register if need be, and log in: an access token."""
        await self.data(
            "mutation($i: RegisterInput!) { register(input: $i) { __typename } }",
            {"i": {"email": email, "password": PASSWORD}},
        )
        self.services.store.bind()
        if role is not Role.USER:
            await User.filter(email=email).update(role=role)
        result = await self.data(
            "mutation($i: LoginInput!) { login(input: $i) { ... on AuthTokens { accessToken } } }",
            {"i": {"email": email, "password": PASSWORD}},
        )
        token: str = result["login"]["accessToken"]
        return token

    @asynccontextmanager
    async def socket(self, token: str | None = None) -> AsyncIterator[ClientConnection]:
        """An acknowledged graphql-transport-ws connection."""
        async with connect(
            self.url.replace("http", "ws", 1), subprotocols=[Subprotocol("graphql-transport-ws")]
        ) as websocket:
            payload = {"authorization": f"Bearer {token}"} if token else {}
            await websocket.send(json.dumps({"type": "connection_init", "payload": payload}))
            assert json.loads(await websocket.recv())["type"] == "connection_ack"
            yield websocket

    async def subscribe(
        self, query: str, variables: dict[str, Any] | None = None, token: str | None = None
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The payloads of a subscription, until it completes; an `error` message is raised."""
        async with self.socket(token) as websocket:
            await websocket.send(
                json.dumps(
                    {
                        "id": "1",
                        "type": "subscribe",
                        "payload": {"query": query, "variables": variables or {}},
                    }
                )
            )
            async for raw in websocket:
                message = json.loads(raw)
                if message["type"] == "complete":
                    return
                if message["type"] == "error":
                    raise SubscriptionRefused(message["payload"])
                if message["type"] == "next":
                    yield message["payload"]


class SubscriptionRefused(Exception):
    """The `error` message of graphql-transport-ws."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__(errors)
        self.errors = errors


@asynccontextmanager
async def running_app(
    settings: Settings, *, embedder: Embedder, generator: Generator | None = None, **parts: Any
) -> AsyncIterator[Running]:
    """Serve the application until the block ends."""
    app = create_app(
        settings,
        Parts(
            passwords=fast_passwords,
            embedder=lambda: embedder,
            generator=(lambda: generator) if generator is not None else None,
            **parts,
        ),
    )
    config = uvicorn.Config(
        app, port=0, log_config=None, access_log=False, ws_per_message_deflate=False
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        assert not task.done(), "the server did not start"
        await asyncio.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        # Reading the certificates of all authorities takes longer than many a test.
        async with httpx.AsyncClient(timeout=30, verify=False) as http:
            yield Running(
                app=app,
                url=f"http://127.0.0.1:{port}/graphql",
                http=http,
                settings=settings,
                generator=generator,
            )
    finally:
        server.ending.set()
        await task


class _Server(uvicorn.Server):
    """Takes no signals, and ends at once: uvicorn's looks ten times a second whether it should, and
    waits another tenth for its connections, at the end of each of a thousand tests."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ending = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        await self.ending.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        await self.lifespan.shutdown()


async def prepared_database(folder: Path, url: str, embedder: Embedder) -> None:
    """Fill a database that has its tables with the small knowledge base."""
    store = Store(url)
    await store.open()
    settings = test_settings(folder, url)
    knowledge = create_knowledge(settings, Parts(embedder=lambda: embedder), store)
    await prepare_knowledge(knowledge, settings.kb_dir)
    assert knowledge.is_ready, knowledge.failure
    await knowledge.embedding.close()
    await knowledge.close()
    await store.close()


def sqlite_with_documents(folder: Path, empty: Path, embedder: Embedder) -> Path:
    """Put the small knowledge base into `kb` and into the database `template.db` of a folder."""
    write_documents(folder / "kb")
    shutil.copy(empty, folder / "template.db")
    asyncio.run(prepared_database(folder, f"sqlite://{folder / 'template.db'}", embedder))
    return folder


def postgres_with_documents(folder: Path, url: str, embedder: Embedder) -> str:
    """Put it into a PostgreSQL database, by way of a folder."""
    write_documents(folder / "kb")
    asyncio.run(prepared_database(folder, url, embedder))
    return url


def copy_sqlite(template: Path, folder: Path) -> str:
    """The URL of a copy of a database file, with the index file beside it."""
    shutil.copy(template, folder / "test.db")
    return f"sqlite://{folder / 'test.db'}"
