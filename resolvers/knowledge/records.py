"""JSON Lines files of a folder: one document per record.

The document of a record has the path `file.jsonl#key`; that of a record without a key is named by
its content, `file.jsonl#5f0e…`, so that it stays the same document wherever it stands in the file.
A file `file.jsonl.fields.json` beside it may say which fields are what, as
`{"title": "question", "content": ["question", "answer"]}`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Final

from models.document import Document
from rag.errors import LoadingError
from rag.loading import RECORD_SUFFIXES, FieldMapping
from rag.types import SourceDocument

MAPPING_SUFFIX = ".fields.json"
_MAX_MAPPING = 65_536
_DIGEST: Final = 16  # hexadecimal digits of a content's hash in a record's name
_RECORD = re.compile(r"(.*?\.(?:jsonl|ndjson))#", re.IGNORECASE | re.DOTALL)


def is_record_file(path: str) -> bool:
    return Path(path).suffix.lower() in RECORD_SUFFIXES


def file_of(folder_path: str) -> str:
    """The path of the file that a document came from."""
    match = _RECORD.match(folder_path)
    return match.group(1) if match else folder_path


def record_names(records: Sequence[SourceDocument]) -> list[str]:
    """What the records of a file are known by: their keys, or else their content, with a number
    where several records have the same."""
    names = []
    seen: Counter[str] = Counter()
    for record in records:
        name = record.key or content_name(record.content)
        if not record.key:
            seen[name] += 1
            name = name if seen[name] == 1 else f"{name}-{seen[name]}"
        names.append(name)
    return names


def content_name(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()[:_DIGEST]


@dataclass(frozen=True, slots=True)
class MatchedRecord:
    """A record with its path and hash, and the document that it has already."""

    source: SourceDocument
    path: str
    digest: str
    document: Document | None


def match_records(
    path: str, found: Sequence[SourceDocument], known: dict[str, Document]
) -> tuple[list[MatchedRecord], list[Document]]:
    """The records of a file with their documents among `known`, by path, and the documents whose
    records are gone.

    A document that was named in another way, such as by its line, is known by its hash.
    """
    left = dict(known)
    records = [
        (source, f"{path}#{name}", record_hash(source))
        for source, name in zip(found, record_names(found), strict=True)
    ]
    by_path = {name: left.pop(name, None) for _, name, _ in records}
    by_hash = {
        document.folder_hash: document
        for document in left.values()
        if document.folder_hash and document.deleted_at is None
    }
    matched = []
    for source, name, digest in records:
        document = by_path[name]
        if document is None and (document := by_hash.pop(digest, None)) is not None:
            del left[document.folder_path or ""]
        matched.append(MatchedRecord(source, name, digest, document))
    return matched, list(left.values())


def record_hash(document: SourceDocument) -> str:
    """Changes if anything of the record's document does."""
    return hashlib.sha256(json.dumps(asdict(document), sort_keys=True).encode()).hexdigest()


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
