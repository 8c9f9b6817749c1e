"""The compact log gives back exactly the events that were."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from resolvers.replies.events import Delta, Ended, Event, Sources, Started, StoredHit, replay

PIECES = st.lists(st.text(min_size=1, max_size=20), max_size=30)
HITS = st.lists(
    st.builds(
        StoredHit,
        document_id=st.uuids().map(str),
        text=st.text(max_size=20),
        headings=st.lists(st.text(max_size=5), max_size=3).map(tuple),
        start=st.integers(0, 1000),
        end=st.integers(0, 1000),
        score=st.floats(0, 1),
    ),
    max_size=4,
)


@given(pieces=PIECES, hits=st.none() | HITS, data=st.data())
def test_a_replay_equals_what_was_shown(
    pieces: list[str], hits: list[StoredHit] | None, data: st.DataObject
) -> None:
    """From any seq on, the replay is the rest of the original events, gapless from 1."""
    shown: list[Event] = [Started(1)]
    if hits is not None:
        shown.append(Sources(2, tuple(hits)))
    for piece in pieces:
        shown.append(Delta(len(shown) + 1, piece))
    shown.append(Ended(len(shown) + 1))
    ends: list[int] = []
    for piece in pieces:
        ends.append((ends[-1] if ends else 0) + len(piece))
    after = data.draw(st.integers(0, len(shown) + 2))
    replayed = replay(
        "".join(pieces),
        sources=None if hits is None else [hit.to_json() for hit in hits],
        delta_ends=ends,
        after=after,
    )
    assert replayed == shown[after:]
    assert [event.seq for event in shown] == list(range(1, len(shown) + 1))
