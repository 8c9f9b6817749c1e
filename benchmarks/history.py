"""Pages of a long session: `python -m benchmarks --only history`.

A page of messages with authors and citations through GraphQL, against the same rows read by
hand-written SQL and encoded by hand, to the same bytes but for the operation's cost, all over HTTP.
"By hand" is an endpoint of the same server, which looks at the login and reads beside the event
loop as GraphQL has to; "on the spot" is a server of its own that knows no logins and reads within
the event loop. The session is long, and pages are read at its start, its end and in its middle: all
must take about as long.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, Final
from uuid import UUID

from benchmarks.figures import Spread, load, milliseconds, progress, table
from benchmarks.readers import Server, running
from benchmarks.servers import DATABASE
from models.chat_message import ChatMessage, MessageRole, MessageStatus
from models.chat_session import ChatSession
from models.citation import Citation
from models.participant import Participant, ParticipantRole
from models.statements import insert, insert_values
from models.store import Store
from models.user import User
from resolvers.paging import encode_cursor
from schema.node import global_id

GOAL: Final = 2.0
_WAYS: Final = ("groundql", "by hand", "on the spot")
PAGE: Final = 50
QUERY: Final = """
query Page($id: ID!, $first: Int, $after: String, $last: Int, $before: String) {
  session(id: $id) { messages(first: $first, after: $after, last: $last, before: $before) {
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    edges { cursor node {
      id role status content createdAt
      author { id displayName }
      citations { number title quote startOffset endOffset score }
    } }
  } }
}
"""
_BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)
_SESSION: Final = UUID(int=0x019B_0000_0000_7000_8000_0000_0000_0000)
_QUESTION: Final = "How long do I have to return something that I bought in your shop?"
_ANSWER: Final = "You can return an item within 45 days of delivery [1]. Keep the receipt [2]. " * 6
_QUOTE: Final = "You can return an item within 45 days of delivery. Keep the receipt."

_Read = Callable[["_Place"], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the session a page is read."""

    name: str
    backward: bool = False
    after: UUID | None = None
    before: UUID | None = None

    def variables(self) -> dict[str, Any]:
        return {
            "id": global_id("ChatSession", _SESSION),
            "last" if self.backward else "first": PAGE,
            "after": self.after and encode_cursor(str(self.after)),
            "before": self.before and encode_cursor(str(self.before)),
        }

    def by_hand(self, reader: str) -> dict[str, Any]:
        return {
            "reader": reader,
            "session": str(_SESSION),
            "size": PAGE,
            "backward": self.backward,
            "after": self.after and str(self.after),
            "before": self.before and str(self.before),
        }


@dataclass(frozen=True, slots=True)
class History:
    """The result: milliseconds of each place's page, by how it was read."""

    times: dict[str, dict[str, Spread]]
    messages: int
    page_bytes: int
    load: list[float]

    def ratio(self, plain: str) -> float:
        """GraphQL to a way by hand: the median of all places."""
        ours, others = self.times[_WAYS[0]], self.times[plain]
        return median(ours[place].median / others[place].median for place in ours)

    def evenness(self, kind: str) -> float:
        """The slowest place's median to the fastest one's."""
        medians = [spread.median for spread in self.times[kind].values()]
        return max(medians) / min(medians)

    def to_json(self) -> dict[str, Any]:
        return {
            "unit": "ms",
            "messages": self.messages,
            "page": PAGE,
            "page_bytes": self.page_bytes,
            "goal": GOAL,
            "ratio": round(self.ratio("by hand"), 3),
            "ratio_on_the_spot": round(self.ratio("on the spot"), 3),
            "slowest_to_fastest_place": {
                kind: round(self.evenness(kind), 3) for kind in self.times
            },
            "times": {
                kind: {place: spread.to_json() for place, spread in places.items()}
                for kind, places in self.times.items()
            },
            "load": self.load,
        }

    def report(self) -> str:
        kinds = list(self.times)
        places = list(self.times[kinds[0]])
        rows = [
            (place, *(milliseconds(self.times[kind][place].median) for kind in kinds))
            for place in places
        ]
        rows.append(("slowest to fastest", *(f"{self.evenness(kind):.2f}" for kind in kinds)))
        return (
            f"{table(('milliseconds, medians', *kinds), rows)}\n\n"
            f"GraphQL to by hand: {self.ratio('by hand'):.2f} (goal: at most {GOAL:.0f}), "
            f"to on the spot: {self.ratio('on the spot'):.2f}; "
            f"{PAGE} of {self.messages:,} messages with authors and citations, "
            f"{self.page_bytes / 1024:.0f} KiB; load {self.load}"
        )


