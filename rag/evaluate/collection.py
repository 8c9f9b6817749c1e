"""Reads a test collection in BEIR form: documents, questions and judgments of relevance.

The form is that of Thakur et al., "BEIR: A Heterogeneous Benchmark for Zero-shot Evaluation of
Information Retrieval Models" (2021): corpus.jsonl, queries.jsonl (each plain or .gz) and
qrels/SPLIT.tsv. Two fields of a question are ours: `history`, the turns before it, and
`answerability`.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

from rag.errors import RagError
from rag.types import SourceDocument, Turn

ANSWERABLE: Final = "ANSWERABLE"
UNANSWERABLE: Final = "UNANSWERABLE"
# Which judgments are taken where there are several and none is asked for.
PREFERRED_SPLITS: Final = ("test", "dev", "train")

_ROLES: Final[Mapping[str, str]] = {
    "user": "user",
    "human": "user",
    "agent": "assistant",
    "assistant": "assistant",
    "bot": "assistant",
    "system": "assistant",
}
_SPEAKER = re.compile(r"\s*([A-Za-z]+)\s*:\s?")


class CollectionError(RagError):
    """A collection cannot be read; the message names the file, and the line where there is one."""


@dataclass(frozen=True, slots=True)
class Query:
    """A question. `answerability` is as the collection has it, in capitals; None if it has none."""

    id: str
    text: str
    history: tuple[Turn, ...] = ()
    answerability: str | None = None


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection in memory. `judgments` are grades by question and document, also zeros.

    `notes` are sentences about what was chosen or left out; `empty` is how many questions were,
    because they have no text.
    """

    name: str
    split: str
    documents: Mapping[str, SourceDocument] = field(repr=False)
    queries: tuple[Query, ...] = field(repr=False)
    judgments: Mapping[str, Mapping[str, int]] = field(repr=False)
    notes: tuple[str, ...] = ()
    empty: int = 0

    def relevant(self, query_id: str) -> frozenset[str]:
        """The documents that were judged relevant for a question."""
        grades = self.judgments.get(query_id, {})
        return frozenset(document for document, grade in grades.items() if grade > 0)


def load_collection(folder: Path, *, split: str | None = None) -> Collection:
    """Read a folder. Without `split` it is that of the only file of judgments, or else the first
    that there is of test, dev and train.

    Raises:
        CollectionError: something is missing, or is not what it must be.
    """
    if not folder.is_dir():
        raise CollectionError(f"{folder} is not a folder.")
    notes: list[str] = []
    path = _find_judgments(folder, split, notes)
    documents = _read_documents(_find(folder, "corpus.jsonl"))
    queries, empty = _read_queries(_find(folder, "queries.jsonl"))
    judgments = _read_judgments(path)
    if empty:
        notes.append(f"{len(empty)} questions have no text ({empty[0]}); left out.")
        judgments = {key: value for key, value in judgments.items() if key not in empty}
    known = {query.id for query in queries}
    strange = [query_id for query_id in judgments if query_id not in known]
    if strange:
        notes.append(
            f"{len(strange)} judged questions are not in the queries ({strange[0]}); left out."
        )
        judgments = {key: value for key, value in judgments.items() if key in known}
    lost = {document for grades in judgments.values() for document in grades} - documents.keys()
    if lost:
        notes.append(
            f"{len(lost)} judged documents are not in the corpus ({min(lost)}); they count as not "
            "found."
        )
    wanted = tuple(
        query
        for query in queries
        if any(grade > 0 for grade in judgments.get(query.id, {}).values())
        or query.answerability is not None
    )
    if not any(max(grades.values(), default=0) > 0 for grades in judgments.values()):
        raise CollectionError(f"{path} judges no document relevant for a question of the queries.")
    return Collection(
        name=folder.resolve().name,
        split=_split_name(path),
        documents=documents,
        queries=wanted,
        judgments=judgments,
        notes=tuple(notes),
        empty=len(empty),
    )


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise CollectionError(f"{folder} has neither {name} nor {name}.gz.")


def _find_judgments(folder: Path, split: str | None, notes: list[str]) -> Path:
    found = {
        _split_name(path): path
        for pattern in ("*.tsv.gz", "*.tsv")
        for path in sorted((folder / "qrels").glob(pattern))
    }
    if not found:
        raise CollectionError(f"{folder} has no judgments: no file in {folder / 'qrels'}/*.tsv.")
    if split is not None:
        if split not in found:
            names = ", ".join(sorted(found))
            raise CollectionError(f"{folder} has no judgments named {split}; it has {names}.")
        return found[split]
    chosen = min(
        found,
        key=lambda name: (
            PREFERRED_SPLITS.index(name) if name in PREFERRED_SPLITS else len(PREFERRED_SPLITS),
            name,
        ),
    )
    if len(found) > 1:
        others = ", ".join(sorted(name for name in found if name != chosen))
        notes.append(f"Judgments: {chosen} (there are also {others}; choose with --split).")
    return found[chosen]


