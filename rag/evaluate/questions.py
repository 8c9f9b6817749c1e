"""Questions with the passage that answers each, and whether something found or cited holds it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rag.evaluate.collection import CollectionError
from rag.types import CitedPassage, Passage, Turn

ALL: Final = "all"

_NOT_A_WORD = re.compile(r"[\W_]+")
# What questions may write before the path of a document.
_FOLDER: Final = "kb_docs/"


@dataclass(frozen=True, slots=True)
class Question:
    """`document` (a path in the folder) and `passage` (a text in it) are None if it cannot be
    answered."""

    id: str
    split: str
    language: str
    question: str
    history: tuple[Turn, ...]
    answerable: bool
    document: str | None
    passage: str | None


def load_questions(path: Path) -> list[Question]:
    """
    Raises:
        CollectionError: the file cannot be read, or a line is not a question.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CollectionError(f"{path} cannot be read: {error}.") from error
    questions = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            questions.append(_question(json.loads(line), number))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CollectionError(
                f"{path}, line {number}: this is not a question with question, answerable, "
                f"document and passage ({type(error).__name__}: {error})."
            ) from error
    if not questions:
        raise CollectionError(f"{path} is empty.")
    return questions


def _question(row: Mapping[str, Any], number: int) -> Question:
    answerable = bool(row["answerable"])
    return Question(
        id=str(row.get("id", number)),
        split=str(row.get("split", ALL)),
        language=str(row.get("language", "")),
        question=str(row["question"]),
        history=tuple(Turn(turn["role"], turn["content"]) for turn in row.get("history", ())),
        answerable=answerable,
        document=str(row["document"]) if answerable else None,
        passage=str(row["passage"]) if answerable else None,
    )


def answers(question: Question, passage: Passage) -> bool:
    """Whether a passage holds at least half of the answering passage's words, in their order."""
    if question.passage is None or not _is_of(passage.document_id, question):
        return False
    wanted = _words(question.passage)
    text = " ".join(["", *_words(passage.text), ""])
    half = max(1, len(wanted) // 2)
    windows = (wanted[start : start + half] for start in range(len(wanted) - half + 1))
    return any(" ".join(["", *window, ""]) in text for window in windows)


def quotes_answer(question: Question, cited: CitedPassage, content: str) -> bool:
    """Whether a quote and the answering passage share at least half of the shorter one.

    `content` is the text of the cited document. A passage that does not stand in it letter by
    letter is looked for by its words.
    """
    if question.passage is None or not _is_of(cited.document_id, question):
        return False
    start = content.find(question.passage)
    if start < 0:
        quote, wanted = " ".join(_words(cited.quote)), " ".join(_words(question.passage))
        return wanted in quote or quote in wanted
    shared = min(cited.end, start + len(question.passage)) - max(cited.start, start)
    return 2 * shared >= min(len(question.passage), cited.end - cited.start)


def _is_of(document_id: str, question: Question) -> bool:
    return question.document is not None and document_id.endswith(
        question.document.removeprefix(_FOLDER)
    )


def _words(text: str) -> list[str]:
    return _NOT_A_WORD.sub(" ", text.lower()).split()
