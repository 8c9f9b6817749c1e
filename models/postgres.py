"""PostgreSQL as this product uses it: nobody waits for it without end.

Tortoise finds `client_class` here by the name of the module.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, cast

import asyncpg
from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.backends.base.client import (
    NestedTransactionContext,
    TransactionalDBClient,
    TransactionContext,
)
from tortoise.connection import get_connections
from tortoise.exceptions import TransactionManagementError

from models.errors import StoreUnavailable

# A statement or a transaction may take this long, with the wait for a connection. Seconds.
LIMIT = 10.0
# And this long a connection may take to be made or to be given back. Seconds.
CONNECTION_LIMIT = 5.0


class _Translating(AsyncpgDBClient):
    async def _translate_exceptions(self, func: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super()._translate_exceptions(func, *args, **kwargs)
        except OSError as error:
            raise StoreUnavailable(f"{type(error).__name__}: {error}") from error


class Client(_Translating):
    """A pool of connections, each lent for a limited time."""

    limit: float | None = LIMIT
    """None while the tables are changed, which takes as long as it takes."""

    async def create_pool(self, **kwargs: Any) -> asyncpg.Pool:
        return await asyncpg.create_pool(None, timeout=CONNECTION_LIMIT, **kwargs)

    def acquire_connection(self) -> Any:
        return Lease(self)

    def _in_transaction(self) -> TransactionContext:
        return TransactionLease(self)


class Transaction(_Translating, TransactionWrapper):
    def _in_transaction(self) -> TransactionContext:
        return NestedTransactionContext(Transaction(self))


class Lease:
    """One connection of the pool, for as long as the client's limit says.

    One that did not answer in time is closed, since it would not take its next statement either.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._limit = asyncio.timeout(client.limit)
        self._connection: Any = None

    @property
    def expired(self) -> bool:
        return self._limit.expired()

    async def __aenter__(self) -> Any:
        await self._limit.__aenter__()
        try:
            if self._client._pool is None:
                async with self._client._pool_init_lock:
                    if self._client._pool is None:
                        await self._client.create_connection(with_db=True)
            self._connection = await cast(asyncpg.Pool, self._client._pool).acquire()
        except BaseException as error:
            await self._leave(error)
            raise
        return self._connection

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if self.expired:
                self._connection.terminate()
            if self._client._pool is not None:
                await self._client._pool.release(self._connection, timeout=CONNECTION_LIMIT)
        except BaseException as late:
            await self._leave(late)
            raise
        await self._leave(error)

    async def _leave(self, error: BaseException | None) -> None:
        """End the time limit; raises StoreUnavailable if it has passed."""
        try:
            await self._limit.__aexit__(
                None if error is None else type(error),
                error,
                None if error is None else error.__traceback__,
            )
        except TimeoutError as late:
            raise StoreUnavailable(f"no answer within {self._client.limit:g} s") from late
        if isinstance(error, OSError):
            raise StoreUnavailable(f"{type(error).__name__}: {error}") from error


class TransactionLease(TransactionContext):
    """A transaction on a connection that is lent for it."""

    def __init__(self, client: Client) -> None:
        self._lease = Lease(client)
        self.client: TransactionalDBClient = Transaction(client)
        self.connection_name = client.connection_name

    async def __aenter__(self) -> TransactionalDBClient:
        self.client._connection = await self._lease.__aenter__()
        try:
            await self.client.begin()
        except BaseException as error:
            await self._lease.__aexit__(type(error), error, error.__traceback__)
            raise
        self._token = get_connections().set(self.connection_name, self.client)
        return self.client

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        get_connections().reset(self._token)
        try:
            if not self.client._finalized and not self._lease.expired:
                if error is None:
                    await self.client.commit()
                elif not isinstance(error, TransactionManagementError):
                    await self.client.rollback()
        except BaseException as late:
            await self._lease.__aexit__(type(late), late, late.__traceback__)
            raise
        await self._lease.__aexit__(kind, error, traceback)


client_class = Client
