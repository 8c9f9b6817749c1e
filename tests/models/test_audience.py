"""Who sees which collections, on both kinds of database."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tortoise.migrations.executor import MigrationExecutor, MigrationTarget

from models import audience
from models.base import new_id
from models.chat_session import ChatSession
from models.collection import (
    GENERAL_ID,
    Audience,
    Collection,
    CollectionMember,
    GroupMember,
    UserGroup,
)
from models.document import Document
from models.participant import Invitation, Participant, ParticipantRole
from models.store import Store
from models.user import Role, User
from tests.postgres import PostgresServer

pytestmark = pytest.mark.anyio

NOW = datetime(2030, 1, 1, tzinfo=UTC)


async def make_user(role: Role = Role.USER) -> User:
    return await User.create(
        email=f"{new_id()}@example.com", display_name="A", password_hash="x", role=role
    )


async def named(name: str, *members: User | UserGroup) -> Collection:
    collection = await Collection.create(name=name, audience=Audience.NAMED)
    for member in members:
        if isinstance(member, User):
            await CollectionMember.create(collection_id=collection.id, user_id=member.id)
        else:
            await CollectionMember.create(collection_id=collection.id, group_id=member.id)
    return collection


async def names(ids: tuple[object, ...]) -> set[str]:
    assert len(ids) == len(set(ids))
    return {row.name for row in await Collection.filter(id__in=ids)}


class World:
    """One collection of each kind, and one person for each way of seeing one."""

    @classmethod
    async def make(cls) -> World:
        world = cls()
        world.user, world.other = await make_user(), await make_user()
        world.editor, world.admin = await make_user(Role.EDITOR), await make_user(Role.ADMIN)
        group = await UserGroup.create(name="Sales")
        await GroupMember.create(group_id=group.id, user_id=world.other.id)
        await Collection.create(name="Editors", audience=Audience.ROLES, roles=["EDITOR", "ADMIN"])
        await Collection.create(name="Users", audience=Audience.ROLES, roles=["USER"])
        await Collection.create(name="No role", audience=Audience.ROLES, roles=[])
        await named("By name", world.user, world.admin)
        await named("By group", group)
        await named("By both", world.user, group)
        await named("Nobody")
        world.group = group
        return world

    user: User
    other: User
    editor: User
    admin: User
    group: UserGroup


async def test_each_audience_lets_its_people_in_and_nobody_else(store: Store) -> None:
    """Public to all, roles by their exact names, people by name or group."""
    world = await World.make()

    async def seen(*people: User) -> set[str]:
        return await names(await audience.seen_by_all(store, [one.id for one in people]))

    assert await seen(world.user) == {"General", "Users", "By name", "By both"}
    assert await seen(world.other) == {"General", "Users", "By group", "By both"}
    assert await seen(world.editor) == {"General", "Editors"}
    assert await seen(world.admin) == {"General", "Editors", "By name"}
    # Of several people, what all of them see.
    assert await seen(world.user, world.other) == {"General", "Users", "By both"}
    assert await seen(world.user, world.user) == {"General", "Users", "By name", "By both"}
    assert await seen(world.user, world.admin) == {"General", "By name"}
    assert await seen(world.user, world.other, world.editor, world.admin) == {"General"}
    assert await names(await audience.seen_by_new_account(store)) == {"General", "Users"}
    assert await names(await audience.seen_by_everyone(store)) == {"General"}


async def test_nobody_and_strangers_see_nothing(store: Store) -> None:
    """No people, and people without an account, see not even what is public."""
    user = await make_user()
    assert await audience.seen_by_all(store, []) == ()
    assert await audience.seen_by_all(store, [new_id()]) == ()
    assert await audience.seen_by_all(store, [user.id, new_id()]) == ()
    assert await audience.seen_in_session(store, new_id(), new_id()) == ()
    assert await audience.read_by(store, new_id()) == ()


async def test_who_looks_after_documents_reads_all(store: Store) -> None:
    """EDITOR and ADMIN read every collection; a USER those that they see."""
    world = await World.make()
    everything = {row.name for row in await Collection.all()}
    assert len(everything) == 8
    assert await names(await audience.read_by(store, world.editor.id)) == everything
    assert await names(await audience.read_by(store, world.admin.id)) == everything
    assert await names(await audience.read_by(store, world.user.id)) == {
        "General",
        "Users",
        "By name",
        "By both",
    }


async def test_a_session_sees_what_all_of_its_people_see(store: Store) -> None:
    """Owners, writers and readers count; invitations do not, nor do other sessions."""
    world = await World.make()
    session = await ChatSession.create(owner_id=world.user.id, title="t", updated_at=NOW)
    elsewhere = await ChatSession.create(owner_id=world.editor.id, title="t", updated_at=NOW)

    async def join(place: ChatSession, user: User, role: ParticipantRole) -> None:
        await Participant.create(session_id=place.id, user_id=user.id, role=role, active_at=NOW)

    async def seen() -> set[str]:
        return await names(await audience.seen_in_session(store, world.user.id, session.id))

    await join(elsewhere, world.editor, ParticipantRole.OWNER)
    # The person who asks counts also before their part is stored.
    assert await seen() == {"General", "Users", "By name", "By both"}
    await join(session, world.user, ParticipantRole.OWNER)
    await Invitation.create(session_id=session.id, email="x@example.com", role="READER")
    assert await seen() == {"General", "Users", "By name", "By both"}
    await join(session, world.other, ParticipantRole.READER)
    assert await seen() == {"General", "Users", "By both"}
    await join(session, world.editor, ParticipantRole.WRITER)
    assert await seen() == {"General"}
    await Participant.filter(user_id=world.editor.id).delete()
    await GroupMember.filter(user_id=world.other.id).delete()
    assert await seen() == {"General", "Users"}
    await User.filter(id=world.other.id).update(role=Role.EDITOR)
    assert await seen() == {"General"}


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_what_was_there_before_belongs_to_the_general_collection(
    anyio_backend: str, request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    """The migration puts every document where everyone sees it, as before."""
    url = f"sqlite://{tmp_path / 'test.db'}"
    if kind == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.create()
    store = Store(url)
    await store.open()
    try:
        executor = MigrationExecutor(store.connection, store._config["apps"])
        await executor.migrate([MigrationTarget("models", "0003_message_search")])
        await store.connection.execute_query(
            "INSERT INTO document (id, created_at, title, type, category, content, content_hash, "
            "status, version, chunk_count, updated_at) VALUES "
            "('00000000-0000-7000-8000-00000000000a', '2030-01-01 00:00:00+00:00', 'Old', 'a', "
            "'b', '', '', 'READY', 1, 0, '2030-01-01 00:00:00+00:00')"
        )
        assert "0006_collections" in await store.migrate()
        general = await Collection.get()
        assert (general.id, general.name, general.audience, general.roles) == (
            GENERAL_ID,
            "General",
            Audience.PUBLIC,
            [],
        )
        assert general.created_at.tzinfo is not None
        old = await Document.get()
        assert old.collection_id == GENERAL_ID
        new = await Document.create(
            title="New", type="a", category="b", content="", content_hash=""
        )
        assert (await Document.get(id=new.id)).collection_id == GENERAL_ID
    finally:
        await store.close()


async def test_a_collection_that_goes_leaves_its_tombstones_to_nobody(store: Store) -> None:
    """A document whose collection is gone is in none, and so in nobody's."""
    collection = await Collection.create(name="Gone", audience=Audience.NAMED)
    document = await Document.create(
        title="t", type="a", category="b", content="", content_hash="", collection_id=collection.id
    )
    await collection.delete()
    assert (await Document.get(id=document.id)).collection_id is None
