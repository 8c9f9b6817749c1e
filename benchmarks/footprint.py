"""Start, memory and disk of the server: `python -m benchmarks --only footprint`.

`python server.py` runs as a process of its own on a free port: once with an empty data folder, which
indexes the sample documents, then several times with what the first one left.
"""

from __future__ import annotations

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Spread, console, load, progress, table
from settings import Settings

ROOT: Final = Path(__file__).parent.parent
HEALTHY_GOAL: Final = 2.0
# None of these may be imported before the port is open.
HEAVY: Final = (
    "torch", "transformers", "sentence_transformers", "faiss", "bm25s", "sklearn", "scipy",
    "openai", "google.genai",
)  # fmt: skip

_MIB: Final = 1024 * 1024
_START_LIMIT: Final = 900
_IMPORT_LINE: Final = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)")


@dataclass(frozen=True, slots=True)
class Start:
    """One start: seconds until /healthz and /readyz answer 200, bytes of the idle server (`pss`
    counts pages that other processes share in part; None where the system does not tell)."""

    healthy: float
    ready: float
    rss: int | None
    pss: int | None


@dataclass(frozen=True, slots=True)
class Footprint:
    """The result; `first` is the start that indexed everything."""

    first: Start
    later: list[Start]
    documents: int
    index_bytes: int
    database_bytes: int
    imports: list[tuple[str, float]]
    heavy_imports: list[str]
    load: list[float]

    def to_json(self) -> dict[str, Any]:
        return {
            "documents": self.documents,
            "first_start": _start_json(self.first),
            "later_starts": {
                "healthy_seconds": Spread.of([start.healthy for start in self.later]).to_json(),
                "ready_seconds": Spread.of([start.ready for start in self.later]).to_json(),
                "rss_bytes": _middle([start.rss for start in self.later]),
                "pss_bytes": _middle([start.pss for start in self.later]),
            },
            "healthy_goal_seconds": HEALTHY_GOAL,
            "index_bytes": self.index_bytes,
            "database_bytes": self.database_bytes,
            "import_ms": {name: round(took, 1) for name, took in self.imports},
            "heavy_imports_before_port": self.heavy_imports,
            "load": self.load,
        }

    def report(self) -> str:
        healthy = Spread.of([start.healthy for start in self.later])
        ready = Spread.of([start.ready for start in self.later])
        starts = table(
            ("", "first start", f"later ({len(self.later)})", "quartiles"),
            [
                _seconds_row("until /healthz answers, s", self.first.healthy, healthy),
                _seconds_row("until /readyz says ready, s", self.first.ready, ready),
                _bytes_row("memory when idle (RSS), MiB", self.first, self.later, "rss"),
                _bytes_row("memory when idle (PSS), MiB", self.first, self.later, "pss"),
            ],
        )
        imports = table(
            ("imported before the port opens", "ms"),
            [(name, f"{took:.0f}") for name, took in self.imports],
        )
        heavy = ", ".join(self.heavy_imports) or "none"
        return (
            f"{starts}\n\n"
            f"{self.documents} documents: database {self.database_bytes / _MIB:.1f} MiB, "
            f"index file {self.index_bytes / _MIB:.2f} MiB; /healthz within {HEALTHY_GOAL:.0f} s "
            f"is the goal; load {self.load}\n\n{imports}\nheavy libraries among them: {heavy}"
        )


def run(data_dir: Path, kb_dir: Path, *, starts: int = 5, settle: float = 5.0) -> Footprint:
    """Measure the first start in `data_dir` (its database and index are deleted before) and
    `starts` later ones; memory is read `settle` seconds after ready."""
    for path in [*data_dir.glob("groundql.db*"), data_dir / "index"]:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    data_dir.mkdir(parents=True, exist_ok=True)
    console.print("The first start indexes the sample documents; this takes a few minutes.")
    first = _start(data_dir, kb_dir, settle=settle)
    later = []
    with progress() as bar:
        for _ in bar.track(range(starts), description="Starting the server again"):
            later.append(_start(data_dir, kb_dir, settle=settle))
    imports, heavy = _imports()
    return Footprint(
        first=first,
        later=later,
        documents=sum(path.is_file() for path in kb_dir.rglob("*")),
        index_bytes=sum(path.stat().st_size for path in (data_dir / "index").iterdir()),
        database_bytes=(data_dir / "groundql.db").stat().st_size,
        imports=imports,
        heavy_imports=heavy,
        load=load(),
    )


