"""The active path through trees of messages of any shape."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from models import branches
from models.base import new_id
from models.chat_message import ChatMessage, MessageRole, MessageStatus
from models.chat_session import ChatSession
from models.store import Store
from models.user import User

pytestmark = pytest.mark.anyio


async def make_session() -> ChatSession:
    user = await User.create(email=f"{new_id()}@example.com", display_name="A", password_hash="x")
    return await ChatSession.create(
        owner_id=user.id, title="t", updated_at=datetime(2030, 1, 1, tzinfo=UTC)
    )


def message(session: ChatSession, parent: ChatMessage | None) -> ChatMessage:
    return ChatMessage(
        id=new_id(),
        session_id=session.id,
        parent_id=parent.id if parent else None,
        active=False,
        role=MessageRole.USER,
        status=MessageStatus.COMPLETE,
        content="x",
    )


def path_to(end: ChatMessage | None, by_id: dict[object, ChatMessage]) -> list[object]:
    path: list[object] = []
    while end is not None:
        path.append(end.id)
        end = by_id.get(end.parent_id)
    return path[::-1]


@pytest.mark.parametrize("seed", range(5))
async def test_the_active_messages_are_one_path(store: Store, seed: int) -> None:
    """In random trees, after each of many random choices exactly the chosen path is active, and a
    neighbouring session is left alone."""
    numbers = random.Random(seed)
    session, other = await make_session(), await make_session()
    bystander = message(other, None)
    bystander.active = True
    rows: list[ChatMessage] = []
    for _ in range(40):
        rows.append(message(session, numbers.choice([None, *rows[-6:]]) if rows else None))
    await ChatMessage.bulk_create([*rows, bystander])
    by_id: dict[object, ChatMessage] = {row.id: row for row in rows}
    for _ in range(25):
        chosen = numbers.choice(rows)
        at_end = numbers.random() < 0.5
        async with store.transaction():
            current = await ChatMessage.get(id=chosen.id)
            if at_end:
                await branches.end_at(store, session.id, current)
            elif not current.active:
                await branches.show(store, current)
        end = chosen
        if not at_end:
            while children := [row for row in rows if row.parent_id == end.id]:
                end = max(children, key=lambda row: row.id)
        expected = path_to(end, by_id)
        active = await ChatMessage.filter(session_id=session.id, active=True).order_by("id")
        shown = [row.id for row in active]
        if at_end or not current.active:
            assert shown == expected
        else:
            assert chosen.id in shown  # nothing to do: it was shown already
    assert (await ChatMessage.get(id=bystander.id)).active


async def test_an_empty_path(store: Store) -> None:
    """Before the edit of a first question nothing is active."""
    session = await make_session()
    first = message(session, None)
    first.active = True
    await first.save(force_create=True)
    async with store.transaction():
        await branches.end_at(store, session.id, None)
    assert await ChatMessage.filter(session_id=session.id, active=True).count() == 0


async def test_a_long_branch_comes_back(store: Store) -> None:
    """Two thousand messages deep; a query per message would take two thousand round trips."""
    session = await make_session()
    chain: list[ChatMessage] = []
    for _ in range(2_000):
        chain.append(message(session, chain[-1] if chain else None))
    await ChatMessage.bulk_create(chain, batch_size=500)
    async with store.transaction():
        await branches.show(store, chain[1_000])
    assert await ChatMessage.filter(session_id=session.id, active=True).count() == 2_000
