"""What the processor can do."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Final

_CPUINFO: Final = Path("/proc/cpuinfo")
# Products of 8-bit integers that are summed up with 32 bits. Without them x86 sums with 16 bits,
# which overflow: vectors would be wrong.
_INT8: Final = frozenset({"avx512_vnni", "avx_vnni", "asimddp"})


def has_int8_dot_product() -> bool:
    """Whether 8-bit integers are multiplied exactly and fast; False where that is not known."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    try:
        return not _INT8.isdisjoint(_CPUINFO.read_text(encoding="ascii", errors="ignore").split())
    except OSError:
        return False


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