def _start(data_dir: Path, kb_dir: Path, *, settle: float) -> Start:
    port = _free_port()
    with _server_process(data_dir, kb_dir, port) as (process, begun):
        healthy = _wait_for(process, port, "/healthz", since=begun)
        ready = _wait_for(process, port, "/readyz", since=begun)
        time.sleep(settle)
        rss, pss = _memory(process.pid)
    return Start(healthy, ready, rss, pss)


@contextmanager
def _server_process(
    data_dir: Path, kb_dir: Path, port: int
) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """The server with its defaults, and when it was started; stopped cleanly at the end."""
    own = {name.upper() for name in Settings.model_fields}
    environment = {name: value for name, value in os.environ.items() if name.upper() not in own}
    environment |= {
        "PORT": str(port),
        "DATA_DIR": str(data_dir.absolute()),
        "KB_DIR": str(kb_dir.absolute()),
        "GENERATOR": "offline",
        "SHUTDOWN_GRACE": "1",
    }
    log = data_dir / "server.log"
    with log.open("wb") as output:
        begun = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "server.py")],
            cwd=data_dir,  # where no .env lies
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process, begun
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(
    process: subprocess.Popen[bytes], port: int, path: str, *, since: float
) -> float:
    """Seconds from `since` until the address answers 200."""
    while time.perf_counter() - since < _START_LIMIT:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}; see server.log")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return time.perf_counter() - since
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.01)
    raise RuntimeError(f"{path} did not answer 200 within {_START_LIMIT} s; see server.log")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _memory(pid: int) -> tuple[int | None, int | None]:
    """RSS and PSS of a process, from Linux' own account of it."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return None, None
    sizes = {
        name: int(size) * 1024 for name, size in re.findall(r"^(Rss|Pss):\s+(\d+) kB", rollup, re.M)
    }
    return sizes.get("Rss"), sizes.get("Pss")


def _imports() -> tuple[list[tuple[str, float]], list[str]]:
    """The ten packages whose modules take longest to import with server.py, in milliseconds (a
    package's own modules only), and which heavy libraries are among all."""
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import server"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    took: dict[str, float] = defaultdict(float)
    modules: set[str] = set()
    for line in result.stderr.splitlines():
        if match := _IMPORT_LINE.match(line):
            modules.add(match[2])
            package = match[2].partition(".")[0]
            took["standard library" if package in sys.stdlib_module_names else package] += (
                int(match[1]) / 1000
            )
    top = sorted(took.items(), key=lambda item: -item[1])[:10]
    return top, [name for name in HEAVY if name in modules]


def _start_json(start: Start) -> dict[str, float | int | None]:
    return {
        "healthy_seconds": round(start.healthy, 3),
        "ready_seconds": round(start.ready, 3),
        "rss_bytes": start.rss,
        "pss_bytes": start.pss,
    }


def _middle(values: list[int | None]) -> int | None:
    known = sorted(value for value in values if value is not None)
    return known[len(known) // 2] if known else None


def _seconds_row(name: str, first: float, later: Spread) -> list[str]:
    quartiles = f"{later.quartile_1:.2f} to {later.quartile_3:.2f}"
    return [name, f"{first:.2f}", f"{later.median:.2f}", quartiles]


def _bytes_row(name: str, first: Start, later: list[Start], kind: str) -> list[str]:
    values = [getattr(start, kind) for start in later]
    once: int | None = getattr(first, kind)
    if once is None or None in values:
        return [name, "?", "?", "?"]
    spread = Spread.of([value / _MIB for value in values])
    quartiles = f"{spread.quartile_1:.0f} to {spread.quartile_3:.0f}"
    return [name, f"{once / _MIB:.0f}", f"{spread.median:.0f}", quartiles]
