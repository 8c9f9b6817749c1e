"""What the processor can do."""

from __future__ import annotations

import os
import platform
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

_CPUINFO: Final = Path("/proc/cpuinfo")
# Products of 8-bit integers that are summed up with 32 bits. Without them x86 sums with 16 bits,
# which overflow: vectors would be wrong.
_INT8: Final = frozenset({"avx512_vnni", "avx_vnni", "asimddp"})

_BACKGROUND: Final = 5  # of 19; a third of a thread's usual weight


def has_int8_dot_product() -> bool:
    """Whether 8-bit integers are multiplied exactly and fast; False where that is not known."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    try:
        return not _INT8.isdisjoint(_CPUINFO.read_text(encoding="ascii", errors="ignore").split())
    except OSError:
        return False


def yield_to_others() -> None:
    """Let this thread compute only where the process' other threads leave a core; elsewhere than on
    Linux, where threads have no priority of their own, nothing."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _BACKGROUND)


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
