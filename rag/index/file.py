"""The file of a dense index: written at once or not at all, and read only if it is whole."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Final

from rag.embedding.base import ModelIdentity
from rag.errors import IndexFileError

# The file: magic, length of the header (uint32, little-endian), SHA-256 of that length and of all
# that follows, header (JSON), payload (FAISS' own serialisation).
_MAGIC: Final = b"GQLINDX1"
_PREFIX: Final = struct.Struct("<8sI32s")
_BLOCK: Final = 1 << 20

FLAT: Final = "flat"
IVF: Final = "ivf"

Write = Callable[[bytes], object]


def write_file(path: Path, header: dict[str, Any], payload: Callable[[Write], None]) -> None:
    """Write atomically; `payload` is given the function that takes its bytes piece by piece."""
    head = json.dumps(header).encode()
    digest = hashlib.sha256(struct.pack("<I", len(head)))
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:

            def write(data: bytes) -> None:
                digest.update(data)
                file.write(data)

            file.write(_PREFIX.pack(_MAGIC, len(head), bytes(32)))
            write(head)
            payload(write)
            file.seek(0)
            file.write(_PREFIX.pack(_MAGIC, len(head), digest.digest()))
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def header_of(identity: ModelIdentity, *, count: int, revision: int) -> dict[str, Any]:
    return {
        "identity": identity.key,
        "dimension": identity.dimension,
        "count": count,
        "revision": revision,
    }


def open_file(
    path: Path, *, identity: ModelIdentity, revision: int
) -> tuple[dict[str, Any], BinaryIO]:
    """The header of a file that `identity` made from this `revision`, and the open file at its
    payload. It has been read to its end once: the checksum is right.

    Raises:
        IndexFileError: it is missing, damaged, stale or made by another model.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise IndexFileError("there is no index file") from error
    except OSError as error:
        raise IndexFileError(f"the index file cannot be read: {error.strerror}") from error
    try:
        header = _checked_header(file)
        if header.get("identity") != identity.key:
            raise IndexFileError(f"the index was made by {header.get('identity')}")
        if header.get("dimension") != identity.dimension:
            raise IndexFileError(f"the index has dimension {header.get('dimension')}")
        if header.get("revision") != revision:
            raise IndexFileError(
                f"the index is of revision {header.get('revision')}, the store of {revision}"
            )
    except BaseException:
        file.close()
        raise
    return header, file


def _checked_header(file: BinaryIO) -> dict[str, Any]:
    try:
        prefix = file.read(_PREFIX.size)
        if len(prefix) < _PREFIX.size or not prefix.startswith(_MAGIC):
            raise IndexFileError("the file is not an index of this program")
        _, length, expected = _PREFIX.unpack(prefix)
        digest = hashlib.sha256(struct.pack("<I", length))
        while block := file.read(_BLOCK):
            digest.update(block)
        if digest.digest() != expected:
            raise IndexFileError("the index file is damaged: its checksum is wrong")
        file.seek(_PREFIX.size)
        header: dict[str, Any] = json.loads(file.read(length))
    except OSError as error:
        raise IndexFileError(f"the index file cannot be read: {error.strerror}") from error
    return header
