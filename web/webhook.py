"""POST /webhooks/knowledge: documents from outside systems, signed as Standard Webhooks says.

https://www.standardwebhooks.com
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from typing import Final
from uuid import UUID

import orjson
from standardwebhooks import Webhook, WebhookVerificationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from models.errors import is_unavailable
from models.security_event import EventKind
from resolvers.context import Services
from resolvers.errors import InvalidInput, RateLimited
from resolvers.event_log import Origin
from resolvers.knowledge.webhook import MAX_ID, read_delivery, take_delivery
from resolvers.refusals import Refused
from resolvers.text import check_text
from schema.errors import UNAVAILABLE
from schema.node import global_id, row_id
from transport.endpoint import request_id

log = logging.getLogger("groundql.webhook")

MAX_BODY: Final = 5 * 1024 * 1024
# Bodies that are in memory at once. Others wait before theirs are read, for so many seconds.
MAX_BODIES: Final = 16
_PATIENCE: Final = 5.0
_AGE: Final = 300  # seconds, as the library has it
_TIME: Final = re.compile(r"[0-9]{1,12}")
# The standard's version, and a SHA-256 in base64.
_SIGNATURE: Final = re.compile(r"v1,[A-Za-z0-9+/]{43}=")
_MAX_SIGNATURES: Final = 10
_NEEDED: Final = (
    "The call needs webhook-id, webhook-timestamp and a webhook-signature (v1, HMAC-SHA256) that "
    "fits the body."
)
PATH: Final = "/webhooks/knowledge"


class KnowledgeWebhook:
    """Takes calls whose signature was made with the secret within the last five minutes."""

    def __init__(self, secret: str) -> None:
        self._webhook = Webhook(secret)
        self._bodies = asyncio.Semaphore(MAX_BODIES)

    async def receive(self, request: Request) -> Response:
        services: Services = request.app.state.services
        address = request.client.host if request.client is not None else ""
        try:
            await services.rates.take_webhook_call(address)
        except RateLimited as limited:
            wait = str(limited.retry_after_seconds)
            return _error(429, "RATE_LIMITED", limited.message, retry_after=wait)
        problem = _check_headers(request)
        if problem is not None:
            await self._note_refused(services, request)
            return _error(401, "UNAUTHENTICATED", problem)
        if _told_length(request) > MAX_BODY:
            return _too_large()
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._bodies.acquire()
        except TimeoutError:
            message = "Too many calls are being read; send it again soon."
            return _error(503, "SERVICE_UNAVAILABLE", message, retry_after="1")
        try:
            return await self._take(services, request, address)
        finally:
            self._bodies.release()

    async def _take(self, services: Services, request: Request, address: str) -> Response:
        body = bytearray()
        try:
            async for piece in request.stream():
                body += piece
                if len(body) > MAX_BODY:
                    return _too_large()
        except ClientDisconnect:
            return _error(400, "BAD_REQUEST", "The body has not come whole.")
        problem = self._check_signature(bytes(body), request)
        if problem is not None:
            await self._note_refused(services, request)
            return _error(401, "UNAUTHENTICATED", problem)
        services.store.bind()
        delivery_id = request.headers["webhook-id"]
        try:
            check_text("webhook-id", delivery_id, maximum=MAX_ID)
            delivery = read_delivery(orjson.loads(bytes(body)), _collection_row)
            agent = request.headers.get("user-agent", "")
            origin = Origin(address, agent, request_id.get())
            answer = await take_delivery(services, delivery_id, delivery, origin)
        except orjson.JSONDecodeError:
            return _error(400, "BAD_REQUEST", "The body is not JSON.")
        except InvalidInput as error:
            return _error(422, "INVALID_INPUT", error.message, field=error.field)
        except Exception as error:
            if is_unavailable(error):
                log.error("The database cannot be used: %s", error)
                return _error(503, "SERVICE_UNAVAILABLE", UNAVAILABLE, retry_after="30")
            log.exception("A call of the webhook failed")
            return _error(500, "INTERNAL_SERVER_ERROR", "Something went wrong on our side.")
        documents = [
            {"key": one["key"], "id": global_id("Document", UUID(one["id"]))}
            for one in answer["documents"]
        ]
        return JSONResponse({"documents": documents, "deleted": answer["deleted"]}, status_code=202)

    async def _note_refused(self, services: Services, request: Request) -> None:
        client = request.client
        services.store.bind()
        refused = Refused(EventKind.CALL_REFUSED, "WEBHOOK_SIGNATURE")
        origin = Origin(
            client.host if client is not None else "",
            request.headers.get("user-agent", ""),
            request_id.get(),
        )
        await services.refusals.note([refused], origin)

    def _check_signature(self, body: bytes, request: Request) -> str | None:
        """What is wrong with the signature, in words that help nobody to forge one."""
        try:
            self._webhook.verify(body, dict(request.headers), json_parse=False)
        except WebhookVerificationError as error:
            if "timestamp" in str(error).lower():
                return "webhook-timestamp is more than five minutes away from our clock."
            return _NEEDED
        except ValueError:  # signatures that are no base64, bodies that are no UTF-8
            return "webhook-signature is malformed."
        return None


def _check_headers(request: Request) -> str | None:
    """What is wrong with a call whose body was not read yet; None: the body decides."""
    headers = request.headers
    if any(
        len(headers.getlist(name)) != 1 or not headers[name]
        for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
    ):
        return _NEEDED
    moment = headers["webhook-timestamp"]
    if not _TIME.fullmatch(moment) or abs(time.time() - int(moment)) > _AGE:
        return "webhook-timestamp is more than five minutes away from our clock."
    signatures = headers["webhook-signature"].split(" ", _MAX_SIGNATURES)
    if not any(_SIGNATURE.fullmatch(one) for one in signatures[:_MAX_SIGNATURES]):
        return _NEEDED
    return None


def _told_length(request: Request) -> int:
    told = request.headers.get("content-length", "0")
    return int(told) if told.isdecimal() else 0


def _too_large() -> JSONResponse:
    return _error(413, "TOO_LARGE", f"The body is larger than {MAX_BODY >> 20} MB.")


def _collection_row(value: str) -> UUID | None:
    return row_id("Collection", value)


def _error(
    status: int, code: str, message: str, *, field: str | None = None, retry_after: str = ""
) -> JSONResponse:
    error = {"code": code, "message": message}
    if field is not None:
        error["field"] = field
    headers = {"Retry-After": retry_after} if retry_after else {}
    return JSONResponse({"error": error}, status_code=status, headers=headers)


def webhook_routes(secret: str) -> list[BaseRoute]:
    """The address, if there is a secret; otherwise it does not exist."""
    return [Route(PATH, KnowledgeWebhook(secret).receive, methods=["POST"])] if secret else []
