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


def _has_role(role: str) -> str:
    """That a collection names a role; its roles are a JSON list of names that hold no quotes."""
    return f"CAST(collection.roles AS TEXT) LIKE '%\"' || {role} || '\"%'"


_NEW_ROLE = "'USER'"
_NEW_ACCOUNT = (
    "SELECT id FROM collection WHERE audience = 'PUBLIC' "
    f"OR audience = 'ROLES' AND {_has_role(_NEW_ROLE)}"
)


def _seen(ids: str, complete: str, *, keepers: str = "FALSE") -> str:
    """Collections that everyone among `ids` sees, if `complete` holds; all, if `keepers` does.

    It begins with SELECT, so that SQLite's reading connection takes it.
    """
    return f"""SELECT id FROM (
    WITH people AS (SELECT id, role FROM user_account WHERE id IN ({ids})),
    named AS (
        SELECT member.collection_id AS id, people.id AS person FROM people
        JOIN collection_member AS member ON member.user_id = people.id
        UNION
        SELECT member.collection_id, people.id FROM people
        JOIN group_member AS belonging ON belonging.user_id = people.id
        JOIN collection_member AS member ON member.group_id = belonging.group_id
    )
    SELECT collection.id FROM collection WHERE {complete} AND (
        collection.audience = 'PUBLIC'
        OR collection.audience = 'ROLES' AND NOT EXISTS (
            SELECT 1 FROM people WHERE NOT {_has_role("people.role")})
        OR collection.audience = 'NAMED' AND collection.id IN (
            SELECT id FROM named GROUP BY id HAVING COUNT(*) = (SELECT COUNT(*) FROM people))
        OR {keepers})
) AS seen"""


@lru_cache(maxsize=64)
def _all_sql(is_sqlite: bool, count: int) -> str:
    places = ", ".join(_place(is_sqlite, number) for number in range(1, count + 1))
    return _seen(places, f"(SELECT COUNT(*) FROM people) = {count}")


@lru_cache(maxsize=2)
def _session_sql(is_sqlite: bool) -> str:
    user, session = _place(is_sqlite, 1), _place(is_sqlite, 2)
    return _seen(
        f"SELECT {user} UNION SELECT user_id FROM participant WHERE session_id = {session}",
        f"EXISTS (SELECT 1 FROM people WHERE id = {user})",
    )


@lru_cache(maxsize=2)
def _read_sql(is_sqlite: bool) -> str:
    return _seen(
        _place(is_sqlite, 1),
        "EXISTS (SELECT 1 FROM people)",
        keepers="EXISTS (SELECT 1 FROM people WHERE role IN ('EDITOR', 'ADMIN'))",
    )


def _place(is_sqlite: bool, number: int) -> str:
    return f"?{number}" if is_sqlite else f"${number}::uuid"
