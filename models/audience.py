"""Which collections people see, in one statement each.

They are asked before every search, while the question is being embedded, so that a change of an
audience, a group or a role counts for the next question. The statements are made once: building a
query takes Tortoise longer than the database takes to answer it.

Whoever names people who do not exist sees nothing: "all of nobody may see it" is no reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from uuid import UUID

from models.store import Store

# A person `person` sees the collection `collection`, which is not PUBLIC. The roles are a JSON list
# of names that hold no quotes.
_SEES = """
    collection.audience = 'ROLES'
        AND CAST(collection.roles AS TEXT) LIKE '%"' || person.role || '"%'
    OR collection.audience = 'NAMED' AND EXISTS (
        SELECT 1 FROM collection_member AS member
        WHERE member.collection_id = collection.id AND (
            member.user_id = person.id OR member.group_id IN (
                SELECT group_id FROM group_member WHERE user_id = person.id)))
"""


async def seen_by_all(store: Store, user_ids: Sequence[UUID]) -> tuple[UUID, ...]:
    """The collections that each of these people sees; none for no people."""
    ids = list(dict.fromkeys(user_ids))
    if not ids:
        return ()
    return await _ids(store, _all_sql(store.is_sqlite, len(ids)), ids)


async def seen_in_session(store: Store, user_id: UUID, session_id: UUID) -> tuple[UUID, ...]:
    """The collections that this person and everyone who takes part in the session sees.

    Invitations that nobody has taken up do not count.
    """
    return await _ids(store, _session_sql(store.is_sqlite), [user_id, session_id])


async def seen_by_new_account(store: Store) -> tuple[UUID, ...]:
    """The collections that somebody who registers now will see: a USER whom nobody has named."""
    return await _ids(store, _NEW_ACCOUNT, [])


async def seen_by_everyone(store: Store) -> tuple[UUID, ...]:
    """The collections that are PUBLIC."""
    return await _ids(store, "SELECT id FROM collection WHERE audience = 'PUBLIC'", [])


async def read_by(store: Store, user_id: UUID) -> tuple[UUID, ...]:
    """The collections whose documents this person may read: those that they see, and all for who
    looks after the documents (EDITOR, ADMIN)."""
    return await _ids(store, _read_sql(store.is_sqlite), [user_id])


async def _ids(store: Store, sql: str, values: Sequence[UUID]) -> tuple[UUID, ...]:
    rows = await store.connection.execute_query_dict(sql, [str(value) for value in values])
    return tuple(
        value if isinstance(value := row["id"], UUID) else UUID(str(value)) for row in rows
    )


_NEW_ACCOUNT = (
    "SELECT id FROM collection WHERE audience = 'PUBLIC' "
    "OR audience = 'ROLES' AND CAST(roles AS TEXT) LIKE '%\"USER\"%'"
)


def _seen(people: str, complete: str) -> str:
    """Collections that everyone in `people` sees, if `complete` holds."""
    return (
        f"SELECT collection.id FROM collection WHERE {complete} AND "
        "(collection.audience = 'PUBLIC' OR NOT EXISTS "
        f"(SELECT 1 FROM user_account AS person WHERE {people} AND NOT ({_SEES})))"
    )


@lru_cache(maxsize=64)
def _all_sql(is_sqlite: bool, count: int) -> str:
    places = ", ".join(_place(is_sqlite, number) for number in range(1, count + 1))
    return _seen(
        f"person.id IN ({places})",
        f"(SELECT COUNT(*) FROM user_account WHERE id IN ({places})) = {count}",
    )


@lru_cache(maxsize=2)
def _session_sql(is_sqlite: bool) -> str:
    user, session = _place(is_sqlite, 1), _place(is_sqlite, 2)
    return _seen(
        f"(person.id = {user} OR person.id IN "
        f"(SELECT user_id FROM participant WHERE session_id = {session}))",
        f"EXISTS (SELECT 1 FROM user_account WHERE id = {user})",
    )


@lru_cache(maxsize=2)
def _read_sql(is_sqlite: bool) -> str:
    return (
        "SELECT collection.id FROM collection JOIN user_account AS person "
        f"ON person.id = {_place(is_sqlite, 1)} WHERE collection.audience = 'PUBLIC' "
        f"OR person.role IN ('EDITOR', 'ADMIN') OR ({_SEES})"
    )


def _place(is_sqlite: bool, number: int) -> str:
    return f"?{number}" if is_sqlite else f"${number}::uuid"
