"""Rates as clients see them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from models.user import Role
from resolvers.rates import Allowances
from tests.application import Running

pytestmark = pytest.mark.anyio

SEND = """mutation($i: SendMessageInput!) { sendMessage(input: $i) {
  __typename ... on SendMessagePayload { sent: message { id } }
  ... on RateLimited { message retryAfterSeconds } } }"""
ADD = """mutation($i: AddDocumentInput!) { addDocument(input: $i) {
  __typename ... on RateLimited { retryAfterSeconds } } }"""


@contextmanager
def allowing(app: Running, allowances: Allowances) -> Iterator[None]:
    rates = app.services.rates
    before, rates._allowances = rates._allowances, allowances
    try:
        yield
    finally:
        rates._allowances = before


async def test_a_message_too_many(scripted: Running) -> None:
    """It is refused and not stored; the same key as before is answered as often as one asks."""
    token = await scripted.login("fast@example.com")
    with allowing(scripted, Allowances(messages_per_user=1)):
        first = {"i": {"content": "Who pays?", "clientKey": "k1"}}
        sent = (await scripted.data(SEND, first, token))["sendMessage"]
        assert sent["__typename"] == "SendMessagePayload"
        for _ in range(3):
            assert (await scripted.data(SEND, first, token))["sendMessage"] == sent
        second = {"i": {"content": "And who else?", "clientKey": "k2"}}
        refused = (await scripted.data(SEND, second, token))["sendMessage"]
        assert refused["__typename"] == "RateLimited"
        assert 1 <= refused["retryAfterSeconds"] <= 60
        assert (
            await scripted.code(
                "mutation($i: SendMessageInput!) { sendMessage(input: $i) { __typename nope } }",
                second,
                token,
            )
            == "BAD_USER_INPUT"
        )
    sessions = await scripted.data("{ sessions { edges { node { id } } } }", token=token)
    assert len(sessions["sessions"]["edges"]) == 1


async def test_a_budget_is_spent(scripted: Running) -> None:
    """The tokens of a reply that has ended count, and are known after a restart."""
    token = await scripted.login("thrifty@example.com")
    ask = SEND.replace("sendMessage(", "sendMessage: ask(")
    with allowing(scripted, Allowances(tokens_per_day=2, reply_tokens=1)):
        question = {"i": {"content": "How long may I return an item?", "clientKey": "b1"}}
        assert (await scripted.data(ask, question, token))["sendMessage"]["__typename"] == (
            "SendMessagePayload"
        )
        scripted.services.rates._memory.storage.clear()  # type: ignore[attr-defined]
        again = {"i": {"content": "And who pays?", "clientKey": "b2"}}
        refused = (await scripted.data(ask, again, token))["sendMessage"]
        assert refused["__typename"] == "RateLimited"
        assert refused["message"].startswith("Your tokens for today are used up.")


async def test_an_upload_too_many(scripted: Running) -> None:
    """It is refused as RateLimited."""
    token = await scripted.login("editor@example.com", Role.EDITOR)
    with allowing(scripted, Allowances(uploads_per_user=1)):
        one = {"i": {"title": "A", "content": "Some words."}}
        assert (await scripted.data(ADD, one, token))["addDocument"]["__typename"] == "Document"
        refused = (await scripted.data(ADD, one, token))["addDocument"]
        assert refused["__typename"] == "RateLimited"
