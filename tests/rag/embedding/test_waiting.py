from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rag.embedding.waiting import Request, WaitingPassages


class _Future:
    """As much of a future as the queue looks at, without an event loop."""

    def __init__(self) -> None:
        self.is_done = False

    def done(self) -> bool:
        return self.is_done


def request(*texts: str) -> Request:
    future: asyncio.Future[np.ndarray] = _Future()  # type: ignore[assignment]
    return Request(texts, future, np.zeros((len(texts), 1), dtype=np.float32))


def waiting(*requests: Request) -> WaitingPassages:
    queue = WaitingPassages()
    for one in requests:
        queue.add(one)
    return queue


def taken(queue: WaitingPassages, limit: int) -> list[str]:
    return [text for part in queue.take(limit) for text in part.texts]


def test_a_batch_has_texts_of_like_length_from_all_requests() -> None:
    """Two documents' short texts go together, and so do their long ones."""
    queue = waiting(request("a", "b" * 50), request("c" * 51, "d"))
    assert taken(queue, 2) == ["a", "d"]
    assert taken(queue, 2) == ["c" * 51, "b" * 50][::-1]
    assert not queue
    assert queue.take(2) == []


def test_requests_take_turns() -> None:
    """A long document that came first does not hold up a short one of another length."""
    queue = waiting(request(*["long" * 20] * 9), request("short"))
    assert taken(queue, 3) == ["long" * 20] * 3
    assert "short" in taken(queue, 3)


def test_abandoned_requests_are_forgotten() -> None:
    """Texts whose caller was cancelled are not taken."""
    gone, kept = request("gone", "gone too"), request("kept")
    queue = waiting(gone, kept)
    gone.future.is_done = True  # type: ignore[attr-defined]
    assert taken(queue, 5) == ["kept"]
    assert not queue


def test_clearing_gives_the_requests_back() -> None:
    """After `clear` nothing waits, and its caller knows who waited."""
    first, second = request("a"), request("b", "c")
    queue = waiting(first, second)
    assert list(queue.clear()) == [first, second]
    assert not queue


@given(
    documents=st.lists(st.lists(st.text(max_size=20), min_size=1, max_size=12), max_size=6),
    limit=st.integers(1, 7),
)
def test_each_text_is_taken_once(documents: Sequence[Sequence[str]], limit: int) -> None:
    """Whatever the lengths, all rows of all requests come out, in batches within the limit."""
    requests = [request(*texts) for texts in documents]
    queue = waiting(*requests)
    rows: list[tuple[int, int]] = []
    while queue:
        parts = queue.take(limit)
        batch = [(requests.index(part.request), row) for part in parts for row in part.rows]
        assert 1 <= len(batch) <= limit
        rows += batch
    expected = [(n, row) for n, texts in enumerate(documents) for row in range(len(texts))]
    assert sorted(rows) == expected
