from __future__ import annotations

import threading

from rag.index.lock import SharedLock


def test_readers_share_and_a_writer_is_alone() -> None:
    """Two readers are inside at once; a writer waits for them, and a late reader for the writer."""
    lock, order = SharedLock(), list[str]()
    both_inside = threading.Barrier(3)
    leave = threading.Event()

    def read() -> None:
        with lock.shared():
            both_inside.wait(5)
            leave.wait(5)
            order.append("read")

    def write() -> None:
        with lock.exclusive():
            order.append("write")

    def read_late() -> None:
        with lock.shared():
            order.append("late")

    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in readers:
        thread.start()
    both_inside.wait(5)
    writer = threading.Thread(target=write)
    writer.start()
    while not lock._writers_waiting:
        pass
    late = threading.Thread(target=read_late)
    late.start()
    leave.set()
    for thread in (*readers, writer, late):
        thread.join(5)
    assert order == ["read", "read", "write", "late"]
