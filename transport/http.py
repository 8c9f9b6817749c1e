"""GraphQL over HTTP: one request, one response or one stream.

https://graphql.github.io/graphql-over-http/draft/
"""

import asyncio
import logging
import re
from collections.abc import Iterable
from contextlib import aclosing, suppress
from typing import Any

import strawberry
from starlette.datastructures import FormData
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from transport.body import Parameters, parse_json_body, parse_url
from transport.direct import Direct
from transport.encoding import encode_json
from transport.endings import OnEnding, Record
from transport.errors import SERVICE_UNAVAILABLE, RequestError, internal_error
from transport.hooks import Connection, Hooks, MaySendMore
from transport.limits import Limits
from transport.multipart import parse_form, read_form
from transport.negotiation import Form, json_form, negotiate, parse_content_type
from transport.persisted import PersistedQueries
from transport.results import (
    Payload,
    failure,
    find_rejection,
    is_request_error,
    refused_operation,
    status_of,
    to_payload,
)
from transport.streaming import EventFraming, Framing, MultipartFraming, Stream

logger = logging.getLogger("groundql.transport")

PREFLIGHT_HEADERS = (
    "graphql-preflight",
    "apollo-require-preflight",
    "x-apollo-operation-name",
    "x-requested-with",
    "authorization",
)
"""A browser sends none of these to another site without asking that site first."""

_DRAIN_FACTOR = 8
_READS = {OperationType.QUERY}
_WRITES = {OperationType.QUERY, OperationType.MUTATION}