def run(data_dir: Path, *, messages: int = 100_000, rounds: int = 60) -> History:
    """Measure with a session of so many messages, in a fresh database beneath `data_dir`."""
    before = load()
    times: dict[str, dict[str, list[float]]] = {}
    with progress() as bar:
        task = bar.add_task("Reading pages", total=None)

        def measured(place: _Place, kind: str, took: float) -> None:
            times.setdefault(kind, {}).setdefault(place.name, []).append(1000 * took)
            bar.advance(task)

        with running("groundql", data_dir) as ours, running("plain", data_dir) as plain:
            reader = asyncio.run(_fill(data_dir, messages))
            places = _places(messages)
            bar.update(task, total=len(_WAYS) * rounds * len(places))
            page = _over_http(ours, plain, places, reader, rounds, measured)
    return History(
        times={
            kind: {place: Spread.of(values) for place, values in found.items()}
            for kind, found in times.items()
        },
        messages=messages,
        page_bytes=len(page),
        load=before,
    )


def _message_id(number: int) -> UUID:
    """UUIDv7 as the server makes them: their order is that of time."""
    return UUID(int=_SESSION.int + ((1 + number) << 80))


def _places(messages: int) -> list[_Place]:
    middle = _message_id(messages // 2)
    return [
        _Place("first 50"),
        _Place("first 50 after the middle", after=middle),
        _Place("last 50 before the middle", backward=True, before=middle),
        _Place("last 50", backward=True),
    ]


async def _fill(data_dir: Path, messages: int) -> str:
    """Write the session, as the one account's; returns the account's id."""
    store = Store(f"sqlite://{(data_dir / DATABASE).absolute()}")
    await store.open()
    try:
        user = await User.all().first()
        assert user is not None
        session = ChatSession(
            id=_SESSION, owner_id=user.id, title="Long", created_at=_BEGIN, updated_at=_BEGIN
        )
        part = Participant(
            session_id=_SESSION,
            user_id=user.id,
            role=ParticipantRole.OWNER,
            created_at=_BEGIN,
            active_at=_BEGIN,
        )
        await store.write([insert(session), insert(part)])
        for begin in range(0, messages, 10_000):
            numbers = range(begin, min(messages, begin + 10_000))
            await store.write(
                [
                    insert_values(ChatMessage, _MESSAGE, [_message(n, user.id) for n in numbers]),
                    insert_values(
                        Citation,
                        _CITATION,
                        [_citation(n, place) for n in numbers if n % 2 for place in (1, 2)],
                    ),
                ]
            )
    finally:
        await store.close()
    return str(user.id)


_MESSAGE = (
    "id", "session_id", "parent_id", "active", "role", "status", "content", "author_id",
    "created_at", "grounded",
)  # fmt: skip
_CITATION = ("message_id", "number", "title", "quote", "start_offset", "end_offset", "score")


def _message(number: int, author: UUID) -> list[Any]:
    reply = number % 2 == 1
    return [
        _message_id(number),
        _SESSION,
        _message_id(number - 1) if number else None,
        True,
        MessageRole.ASSISTANT if reply else MessageRole.USER,
        MessageStatus.COMPLETE,
        _ANSWER if reply else _QUESTION,
        None if reply else author,
        _BEGIN + timedelta(milliseconds=1 + number),
        True if reply else None,
    ]


def _citation(number: int, place: int) -> list[Any]:
    return [_message_id(number), place, "Returns", _QUOTE, 10, 10 + len(_QUOTE), 0.75]


def _over_http(
    ours: Server,
    plain: Server,
    places: Sequence[_Place],
    reader: str,
    rounds: int,
    measured: Callable[[_Place, str, float], None],
) -> bytes:
    """All ways in turn, each over one connection; returns a page."""
    connections = [
        http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for port in (ours.port, ours.port, plain.port)
    ]
    headers = {"content-type": "application/json", "authorization": f"Bearer {ours.token}"}
    page = b""
    try:
        for turn in range(rounds + 1):
            for place in places:
                by_hand = ("/history", place.by_hand(reader))
                graphql = ("/graphql", {"query": QUERY, "variables": place.variables()})
                pages = []
                for way, connection, (path, body) in zip(
                    _WAYS, connections, (graphql, by_hand, by_hand), strict=True
                ):
                    data = json.dumps(body).encode()
                    begun = time.perf_counter()
                    connection.request("POST", path, data, headers)
                    pages.append(connection.getresponse().read())
                    took = time.perf_counter() - begun
                    if turn:  # the first one warms up
                        measured(place, way, took)
                page = _same(place, *pages)
    finally:
        for connection in connections:
            connection.close()
    return page


def _same(place: _Place, ours: bytes, *others: bytes) -> bytes:
    # GraphQL also says what the operation has cost.
    head, cost, _ = ours.partition(b',"extensions":{"cost":')
    ours = head + b"}" if cost else ours
    for plain in others:
        if ours != plain:
            raise RuntimeError(f"{place.name}: {ours[:500]!r} is not {plain[:500]!r}")
    return ours
