from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest

from jobs.retention import delete_inactive_sessions
from models.chat_message import ChatMessage, MessageRole, MessageStatus
from models.chat_session import ChatSession
from models.citation import Citation
from models.reply_log import EventKind, ReplyEvent, ReplyLog
from models.session_deletion import delete_session
from models.store import Store
from models.user import User
from tests.clock import SettableClock

pytestmark = pytest.mark.anyio


@pytest.fixture
async def user(store: Store) -> User:
    return await User.create(email="a@example.com", display_name="a", password_hash="")


async def session(
    user: User,
    clock: SettableClock,
    *,
    days: float,
    messages: int = 2,
    status: MessageStatus = MessageStatus.COMPLETE,
) -> ChatSession:
    """A session whose last activity was so many days ago, with a chain of messages."""
    row = await ChatSession.create(
        owner=user, title="t", updated_at=clock.now() - timedelta(days=days)
    )
    chain: list[ChatMessage] = []
    for _ in range(messages):
        chain.append(
            ChatMessage(
                session_id=row.id,
                parent_id=chain[-1].id if chain else None,
                role=MessageRole.ASSISTANT if len(chain) % 2 else MessageRole.USER,
                status=status,
                content="words " * 50,
                author_id=None if len(chain) % 2 else user.id,
            )
        )
    await ChatMessage.bulk_create(chain, batch_size=200)
    if chain:
        reply = chain[-1]
        await ReplyEvent.create(reply_id=reply.id, seq=2, kind=EventKind.SOURCES, data=[])
        await ReplyLog.create(reply_id=reply.id, delta_ends=[1])
        await Citation.create(
            message_id=reply.id,
            number=1,
            title="t",
            quote="q",
            start_offset=0,
            end_offset=1,
            score=1,
        )
    return row


async def run(store: Store, clock: SettableClock, days: int = 30, **options: Any) -> int:
    return await delete_inactive_sessions(store, clock, retention_days=days, **options)


async def test_retention(store: Store, clock: SettableClock, user: User) -> None:
    """Sessions without activity for 30 days go with all that belongs to them; younger ones stay."""
    for days in (31, 400, 30.001):
        await session(user, clock, days=days)
    kept = [await session(user, clock, days=days) for days in (30, 29.9, 0)]
    assert await run(store, clock) == 3
    assert await ChatSession.all().order_by("id") == kept
    assert await ChatMessage.all().count() == 6
    for table in (ReplyEvent, ReplyLog, Citation):
        assert await table.all().count() == 3
    assert await run(store, clock) == 0


async def test_zero_keeps_all(store: Store, clock: SettableClock, user: User) -> None:
    """0 days keeps everything."""
    await session(user, clock, days=10_000)
    assert await run(store, clock, days=0) == 0
    assert await ChatSession.all().count() == 1


@pytest.mark.parametrize("status", [MessageStatus.PENDING, MessageStatus.STREAMING])
async def test_running_reply(
    store: Store, clock: SettableClock, user: User, status: MessageStatus
) -> None:
    """A session whose reply runs stays, however old, and goes when it has ended."""
    await session(user, clock, days=100, status=status)
    await session(user, clock, days=100)
    assert await run(store, clock) == 1
    await ChatMessage.all().update(status=MessageStatus.INTERRUPTED)
    assert await run(store, clock) == 1


async def test_empty_session(store: Store, clock: SettableClock, user: User) -> None:
    """A session without messages goes, too."""
    await session(user, clock, days=31, messages=0)
    assert await run(store, clock) == 1


async def test_batches(store: Store, clock: SettableClock, user: User) -> None:
    """More sessions than one batch all go in one run."""
    for _ in range(7):
        await session(user, clock, days=31)
    assert await run(store, clock, batch=3) == 7


async def test_activity_in_the_meantime(store: Store, clock: SettableClock, user: User) -> None:
    """A session that becomes active just before its turn stays complete."""
    row = await session(user, clock, days=31)
    cutoff = clock.now() - timedelta(days=30)
    await ChatSession.filter(id=row.id).update(updated_at=clock.now())
    assert not await delete_session(store, row.id, inactive_since=cutoff)
    assert await ChatMessage.filter(parent_id__isnull=False).count() == 1
    assert await delete_session(store, row.id)
    assert not await delete_session(store, row.id)


async def test_twice_at_once(store: Store, clock: SettableClock, user: User) -> None:
    """Two runs at the same time delete each session once."""
    for _ in range(5):
        await session(user, clock, days=31)
    assert sum(await asyncio.gather(run(store, clock), run(store, clock))) == 5


async def test_long_conversation(store: Store, clock: SettableClock, user: User) -> None:
    """A conversation longer than SQLite's cascades go deep is deleted, and quickly."""
    await session(user, clock, days=31, messages=1_500)
    began = time.perf_counter()
    assert await run(store, clock) == 1
    assert time.perf_counter() - began < 1
    assert await ChatMessage.all().count() == 0


async def test_others_get_their_turn(store: Store, clock: SettableClock, user: User) -> None:
    """Queries of others are answered while the job runs."""
    for _ in range(30):
        await session(user, clock, days=31)
    job = asyncio.create_task(run(store, clock))
    counts = []
    while not job.done():
        counts.append(await ChatSession.all().count())
    assert await job == 30
    assert len(set(counts)) > 5
