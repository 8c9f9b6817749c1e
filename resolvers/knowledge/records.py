"""JSON Lines files of a folder: one document per record.

The document of a record has the path `file.jsonl#key`, or `file.jsonl#3` if the third record has no
key. A file `file.jsonl.fields.json` beside it may say which fields are what, as
`{"title": "question", "content": ["question", "answer"]}`.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

from rag.errors import LoadingError
from rag.loading import RECORD_SUFFIXES, FieldMapping
from rag.types import SourceDocument
from resolvers.knowledge.base import sha256

MAPPING_SUFFIX = ".fields.json"
_MAX_MAPPING = 65_536
_RECORD = re.compile(r"(.*?\.(?:jsonl|ndjson))#", re.IGNORECASE | re.DOTALL)


def is_record_file(path: str) -> bool:
    return Path(path).suffix.lower() in RECORD_SUFFIXES


def file_of(folder_path: str) -> str:
    """The path of the file that a document came from."""
    match = _RECORD.match(folder_path)
    return match.group(1) if match else folder_path


def record_path(path: str, document: SourceDocument, number: int) -> str:
    """The path of a record's document; `number` counts from 1."""
    return f"{path}#{document.key or number}"


def record_hash(document: SourceDocument) -> str:
    """Changes if anything of the record's document does."""
    return sha256(json.dumps(asdict(document), sort_keys=True).encode())


def open_itself(file: Path) -> BinaryIO:
    """A file of the folder, opened for reading, and never what a link of its name leads to.

    Raises:
        OSError: it cannot be read, or is a link.
    """

    def without_links(path: str, flags: int) -> int:
        return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0))

    return open(file, "rb", opener=without_links)


def read_mapping(file: Path) -> bytes | None:
    """The bytes of the mapping beside a file; None if there is none, or only a link."""
    try:
        with open_itself(file.with_name(file.name + MAPPING_SUFFIX)) as mapping:
            return mapping.read(_MAX_MAPPING)
    except OSError:
        return None


def parse_mapping(path: str, data: bytes | None) -> FieldMapping | None:
    """The mapping in these bytes.

    Raises:
        LoadingError: it is none; the sentence names the file.
    """
    if data is None:
        return None
    name = path.rpartition("/")[2] + MAPPING_SUFFIX
    try:
        return FieldMapping.from_json(json.loads(data.decode("utf-8-sig")))
    except (ValueError, RecursionError) as error:
        raise LoadingError(f"{name}: this is not JSON.") from error
    except LoadingError as error:
        raise LoadingError(f"{name}: {error}") from error
