"""Start, memory and disk of the server: `python -m benchmarks --only footprint`.

`python server.py` runs as a process of its own on a free port: once with an empty data folder, so
that it indexes the sample documents, then several times with what the first one left.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
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
    "torch", "transformers", "sentence_transformers", "faiss", "sklearn", "scipy",
    "openai", "google.genai",
)  # fmt: skip

_MIB: Final = 1024 * 1024
_START_LIMIT: Final = 900
_IMPORT_LINE: Final = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)")


@dataclass(frozen=True, slots=True)
class Start:
    """One start: seconds until /healthz and /readyz answer 200, the processor's seconds until then
    (hardly changed by other work on the machine), bytes of the idle server (`pss` counts pages that
    other processes share in part). None where the system does not tell."""

    healthy: float
    ready: float
    healthy_cpu: float | None
    ready_cpu: float | None
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
            "later_starts": _later_json(self.later) if self.later else None,
            "healthy_goal_seconds": HEALTHY_GOAL,
            "index_bytes": self.index_bytes,
            "database_bytes": self.database_bytes,
            "import_ms": {name: round(took, 1) for name, took in self.imports},
            "heavy_imports_before_port": self.heavy_imports,
            "load": self.load,
        }

    def report(self) -> str:
        kinds = (
            ("until /healthz answers, s", "healthy", 1, 2),
            ("  of it the processor's time, s", "healthy_cpu", 1, 2),
            ("until /readyz says ready, s", "ready", 1, 2),
            ("  of it the processor's time, s", "ready_cpu", 1, 2),
            ("memory when idle (RSS), MiB", "rss", _MIB, 0),
            ("memory when idle (PSS), MiB", "pss", _MIB, 0),
        )
        all_starts = (self.first, *self.later)
        starts = table(
            ("", "first start", f"later ({len(self.later)})", "quartiles"),
            [
                _row(
                    name,
                    [getattr(start, kind) for start in all_starts],
                    unit,
                    digits,
                )
                for name, kind, unit, digits in kinds
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
    first = _start(data_dir, kb_dir, settle=settle, indexing=True)
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


def _start(data_dir: Path, kb_dir: Path, *, settle: float, indexing: bool = False) -> Start:
    port = _free_port()
    with _server_process(data_dir, kb_dir, port) as (process, begun):
        healthy = _wait_for(process, port, "/healthz", since=begun)
        healthy_cpu = _processor_seconds(process.pid)
        with progress() as bar:
            task = bar.add_task("Indexing the documents", total=None, visible=indexing)

            def show(state: dict[str, Any]) -> None:
                done = state.get("ready", 0) + state.get("failed", 0)
                bar.update(task, completed=done, total=state.get("documents") or None)

            ready = _wait_for(process, port, "/readyz", since=begun, show=show)
        ready_cpu = _processor_seconds(process.pid)
        time.sleep(settle)
        rss, pss = _memory(process.pid)
    return Start(healthy, ready, healthy_cpu, ready_cpu, rss, pss)


@contextmanager
def _server_process(
    data_dir: Path, kb_dir: Path, port: int
) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """The server with its defaults, and when it was started; stopped cleanly at the end."""
    own = {name.upper() for name in Settings.model_fields}
    environment = {name: value for name, value in os.environ.items() if name.upper() not in own}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # compiled modules are kept, as for anyone
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
    process: subprocess.Popen[bytes],
    port: int,
    path: str,
    *,
    since: float,
    show: Callable[[dict[str, Any]], None] = lambda state: None,
) -> float:
    """Seconds from `since` until the address answers 200; `show` is given its answers before."""
    while (now := time.perf_counter() - since) < _START_LIMIT:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}; see server.log")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            if response.status == 200:
                return time.perf_counter() - since
            show(json.loads(response.read()))
        except OSError:
            pass
        finally:
            connection.close()
        # Asking takes the server's time too: seldom, once it takes long.
        time.sleep(min(0.5, max(0.01, now / 100)))
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


def _processor_seconds(pid: int) -> float | None:
    """What the process has used of the processors so far, from Linux' own account of it."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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


def _start_json(start: Start) -> dict[str, float | None]:
    return {
        "healthy_seconds": round(start.healthy, 3),
        "ready_seconds": round(start.ready, 3),
        "healthy_cpu_seconds": start.healthy_cpu,
        "ready_cpu_seconds": start.ready_cpu,
        "rss_bytes": start.rss,
        "pss_bytes": start.pss,
    }


def _later_json(starts: Sequence[Start]) -> dict[str, Any]:
    return {
        "healthy_seconds": Spread.of([start.healthy for start in starts]).to_json(),
        "ready_seconds": Spread.of([start.ready for start in starts]).to_json(),
        "healthy_cpu_seconds": _middle([start.healthy_cpu for start in starts]),
        "ready_cpu_seconds": _middle([start.ready_cpu for start in starts]),
        "rss_bytes": _middle([start.rss for start in starts]),
        "pss_bytes": _middle([start.pss for start in starts]),
    }


def _middle(values: Sequence[float | None]) -> float | None:
    known = sorted(value for value in values if value is not None)
    return known[len(known) // 2] if known else None


def _row(name: str, values: Sequence[float | None], unit: int, digits: int) -> list[str]:
    """The first start's value, then median and quartiles of the others."""
    known = [value / unit for value in values if value is not None]
    if len(known) < len(values):
        return [name, "?", "?", "?"]
    if len(known) == 1:
        return [name, f"{known[0]:.{digits}f}", "-", "-"]
    spread = Spread.of(known[1:])
    quartiles = f"{spread.quartile_1:.{digits}f} to {spread.quartile_3:.{digits}f}"
    return [name, f"{known[0]:.{digits}f}", f"{spread.median:.{digits}f}", quartiles]
