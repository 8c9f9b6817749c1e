"""The process that reads files: `python -m rag.loading.worker MEMORY_MB`, spoken to by parser.py.

It sets its own limits, which cannot be lifted again, before it sees the first file. What a system
has no means for is left out: then the server still kills it when its time is over.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from contextlib import suppress
from typing import Any, BinaryIO, Final

from rag.errors import LoadingError
from rag.loading.files import load_documents
from rag.loading.limits import MEGABYTE, ParseLimits
from rag.loading.mapping import FieldMapping
from rag.loading.protocol import (
    HEADER_BYTES,
    MAX_FRAME,
    MAX_TEXT,
    document_to_json,
    frame,
    frame_length,
)
from rag.types import SourceDocument

_PR_SET_PDEATHSIG: Final = 1
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
# Records travel in batches of about so many characters.
_BATCH: Final = 1_000_000


def main() -> None:
    """Answer requests until the other side closes the pipe."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    # What a library prints must not come between the frames.
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    sys.stdout = sys.stderr
    _send(answers, _restrict(int(sys.argv[1])))
    while (request := _receive(requests)) is not None:
        data = _receive(requests)
        if data is None:
            return
        if not _answer(answers, json.loads(request), data):
            return


def _answer(answers: BinaryIO, request: dict[str, Any], data: bytes) -> bool:
    """Read one file; False if this process had better end."""
    limits = ParseLimits(*request["limits"])
    _limit_processor_time(limits.seconds)
    mapping = request["mapping"]
    name = request["name"]
    try:
        documents = load_documents(
            name, data, mapping=mapping and FieldMapping.restored(mapping), limits=limits
        )
        if sum(len(document.content) for document in documents) > MAX_TEXT:
            raise LoadingError(
                f"{name}: the text is longer than {MAX_TEXT // 1_000_000} million characters; "
                "split it into smaller files."
            )
        for batch in _batches(documents):
            _send(answers, [document_to_json(document) for document in batch])
    except LoadingError as error:
        _send(answers, {"error": str(error)})
        return True
    except MemoryError:
        data = b""
        _send(
            answers,
            {
                "error": f"{name}: needs more than {limits.memory_mb} MB of memory to be read; "
                "split it into smaller files.",
                "exit": True,
            },
        )
        return False
    except Exception:
        # Damaged files make libraries raise anything. What they leave behind is not to be relied
        # on, and nobody reads a traceback here.
        _send(
            answers,
            {
                "error": f"{name}: the file is damaged, or not what its name says. Save it anew.",
                "exit": True,
            },
        )
        return False
    _send(answers, {"done": True})
    return True


def _batches(documents: list[SourceDocument]) -> list[list[SourceDocument]]:
    batches: list[list[SourceDocument]] = [[]]
    size = 0
    for document in documents:
        if size > _BATCH:
            batches.append([])
            size = 0
        batches[-1].append(document)
        size += len(document.content) + 500
    return batches


def _send(answers: BinaryIO, value: Any) -> None:
    data = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    if len(data) > MAX_FRAME:
        data = b'{"error": "the text of the file is too long; split it into smaller files."}'
    answers.write(frame(data))
    answers.flush()


def _receive(requests: BinaryIO) -> bytes | None:
    header = requests.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES:
        return None
    length = frame_length(header)
    data = requests.read(length)
    return data if len(data) == length else None


def _restrict(memory_mb: int) -> dict[str, bool]:
    """Give up what reading a file does not need; says what could be given up."""
    done = {"memory": False, "network": False, "parent": False}
    with suppress(OSError, AttributeError):
        os.nice(10)  # questions come first
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        # Ends with the server, also when that is killed in the middle of a file.
        done["parent"] = libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0
        # A network of its own, without any interface. Not every system lets one have it.
        done["network"] = libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0
    with suppress(ImportError):
        import resource

        for limit, value in (
            ("RLIMIT_CORE", 0),
            ("RLIMIT_FSIZE", 0),
            ("RLIMIT_NOFILE", 64),
        ):
            _set(resource, limit, value)
        done["memory"] = sys.platform != "darwin" and _set(
            resource, "RLIMIT_AS", memory_mb * MEGABYTE
        )
    return done


def _set(resource: Any, limit: str, value: int) -> bool:
    try:
        resource.setrlimit(getattr(resource, limit), (value, value))
    except (AttributeError, OSError, ValueError):
        return False
    return True


def _limit_processor_time(seconds: float) -> None:
    """For this file; a second net below the server's clock."""
    with suppress(ImportError, AttributeError, OSError, ValueError):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        soft = int(used.ru_utime + used.ru_stime + seconds) + 2
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


if __name__ == "__main__":
    main()
