"""Rows read with prepared statements are the objects that Tortoise makes."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from tortoise.exceptions import IncompleteInstanceError
from tortoise.models import Model

from models.base import new_id
from models.chat_message import ChatMessage, MessageRole, MessageStatus
from models.chat_session import ChatSession
from models.citation import Citation
from models.history import BRIEF, read_messages
from models.login import Login
from models.participant import Participant, ParticipantRole
from models.reading import Table, fetch, fetch_by_key, select, select_among
from models.sqlite import Client
from models.store import Store
from models.user import User

pytestmark = pytest.mark.anyio

NOW = datetime(2030, 1, 1, 12, 30, tzinfo=UTC)


async def _fill() -> tuple[User, ChatSession]:
    user = await User.create(email="a@example.com", display_name="Änne", password_hash="x")
    session = await ChatSession.create(owner_id=user.id, title="T", updated_at=NOW)
    await Participant.create(
        session_id=session.id,
        user_id=user.id,
        role=ParticipantRole.OWNER,
        active_at=NOW,
        tags=["a", "b"],
    )
    await Login.create(
        user_id=user.id, last_used_at=NOW, expires_at=NOW + timedelta(days=1, microseconds=7)
    )
    parent = None
    for number in range(6):
        reply = number % 2 == 1
        message = await ChatMessage.create(
            id=new_id(),
            session_id=session.id,
            parent_id=parent,
            role=MessageRole.ASSISTANT if reply else MessageRole.USER,
            status=MessageStatus.COMPLETE,
            content=f"text {number}",
            author_id=None if reply else user.id,
            search_filter={"types": ["faq"]} if number == 2 else None,
            grounded=reply or None,
            ended_at=NOW if reply else None,
            active=number != 4,
        )
        parent = message.id
        for place in range(2 if reply else 0):
            await Citation.create(
                message_id=message.id,
                number=2 - place,
                title="Returns",
                quote="q",
                start_offset=1,
                end_offset=2,
                score=0.5,
            )
    return user, session


def _state(row: Model) -> dict[str, Any]:
    return {name: getattr(row, name) for name in type(row)._meta.fields_db_projection}


@pytest.mark.parametrize("model", [User, ChatSession, Participant, Login, ChatMessage, Citation])
async def test_rows_are_as_tortoise_makes_them(store: Store, model: type[Model]) -> None:
    """Every column has the same value and type, and the object can be saved."""
    await _fill()
    ours = await select(model, "ORDER BY id")
    theirs = await model.all().order_by("id")
    assert [_state(row) for row in ours] == [_state(row) for row in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert [type(value) for value in _state(one).values()] == [
            type(value) for value in _state(other).values()
        ]
        assert one == other
        assert one._saved_in_db
    await ours[0].save()
    for name in model._meta.fields_db_projection:
        assert list(ours.column(name)) == [getattr(row, name) for row in theirs]


async def test_tables_are_sequences(store: Store) -> None:
    """Slices, indexes and reordering keep rows and columns together."""
    await _fill()
    rows = await select(ChatMessage, "ORDER BY id")
    contents = [row.content for row in rows]
    assert len(rows) == 6
    assert rows[1].content == "text 1"
    assert list(rows[::-1].column("content")) == contents[::-1]
    assert [row.content for row in rows.at([3, 0])] == ["text 3", "text 0"]
    empty = rows[:0]
    assert (len(empty), list(empty), list(empty.column("id"))) == (0, [], [])


async def test_rows_are_found_by_many_ids(store: Store) -> None:
    """Unknown ids and none at all are fine; the order is the one asked for."""
    await _fill()
    replies = await ChatMessage.filter(role=MessageRole.ASSISTANT).order_by("id")
    found = await select_among(
        Citation,
        "message_id",
        [uuid4(), *(reply.id for reply in replies)],
        order="message_id, number",
    )
    assert [(row.message_id, row.number) for row in found] == [
        (reply.id, number) for reply in replies for number in (1, 2)
    ]
    assert list(await select_among(Citation, "message_id", [])) == []


async def test_a_page_comes_with_what_belongs_to_it(store: Store) -> None:
    """Messages between two ids, their citations and authors, inside a transaction, too."""
    user, session = await _fill()
    ids: list[UUID] = [row.id for row in await ChatMessage.all().order_by("id")]

    async def read(**options: Any) -> Any:
        arguments = {"after": None, "before": None, "newest_first": False, "limit": 10, **options}
        return await read_messages(session.id, **arguments)

    page = await read(with_citations=True, with_authors=True)
    assert [row.id for row in page.messages] == [*ids[:4], ids[5]], "one is not on the branch"
    assert [row.message_id for row in page.citations] == [
        key for key in (ids[1], ids[3], ids[5]) for _ in range(2)
    ]
    assert [row.id for row in page.authors] == [user.id]
    plain = await read(after=ids[0], before=ids[3], newest_first=True, limit=1)
    assert ([row.id for row in plain.messages], plain.citations, plain.authors) == (
        [ids[2]],
        None,
        None,
    )
    empty = await read(after=ids[5], with_citations=True, with_authors=True)
    assert [len(part) for part in (empty.messages, empty.citations, empty.authors)] == [0, 0, 0]
    async with store.transaction():
        await ChatMessage.filter(id=ids[3]).update(content="changed")
        inside = await read(with_citations=True)
        assert [row.content for row in inside.messages][3] == "changed"
        assert isinstance(inside.citations, Table)


async def test_brief_messages_are_the_same_without_some_fields(store: Store) -> None:
    """Columns and objects hold what `BRIEF` names; what it leaves out is not there at all."""
    _, session = await _fill()
    window: dict[str, Any] = {"after": None, "before": None, "newest_first": True, "limit": 4}
    whole = (await read_messages(session.id, **window)).messages
    brief = (await read_messages(session.id, brief=True, **window)).messages[1:].at([0, 1, 2])
    assert not brief.has("failure")
    assert whole.has("failure")
    for field in BRIEF:
        assert list(brief.column(field)) == list(whole.column(field))[1:]
    for one, same in zip(brief.objects(), whole.objects()[1:], strict=True):
        assert all(getattr(one, field) == getattr(same, field) for field in BRIEF)
        assert not hasattr(one, "failure")
        with pytest.raises(IncompleteInstanceError):
            await one.save()
    with pytest.raises(KeyError):
        brief.column("failure")
    # A single one is made in another way.
    [alone] = brief[:1].objects()
    assert (alone.id, hasattr(alone, "failure")) == (whole.objects()[1].id, False)


async def test_null_and_foreign_values_are_given_as_they_are(store: Store) -> None:
    """`fetch` takes ids, numbers and texts as parameters of either database."""
    user, _ = await _fill()
    rows = await fetch(
        User, 'SELECT "email" FROM "user_account" WHERE "id" = $1 AND "email" = $2',
        [user.id, "a@example.com"],
    )  # fmt: skip
    assert [tuple(row) for row in rows] == [("a@example.com",)]


async def test_rows_by_key_are_those_of_the_last_commit(store: Store) -> None:
    """Within a transaction they are its own, and a rollback leaves none of them."""
    user, _ = await _fill()
    sql = 'SELECT "display_name" FROM "user_account" WHERE "id" = $1'

    async def name() -> str:
        return str((await fetch_by_key(User, sql, [user.id]))[0][0])

    assert await name() == "Änne"
    async with store.transaction() as transaction:
        await User.filter(id=user.id).update(display_name="New")
        assert await name() == "New"
        await transaction.rollback()
    assert await name() == "Änne"
    await User.filter(id=user.id).update(display_name="New")
    assert await name() == "New"
    assert await fetch_by_key(User, sql, [uuid4()]) in ([], ())


async def test_what_cannot_be_read_at_once_is_read_in_the_thread(
    anyio_backend: str, empty_sqlite: Path, tmp_path: Path
) -> None:
    """A lock that another process holds for a moment delays a row and fails nothing."""
    shutil.copy(empty_sqlite, tmp_path / "test.db")
    store = Store(f"sqlite://{tmp_path / 'test.db'}")
    await store.open()
    try:
        user, _ = await _fill()
        client = store.connection
        assert isinstance(client, Client)
        assert client.read_by_key("SELECT 1", []) == [(1,)]
        assert client.read_by_key("SELECT nothing", []) is None
        point_reader, client._point_reader = client._point_reader, None
        assert client.read_by_key("SELECT 1", []) is None
        login = await Login.get(user_id=user.id)
        found = await Login.find(store, login.id, user.id)
        assert found is not None
        assert found.user.email == "a@example.com"
        client._point_reader = point_reader
    finally:
        await store.close()