class Exchange:
    """One HTTP request and its response."""

    def __init__(
        self,
        schema: strawberry.Schema,
        hooks: Hooks,
        limits: Limits,
        connection: Connection,
        *,
        persisted: PersistedQueries,
        may_send_more: MaySendMore | None,
        ended: OnEnding | None,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        self._schema = schema
        self._hooks = hooks
        self._limits = limits
        self.connection = connection
        self._persisted = persisted
        self._may_send_more = may_send_more
        self._scope = scope
        self._receive = receive
        self._send = _guarded(send)
        self._method: str = scope["method"]
        self._form: FormData | None = None
        self.stream: Stream | None = None
        self._record = Record(ended)

    async def run(self, *, refuse: bool = False) -> None:
        """Answer the request; with `refuse`, by 503 alone."""
        try:
            if refuse:
                raise unavailable()
            form = self._negotiate()
            parameters = self._persisted.complete(await self._read())
            self._record.parameters = parameters
            if form.streamed:
                await self._stream(parameters, form)
            else:
                await self._execute(parameters, form)
        except RequestError as error:
            await self._refuse(error)
        except ClientDisconnect:
            pass
        except Exception:
            logger.exception("Request %s failed in the transport", self.connection.request_id)
            if self.stream is None or not self.stream.started:
                with suppress(ClientDisconnect):
                    await self._respond(500, {"errors": [internal_error()]}, self._json_form())
        finally:
            if self._form is not None:
                await self._form.close()
            self._record.end(self.connection)

    def end(self, payload: Payload) -> None:
        """End a streamed response with this error; any other answer is left to finish."""
        if self.stream is not None:
            self.stream.end(payload)

    # The request

    def _negotiate(self) -> Form:
        if self._method not in ("GET", "POST"):
            raise RequestError(405, "Use GET or POST.", headers=((b"allow", b"GET, POST"),))
        return negotiate(self.connection.headers.get("accept"))

    async def _read(self) -> Parameters:
        if self._method == "GET":
            return parse_url(self._scope["query_string"])
        headers = self.connection.headers
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise RequestError(415, "Send the body without a Content-Encoding.")
        media_type, options = parse_content_type(headers.get("content-type", ""))
        if media_type == "application/json":
            if options.get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
                raise RequestError(415, "Send JSON in UTF-8.")
            return parse_json_body(await self._body())
        if media_type == "multipart/form-data":
            if not any(name in headers for name in PREFLIGHT_HEADERS):
                raise RequestError(415, "multipart/form-data needs a GraphQL-Preflight header.")
            receive = self._counted(self._limits.upload_bytes)
            try:
                async with asyncio.timeout(self._limits.upload_seconds):
                    self._form = await read_form(self._scope, receive, self._limits)
            except TimeoutError:
                raise _too_slow() from None
            return parse_form(self._form)
        raise RequestError(415, "Send Content-Type: application/json.")

    async def _body(self) -> bytes:
        receive = self._counted(self._limits.body_bytes, more=self._limits.large_body_bytes)
        chunks: list[bytes] = []
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientDisconnect
                    chunks.append(message.get("body", b""))
                    if not message.get("more_body", False):
                        return b"".join(chunks)
        except TimeoutError:
            raise _too_slow() from None

    def _counted(self, limit: int, *, more: int = 0) -> Receive:
        """The request's receive, which refuses more than `limit` bytes of body, or than `more` for
        those who may.

        A body that is moderately too large is read and dropped before the refusal, because a
        client that is still writing to a closed connection never sees the answer.
        """
        seen = 0
        length = self.connection.headers.get("content-length", "")
        if re.fullmatch("[0-9]+", length) and int(length[:20]) > limit * _DRAIN_FACTOR:
            raise _too_large(limit)

        async def receive() -> Message:
            nonlocal seen, limit, more
            message = await self._receive()
            seen += len(message.get("body", b""))
            if limit < seen <= more and self._may_send_more is not None:
                limit = more if await self._may_send_more(self.connection) else limit
                more = 0  # asked once
            if seen <= limit:
                return message
            while message.get("more_body", False) and seen <= limit * _DRAIN_FACTOR:
                message = await self._receive()
                seen += len(message.get("body", b""))
            raise _too_large(limit)

        return receive

    # The answer

    async def _execute(self, parameters: Parameters, form: Form) -> None:
        try:
            async with self._hooks.operation(self.connection) as context:
                self._record.context = context
                result = await self._schema.execute(
                    parameters.query,
                    variable_values=parameters.variables,
                    context_value=context,
                    operation_name=parameters.operation_name,
                    allowed_operation_types=_READS if self._method == "GET" else _WRITES,
                    operation_extensions=parameters.extensions,
                )
                payload = to_payload(result, self._hooks)
            body = encode_json(payload)
        except Exception as error:
            refusal = refused_operation(error, method=self._method)
            if refusal is not None and refusal.status != 400:
                raise refusal from None
            payload = failure(refusal or error, self._hooks)
            body = encode_json(payload)
        self._record.add_errors(payload)
        status = status_of(payload)
        if form is Form.JSON and status != 500:
            # The specification's rule for application/json: a well-formed request gets 200.
            status = 200
        await self._send_body(status, body, form)

    async def _stream(self, parameters: Parameters, form: Form) -> None:
        allowed: Iterable[OperationType] = {OperationType.SUBSCRIPTION} | (
            _READS if self._method == "GET" else _WRITES
        )
        framing: Framing = MultipartFraming() if form is Form.MULTIPART else EventFraming()
        self.stream = stream = Stream(
            framing,
            self._receive,
            self._send,
            headers=self._headers(),
            heartbeat_seconds=self._limits.heartbeat_seconds,
            start_seconds=self._limits.stream_start_seconds,
            close_seconds=self._limits.close_seconds,
        )
        refusal: RequestError | None = None

        async def send_data(data: dict[str, Any]) -> bool:
            try:
                await stream.event({"data": data})
            except ClientDisconnect:
                return False
            return True

        async def produce() -> None:
            nonlocal refusal
            try:
                async with self._hooks.operation(self.connection) as context:
                    self._record.context = context
                    results = await self._schema.stream(
                        parameters.query,
                        variable_values=parameters.variables,
                        context_value=context,
                        root_value=Direct(send_data),
                        operation_name=parameters.operation_name,
                        allowed_operation_types=allowed,
                        operation_extensions=parameters.extensions,
                    )
                    async with aclosing(results):
                        async for result in results:
                            assert isinstance(result, ExecutionResult)
                            rejection = find_rejection(result)
                            if rejection is not None:
                                raise rejection
                            payload = to_payload(result, self._hooks)
                            self._record.add_errors(payload)
                            if stream.started or not is_request_error(result):
                                await stream.event(payload)
                                continue
                            refusal = self._refused_operation(result)
                            stream.fail(payload)
                            return
            except ClientDisconnect:
                raise
            except Exception as error:
                payload = failure(error, self._hooks)
                self._record.add_errors(payload)
                stream.fail(payload)

        self._record.status = 200  # unless it is refused before its first event
        unsent = await stream.run(produce)
        if refusal is not None:
            raise refusal
        if unsent is not None:
            await self._respond(status_of(unsent), unsent, self._json_form())

    def _refused_operation(self, result: ExecutionResult) -> RequestError | None:
        for error in result.errors or ():
            cause = error.original_error
            refusal = refused_operation(cause, method=self._method) if cause else None
            if refusal is not None and refusal.status != 400:
                return refusal
        return None

    async def _refuse(self, error: RequestError) -> None:
        self._record.add_errors({"errors": [error.formatted]})
        await self._respond(
            error.status, {"errors": [error.formatted]}, self._json_form(), error.headers
        )

    def _json_form(self) -> Form:
        return json_form(self.connection.headers.get("accept"))

    async def _respond(
        self,
        status: int,
        payload: Payload,
        form: Form,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        await self._send_body(status, encode_json(payload), form, headers)

    async def _send_body(
        self, status: int, body: bytes, form: Form, headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        self._record.status = status
        content_type = f"{form.value}; charset=utf-8".encode("ascii")
        await self._send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [
                    (b"content-type", content_type),
                    (b"content-length", b"%d" % len(body)),
                    *self._headers(),
                    *headers,
                ],
            }
        )
        await self._send({"type": "http.response.body", "body": body})

    def _headers(self) -> list[tuple[bytes, bytes]]:
        return [
            (b"cache-control", b"no-store"),
            (b"x-request-id", self.connection.request_id.encode("ascii")),
        ]


def _guarded(send: Send) -> Send:
    """ASGI 2.4 servers raise OSError to a client that is gone; it must not look like ours."""

    async def guarded(message: Message) -> None:
        try:
            await send(message)
        except OSError:
            raise ClientDisconnect from None

    return guarded


def unavailable() -> RequestError:
    return RequestError(
        503,
        "The server is restarting.",
        code=SERVICE_UNAVAILABLE,
        headers=((b"retry-after", b"1"), (b"connection", b"close")),
    )


def _too_large(limit: int) -> RequestError:
    return RequestError(
        413,
        f"The request body is larger than {limit} bytes.",
        headers=((b"connection", b"close"),),
    )


def _too_slow() -> RequestError:
    return RequestError(
        408, "The request body came too slowly.", headers=((b"connection", b"close"),)
    )
