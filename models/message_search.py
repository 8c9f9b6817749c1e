"""Full-text search in messages.

SQLite has an FTS5 table that triggers keep in step with chat_message; PostgreSQL a generated column
with a GIN index. Neither is a model: the migration 0003 makes them, and nothing else writes them.

The order is the same in both, and depends on nothing but the message itself: `Closeness` first,
then newest first. A score such as BM25 changes for all messages whenever anyone writes one, so that
pages by its value would repeat some and skip others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any
from uuid import UUID

from models.store import Store

# Words that stand this near to each other, with others between them, are NEAR.
NEAR = 10


class Closeness(IntEnum):
    """How the words of a query stand in a message."""

    TOGETHER = 0  # one after the other, each as it was written
    TOGETHER_BEGUN = 1  # one after the other, the last one as the beginning of a word
    NEAR = 2
    ANYWHERE = 3


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words that stand one after the other; with `prefix`, the last begins a word.

    Words consist of letters, digits and their marks, so nothing in them is an operator.
    """

    words: tuple[str, ...]
    prefix: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A message that has all phrases, and its place in the order."""

    message_id: UUID
    closeness: Closeness


async def find_messages(
    store: Store, user_id: UUID, phrases: Sequence[Phrase], *, after: Found | None, limit: int
) -> list[Found]:
    """The messages behind `after`, in order, in sessions that the person is in; of any branch.

    There must be at least one phrase.
    """
    if store.is_sqlite:
        sql, values = _sqlite(user_id, phrases, after, limit)
    else:
        sql, values = _postgres(user_id, phrases, after, limit)
    rows = await store.connection.execute_query_dict(sql, values)
    return [Found(UUID(str(row["id"])), Closeness(row["closeness"])) for row in rows]


def _tiers(phrases: Sequence[Phrase]) -> list[tuple[Closeness, tuple[Phrase, ...]]]:
    """What is closer than ANYWHERE, as phrases, where it differs from what comes after it."""
    words = tuple(word for phrase in phrases for word in phrase.words)
    prefix = phrases[-1].prefix
    tiers: list[tuple[Closeness, tuple[Phrase, ...]]] = []
    if prefix or len(phrases) > 1:
        tiers.append((Closeness.TOGETHER, (Phrase(words),)))
    if prefix and len(phrases) > 1:
        tiers.append((Closeness.TOGETHER_BEGUN, (Phrase(words, prefix=True),)))
    if len(phrases) > 1:
        tiers.append((Closeness.NEAR, tuple(phrases)))
    return tiers


def _rest(phrases: Sequence[Phrase]) -> Closeness:
    """What a message is that has the phrases and is in none of the tiers."""
    if len(phrases) > 1:
        return Closeness.ANYWHERE
    return Closeness.TOGETHER_BEGUN if phrases[0].prefix else Closeness.TOGETHER


def _sqlite(
    user_id: UUID, phrases: Sequence[Phrase], after: Found | None, limit: int
) -> tuple[str, list[Any]]:
    values: list[Any] = [_match(phrases), str(user_id), limit]
    cases = []
    for closeness, tier in _tiers(phrases):
        match = _match(tier)
        if closeness is Closeness.NEAR:
            match = f"NEAR({' '.join(map(_quoted, tier))}, {NEAR})"
        values.append(match)
        cases.append(
            "WHEN key.id IN (SELECT rowid FROM message_search "
            f"WHERE message_search MATCH ?{len(values)}) THEN {closeness.value}"
        )
    rest = _rest(phrases)
    closeness_sql = f"CASE {' '.join(cases)} ELSE {rest.value} END" if cases else str(rest.value)
    where = ""
    if after is not None:
        values += [after.closeness.value, str(after.message_id)]
        where = (
            f"WHERE closeness > ?{len(values) - 1} "
            f"OR (closeness = ?{len(values) - 1} AND id < ?{len(values)})"
        )
    return (
        "SELECT id, closeness FROM ("
        f"SELECT key.message_id AS id, {closeness_sql} AS closeness "
        "FROM message_search JOIN message_search_key AS key ON key.id = message_search.rowid "
        "WHERE message_search MATCH ?1 "
        "AND key.session_id IN (SELECT session_id FROM participant WHERE user_id = ?2)"
        f") {where} ORDER BY closeness, id DESC LIMIT ?3",
        values,
    )


def _match(phrases: Sequence[Phrase]) -> str:
    return " AND ".join(map(_quoted, phrases))


def _quoted(phrase: Phrase) -> str:
    return f'"{" ".join(phrase.words)}"{" *" if phrase.prefix else ""}'


def _postgres(
    user_id: UUID, phrases: Sequence[Phrase], after: Found | None, limit: int
) -> tuple[str, list[Any]]:
    values: list[Any] = [user_id, limit]

    def query(wanted: Sequence[Phrase]) -> str:
        terms = []
        for phrase in wanted:
            values.append(" ".join(phrase.words))
            term = f"phraseto_tsquery('simple', message_search_text(${len(values)}::text))"
            if phrase.prefix:
                # The text of a tsquery ends with its last word: ":*" makes a prefix of that.
                begun = f"({term}::text || ':*')::tsquery"
                term = f"CASE WHEN numnode({term}) = 0 THEN {term} ELSE {begun} END"
            terms.append(term)
        return " && ".join(f"({term})" for term in terms)

    everything = query(phrases)
    cases = []
    for closeness, tier in _tiers(phrases):
        if closeness is Closeness.NEAR:
            # A group of the words with n others between adds 1 / (1 + n) to this rank.
            test = f"ts_rank_cd('{{1,1,1,1}}', search_words, asked.words) >= {1 / (1 + NEAR):.6f}"
        else:
            test = f"search_words @@ ({query(tier)})"
        cases.append(f"WHEN {test} THEN {closeness.value}")
    rest = _rest(phrases)
    closeness_sql = f"CASE {' '.join(cases)} ELSE {rest.value} END" if cases else str(rest.value)
    where = ""
    if after is not None:
        values += [after.closeness.value, after.message_id]
        where = (
            f"WHERE closeness > ${len(values) - 1}::int "
            f"OR (closeness = ${len(values) - 1}::int AND id < ${len(values)}::uuid)"
        )
    return (
        "SELECT id, closeness FROM ("
        f"SELECT message.id, {closeness_sql} AS closeness "
        f"FROM chat_message AS message, (SELECT {everything} AS words) AS asked "
        "WHERE search_words @@ asked.words "
        "AND session_id IN (SELECT session_id FROM participant WHERE user_id = $1)"
        f") AS found {where} ORDER BY closeness, id DESC LIMIT $2",
        values,
    )
