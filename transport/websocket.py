"""One WebSocket that speaks graphql-transport-ws.

https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md

Two additions within the protocol: a `ping` whose payload has `authorization` renews the socket's
token for the operations that start afterwards, and its pong is sent once the token was accepted.
"""

import asyncio
import logging
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any

import strawberry
from starlette.types import Receive, Send
from strawberry.types import ExecutionResult

from transport.body import Parameters
from transport.direct import Direct
from transport.encoding import encode_json
from transport.endings import OnEnding, Record
from transport.errors import error_object
from transport.hooks import Connection, Hooks, Rejected, request_id
from transport.limits import Limits
from transport.messages import (
    Complete,
    Init,
    InvalidMessage,
    Message,
    Ping,
    Pong,
    Subscribe,
    close_reason,
    parse_message,
    too_large,
)
from transport.persisted import PersistedQueries
from transport.results import Payload, failure, find_rejection, is_request_error, to_payload

logger = logging.getLogger("groundql.transport")

SUBPROTOCOL = "graphql-transport-ws"

_YIELD_EVERY = 32
"""Messages after which an operation lets others run: a send need not suspend."""


class _Close(Exception):
    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class _Disconnected(Exception):
    pass


class Socket:
    """The state of one socket. All its tasks end before `run` returns."""

    def __init__(
        self,
        schema: strawberry.Schema,
        hooks: Hooks,
        limits: Limits,
        connection: Connection,
        *,
        persisted: PersistedQueries,
        ended: OnEnding | None,
        receive: Receive,
        send: Send,
    ) -> None:
        self._schema = schema
        self._hooks = hooks
        self._limits = limits
        self.connection = connection
        self._persisted = persisted
        self._ended_operation = ended
        self._receive = receive
        self._send_event = send
        self._initialised = False
        self._operations: dict[str, asyncio.Task[None]] = {}
        # Also holds cancelled operations that have not ended yet: they count for the limit.
        self._tasks: set[asyncio.Task[None]] = set()
        self._started = 0
        self._reader: asyncio.Task[None] | None = None
        self._group = asyncio.TaskGroup()
        self._close: _Close | None = None
        self._draining: _Close | None = None

    async def run(self, subprotocols: list[str]) -> None:
        """Serve the socket from its handshake to its end."""
        with suppress(OSError):
            if SUBPROTOCOL not in subprotocols:
                await self._send_event({"type": "websocket.accept"})
                self._close = _Close(4406, "Subprotocol not acceptable")
            else:
                await self._send_event({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
                async with self._group:
                    self._reader = self._group.create_task(self._read())
        if self._close is not None:
            # The server may have closed first; a client that does not read gets no close frame.
            with suppress(OSError, RuntimeError, TimeoutError):
                async with asyncio.timeout(self._limits.close_seconds):
                    await self._send_event(
                        {
                            "type": "websocket.close",
                            "code": self._close.code,
                            "reason": close_reason(self._close.reason),
                        }
                    )

    def end(self, code: int, reason: str) -> None:
        """Cancel all operations and close the socket."""
        if self._close is None:
            self._close = _Close(code, reason)
        if self._reader is not None:
            self._reader.cancel()

    def drain(self, code: int, reason: str) -> None:
        """Start no operation any more, and close once the running ones have ended.

        A `subscribe` that comes meanwhile is left unanswered: clients send it again after the
        reconnection that the close code asks for.
        """
        self._draining = _Close(code, reason)
        self._end_if_drained()

    # Messages from the client

    async def _read(self) -> None:
        deadline = asyncio.timeout(self._limits.init_seconds)
        try:
            async with deadline:
                while (text := await self._next_text()) is not None:
                    message = parse_message(text)
                    if isinstance(message, Init):
                        deadline.reschedule(None)
                    await self._handle(message)
        except TimeoutError as error:
            if deadline.expired():
                self._close = _Close(4408, "Connection initialisation timeout")
            else:
                self._fail(error)
        except InvalidMessage as error:
            self._close = _Close(4400, str(error))
        except Rejected as error:
            self._close = _Close(error.code, error.reason)
        except _Close as close:
            self._close = close
        except _Disconnected:
            pass
        except Exception as error:
            self._fail(error)
        finally:
            for task in self._tasks:
                task.cancel()

    def _fail(self, error: Exception) -> None:
        logger.error("Socket %s failed", self.connection.request_id, exc_info=error)
        self._close = _Close(4500, "Internal server error")

    async def _next_text(self) -> str | None:
        event = await self._receive()
        if event["type"] != "websocket.receive":
            return None
        text: str | None = event.get("text")
        if text is None:
            raise _Close(4400, "Only text messages are supported")
        if too_large(text, self._limits.message_bytes):
            raise _Close(1009, f"A message may have {self._limits.message_bytes} bytes")
        return text

    async def _handle(self, message: Message) -> None:
        match message:
            case Init(authorization):
                if self._initialised:
                    raise _Close(4429, "Too many initialisation requests")
                self._initialised = True
                await self._authorize(authorization)
                await self._send({"type": "connection_ack"})
            case Ping(authorization):
                if self._initialised and authorization is not None:
                    await self._authorize(authorization)
                await self._send({"type": "pong"})
            case Subscribe(id, parameters):
                await self._subscribe(id, parameters)
            case Complete(id):
                task = self._operations.pop(id, None)
                if task is not None:
                    task.cancel()
            case Pong():
                pass

    async def _authorize(self, authorization: str | None) -> None:
        # Programs, unlike browsers, can also send the header with the handshake.
        token = self.connection.authorization if authorization is None else authorization
        connection = replace(self.connection, authorization=token)
        await self._hooks.connect(connection)
        self.connection = connection

    async def _subscribe(self, id: str, parameters: Parameters) -> None:
        if not self._initialised:
            raise _Close(4401, "Unauthorized")
        if id in self._operations:
            raise _Close(4409, f"Subscriber for {id} already exists")
        if self._draining is not None:
            return
        if len(self._tasks) >= self._limits.socket_operations:
            refusal = error_object("Too many operations on this socket.", "RATE_LIMITED")
            await self._send({"id": id, "type": "error", "payload": [refusal]})
            return
        self._started += 1
        task = self._group.create_task(self._operate(id, parameters, self._started))
        self._operations[id] = task
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._end_if_drained()

    def _end_if_drained(self) -> None:
        if self._draining is not None and not self._tasks:
            self.end(self._draining.code, self._draining.reason)

    # Operations

    async def _operate(self, id: str, parameters: Parameters, number: int) -> None:
        connection = replace(self.connection, request_id=f"{self.connection.request_id}.{number}")
        request_id.set(connection.request_id)
        record = Record(self._ended_operation)
        try:
            await self._answer(id, parameters, connection, record)
        finally:
            record.end(connection)

    async def _answer(
        self, id: str, parameters: Parameters, connection: Connection, record: Record
    ) -> None:
        try:
            last = await self._deliver(id, parameters, connection, record)
        except _Disconnected:
            return
        except Rejected as rejection:
            self.end(rejection.code, rejection.reason)
            return
        except Exception as error:
            payload = failure(error, self._hooks)
            record.add_errors(payload)
            last = {"id": id, "type": "error", "payload": payload["errors"]}
        # The client may use the id again as soon as it has the last message.
        if self._operations.get(id) is asyncio.current_task():
            del self._operations[id]
        try:
            await self._send(last)
        except _Disconnected:
            pass
        except Exception:
            logger.exception("Request %s: its last message failed", connection.request_id)
            self.end(4500, "Internal server error")

    async def _deliver(
        self, id: str, parameters: Parameters, connection: Connection, record: Record
    ) -> dict[str, Any]:
        """Send the operation's results; returns the message that ends it."""
        sent = 0
        parameters = self._persisted.complete(parameters)
        record.parameters = parameters

        async def send(payload: Payload) -> None:
            nonlocal sent
            await self._send({"id": id, "type": "next", "payload": payload})
            sent += 1
            if sent % _YIELD_EVERY == 0:
                await asyncio.sleep(0)

        async def send_data(data: dict[str, Any]) -> bool:
            try:
                await send({"data": data})
            except _Disconnected:
                return False
            return True

        async with self._hooks.operation(connection) as context:
            record.context = context
            results = await self._schema.stream(
                parameters.query,
                variable_values=parameters.variables,
                context_value=context,
                root_value=Direct(send_data),
                operation_name=parameters.operation_name,
                operation_extensions=parameters.extensions,
            )
            async with aclosing(results):
                async for result in results:
                    assert isinstance(result, ExecutionResult)
                    rejection = find_rejection(result)
                    if rejection is not None:
                        raise rejection
                    payload = to_payload(result, self._hooks)
                    record.add_errors(payload)
                    if is_request_error(result):
                        return {"id": id, "type": "error", "payload": payload["errors"]}
                    await send(payload)
        return {"id": id, "type": "complete"}

    async def _send(self, message: dict[str, Any]) -> None:
        """Send one message; waits while the client does not read, so nothing piles up."""
        text = encode_json(message).decode("utf-8")
        try:
            await self._send_event({"type": "websocket.send", "text": text})
        except OSError:
            raise _Disconnected from None