def _split_name(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".tsv")


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig")
    return path.open(encoding="utf-8-sig")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with _open(path) as file:
            # Not splitlines(): JSON may hold U+2028 unescaped.
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise CollectionError(f"{path} cannot be read: {error}.") from error


def _records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each line stands, for messages, and its object."""
    seen: set[str] = set()
    for number, line in _lines(path):
        place = f"{path}, line {number}"
        try:
            record = json.loads(line)
        except ValueError as error:
            raise CollectionError(f"{place}: this is not JSON ({error}).") from error
        if not isinstance(record, dict):
            raise CollectionError(f"{place}: this is not a JSON object.")
        key = _text(record, "_id", place)
        if not key:
            raise CollectionError(f"{place}: the field _id is missing.")
        if key in seen:
            raise CollectionError(f"{place}: the _id {key} occurs twice.")
        seen.add(key)
        yield place, record
    if not seen:
        raise CollectionError(f"{path} is empty.")


def _text(record: Mapping[str, Any], name: str, place: str) -> str:
    value = record.get(name)
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and name == "_id":
        return str(value)
    if not isinstance(value, str):
        raise CollectionError(f"{place}: the field {name} is not a text.")
    return _clean(value)


def _clean(text: str) -> str:
    """As a file would be read: one kind of line end, and nothing that UTF-8 cannot hold."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", " ")


def _read_documents(path: Path) -> dict[str, SourceDocument]:
    documents = {}
    for place, record in _records(path):
        title, text = _text(record, "title", place), _text(record, "text", place)
        content = text if text.strip() else title
        documents[_text(record, "_id", place)] = SourceDocument(
            title=title.strip(), content=content
        )
    return documents


def _read_queries(path: Path) -> tuple[list[Query], list[str]]:
    """The questions, and the ids of those without a text."""
    queries = []
    empty = []
    for place, record in _records(path):
        text = _text(record, "text", place)
        if not text.strip():  # nobody can ask it; the others are no worse for it
            empty.append(_text(record, "_id", place))
            continue
        answerability = record.get("answerability")
        if isinstance(answerability, list) and len(answerability) == 1:
            answerability = answerability[0]
        if answerability is not None and not isinstance(answerability, str):
            raise CollectionError(f"{place}: the field answerability is not a text.")
        queries.append(
            Query(
                id=_text(record, "_id", place),
                text=text,
                history=_history(record.get("history"), place),
                answerability=answerability.strip().upper() if answerability else None,
            )
        )
    return queries, empty


def _history(value: object, place: str) -> tuple[Turn, ...]:
    """Turns as "user: …" and "agent: …", or as objects with `role` and `content`."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise CollectionError(f"{place}: the field history is not a list.")
    turns = []
    for item in value:
        role, text = "user", item
        if isinstance(item, dict):
            role = str(item.get("role", item.get("speaker", "user"))).lower()
            text = item.get("content", item.get("text"))
        elif isinstance(item, str):
            speaker = _SPEAKER.match(item)
            if speaker and speaker[1].lower() in _ROLES:
                role, text = speaker[1].lower(), item[speaker.end() :]
        if not isinstance(text, str) or role not in _ROLES:
            raise CollectionError(
                f'{place}: a turn of history is neither a text such as "user: …" nor an object '
                "with role and content."
            )
        turns.append(Turn("user" if _ROLES[role] == "user" else "assistant", _clean(text)))
    return tuple(turns)


def _read_judgments(path: Path) -> dict[str, dict[str, int]]:
    judgments: dict[str, dict[str, int]] = {}
    for number, line in _lines(path):
        cells = [cell.strip() for cell in line.split("\t")]
        if number == 1 and cells[-1].lower() in ("score", "relevance", "rel"):
            continue
        try:
            query_id, document_id, score = cells
            grade = int(score)
        except ValueError:
            raise CollectionError(
                f"{path}, line {number}: a judgment is a question's id, a document's id and a "
                "grade (a whole number), with tabs between."
            ) from None
        judgments.setdefault(query_id, {})[document_id] = grade
    if not judgments:
        raise CollectionError(f"{path} is empty.")
    return judgments
