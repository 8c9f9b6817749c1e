"""Reads files in a process of its own that is killed when it takes too much.

    parser = DocumentParser(ParseLimits())
    documents = await parser.parse("manual.pdf", data)        # LoadingError says what is wrong
    await parser.close()

`parse(name, data, *, mapping=None)` gives one document for every format but JSON Lines, which gives
one per record. The suffix of `name` decides the format; `name` is not opened.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any, Final

import orjson

import rag
from rag.errors import LoadingError
from rag.loading.files import check_size, load_documents
from rag.loading.limits import ParseLimits
from rag.loading.mapping import FieldMapping
from rag.loading.protocol import (
    HEADER_BYTES,
    MAX_TEXT,
    document_from_json,
    frame,
    frame_length,
)
from rag.types import SourceDocument

log = logging.getLogger("groundql.parsing")

# Read in this process, in a thread: their readers are ours, take linear time, and 10,000 small
# pages need no other process. Everything else is left to libraries, and so to the other process.
IN_PROCESS: Final = frozenset({".md", ".markdown", ".txt"})
# A process ends after so many files, so that what libraries leak does not add up.
_MAX_SERVED: Final = 500
_START_SECONDS: Final = 30.0
_WORKERS: Final = 2
_IDLE_SECONDS: Final = 120.0


class _Died(Exception):
    """The process ended before its answer did."""


class DocumentParser:
    """At most two processes that read files; they are started when needed, kept for the next file,
    and ended when nothing comes for two minutes."""

    def __init__(
        self, limits: ParseLimits | None = None, *, idle_seconds: float = _IDLE_SECONDS
    ) -> None:
        self.limits = limits or ParseLimits()
        self._idle_seconds = idle_seconds
        self._slots = asyncio.Semaphore(_WORKERS)
        self._idle: list[_Worker] = []
        self._retirement: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False
        self._told = False

    async def parse(
        self, name: str, data: bytes, *, mapping: FieldMapping | None = None
    ) -> list[SourceDocument]:
        """The documents in a file, at least one.

        Raises:
            LoadingError: one sentence that says why it cannot be read and what to do.
        """
        check_size(name, data, self.limits)
        if PurePath(name).suffix.lower() in IN_PROCESS:
            return await asyncio.to_thread(
                load_documents, name, data, mapping=mapping, limits=self.limits
            )
        async with self._slots:
            if self._closed:
                raise LoadingError(f"{_short(name)}: the server is stopping; try again.")
            return await self._parse_outside(name, data, mapping)

    async def close(self) -> None:
        """End the processes; a file that is being read still gets its answer or its limit."""
        self._closed = True
        if self._retirement is not None:
            self._retirement.cancel()
        idle, self._idle = self._idle, []
        for worker in idle:
            await worker.kill()
        if self._ending:
            await asyncio.gather(*self._ending)

    async def _parse_outside(
        self, name: str, data: bytes, mapping: FieldMapping | None
    ) -> list[SourceDocument]:
        loop = asyncio.get_running_loop()
        deadline: float | None = None
        while True:
            worker = self._idle.pop() if self._idle else await self._start()
            deadline = deadline or loop.time() + self.limits.seconds
            try:
                async with asyncio.timeout_at(deadline):
                    documents = await worker.read(name, data, mapping, self.limits)
            except LoadingError:
                await self._keep(worker)
                raise
            except TimeoutError:
                await worker.kill()
                raise LoadingError(
                    f"{_short(name)}: reading it took longer than {self.limits.seconds:g} seconds; "
                    "the file may be damaged. Save it anew or split it into smaller files."
                ) from None
            except _Died as error:
                await worker.kill()
                if worker.served > 1:  # perhaps an earlier file has left damage behind
                    continue
                log.info("The process that read %s ended: %s", ascii(_short(name)), worker.ending)
                raise LoadingError(f"{_short(name)}: {self._why(worker)}") from error
            except BaseException:
                await worker.kill()
                raise
            await self._keep(worker)
            return documents

    async def _start(self) -> _Worker:
        worker = await _Worker.start(self.limits)
        if not self._told:
            self._told = True
            log.debug("Files are read in a process with these limits: %s", worker.limits)
            if not worker.limits.get("memory"):
                log.warning(
                    "This system cannot limit the memory of the process that reads files: "
                    "PARSE_MEMORY_MB has no effect, PARSE_SECONDS has."
                )
        return worker

    def _why(self, worker: _Worker) -> str:
        if worker.ending == -getattr(signal, "SIGXCPU", 0):
            return (
                f"reading it took longer than {self.limits.seconds:g} seconds; the file may be "
                "damaged. Save it anew or split it into smaller files."
            )
        return (
            f"the file is damaged, or needs more than {self.limits.memory_mb} MB of memory to be "
            "read. Save it anew or split it into smaller files."
        )

    async def _keep(self, worker: _Worker) -> None:
        if self._closed or worker.is_over or worker.served >= _MAX_SERVED:
            await worker.kill()
            return
        self._idle.append(worker)
        if self._retirement is not None:
            self._retirement.cancel()
        loop = asyncio.get_running_loop()
        self._retirement = loop.call_later(self._idle_seconds, self._retire)

    def _retire(self) -> None:
        idle, self._idle = self._idle, []
        for worker in idle:
            task = asyncio.ensure_future(worker.kill())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)


class _Worker:
    """One process and its pipes; `served` counts the files that it was given, `limits` says which
    limits this system could set."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.served = 0
        self.is_over = False
        self.limits: dict[str, Any] = {}

    @classmethod
    async def start(cls, limits: ParseLimits) -> _Worker:
        """A process that waits for its first file.

        Raises:
            LoadingError: it cannot be started.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # the current folder is no place to import from
                "-m",
                "rag.loading.worker",
                str(limits.memory_mb),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=_environment(),
                cwd=os.sep,
            )
        except OSError as error:
            log.error("The process that reads files cannot be started: %s", error)
            raise LoadingError(
                "the process that reads files cannot be started; see the server's log."
            ) from error
        worker = cls(process)
        try:
            async with asyncio.timeout(_START_SECONDS):
                state = await worker._receive()
        except (_Died, TimeoutError) as error:
            await worker.kill()
            log.error("The process that reads files ended at its start: %s", worker.ending)
            raise LoadingError(
                "the process that reads files cannot be started; see the server's log."
            ) from error
        except BaseException:
            await worker.kill()
            raise
        worker.limits = state if isinstance(state, dict) else {}
        return worker

    @property
    def ending(self) -> int | None:
        """The exit code; negative for a signal."""
        return self._process.returncode

    async def read(
        self, name: str, data: bytes, mapping: FieldMapping | None, limits: ParseLimits
    ) -> list[SourceDocument]:
        """The documents in a file.

        Raises:
            LoadingError: the file cannot be read.
            _Died: the process ended.
        """
        self.served += 1
        request = {
            "name": name,
            "mapping": None if mapping is None else mapping.to_json(),
            "limits": [
                limits.seconds,
                limits.memory_mb,
                limits.file_mb,
                limits.unpacked_mb,
                limits.pages,
                limits.records,
            ],
        }
        writer = self._process.stdin
        assert writer is not None
        try:
            writer.write(frame(orjson.dumps(request)))
            writer.write(frame(data))
            await writer.drain()
        except (ConnectionError, RuntimeError) as error:
            raise _Died from error
        documents: list[SourceDocument] = []
        characters = 0
        while True:
            answer = await self._receive()
            if isinstance(answer, dict):
                self.is_over = answer.get("exit") is True
                if answer.get("done") is True and documents:
                    return documents
                raise LoadingError(str(answer.get("error"))[:500])
            try:
                documents += [document_from_json(one) for one in answer]
            except ValueError as error:
                raise _Died from error
            characters += sum(len(document.content) for document in documents[-len(answer) :])
            if characters > MAX_TEXT:
                raise _Died

    async def _receive(self) -> Any:
        reader = self._process.stdout
        assert reader is not None
        try:
            length = frame_length(await reader.readexactly(HEADER_BYTES))
            data = await reader.readexactly(length)
            return await asyncio.to_thread(orjson.loads, data)
        except (asyncio.IncompleteReadError, ConnectionError, ValueError) as error:
            raise _Died from error

    async def kill(self) -> None:
        """End it at once, whatever it does."""
        self.is_over = True
        with suppress(ProcessLookupError):
            self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        await asyncio.shield(self._process.wait())


def _environment() -> dict[str, str]:
    """What the process needs to start, and nothing of the server's settings and secrets."""
    kept = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "TZ")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    return environment | {
        "PYTHONPATH": str(Path(rag.__file__).parent.parent),
        "PYTHONUTF8": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        # numpy comes along; a pool of threads for each core would take the memory that is allowed.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


def _short(name: str) -> str:
    return PurePath(name).name[:200]
