from __future__ import annotations

import os
import platform
import sys
import threading
from pathlib import Path

import pytest

from rag.embedding import processor


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flags : fpu avx2 avx512f avx512_vnni\n", True),
        ("flags : fpu avx2 avx_vnni\n", True),
        ("Features : fp asimd asimddp\n", True),
        ("flags : fpu avx2 avx512f\n", False),
        ("", False),
    ],
)
def test_dot_products_are_read_from_the_flags(
    text: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only processors that name the instruction count."""
    file = tmp_path / "cpuinfo"
    file.write_text(text)
    monkeypatch.setattr(processor, "_CPUINFO", file)
    monkeypatch.setattr(sys, "platform", "linux")
    assert processor.has_int8_dot_product() is expected


def test_what_is_not_known_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the file nothing is assumed, but every Mac with an ARM processor has them."""
    monkeypatch.setattr(processor, "_CPUINFO", tmp_path / "missing")
    monkeypatch.setattr(sys, "platform", "win32")
    assert not processor.has_int8_dot_product()
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert processor.has_int8_dot_product()
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert not processor.has_int8_dot_product()


def test_cores_are_those_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the process may use counts where the system says it, else what the machine has."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3}, raising=False)
    assert processor.cores() == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert processor.cores() == 7
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert processor.cores() == 1


def test_a_thread_yields_where_threads_have_priorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Linux it becomes less urgent; a system that refuses, and any other one, change nothing."""
    calls: list[tuple[int, int, int]] = []
    monkeypatch.setattr(os, "setpriority", lambda *call: calls.append(call), raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    processor.yield_to_others()
    assert calls == [(os.PRIO_PROCESS, threading.get_native_id(), 5)]
    monkeypatch.setattr(sys, "platform", "win32")
    processor.yield_to_others()
    assert len(calls) == 1

    def refuse(*_: int) -> None:
        calls.append((0, 0, 0))
        raise PermissionError

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "setpriority", refuse, raising=False)
    processor.yield_to_others()
    assert calls[1:] == [(0, 0, 0)]
