from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag.evaluate.collection import CollectionError
from rag.evaluate.golden import load_documents
from rag.evaluate.questions import Question, answers, load_questions, quotes_answer
from rag.types import CitedPassage
from tests.rag.evaluate.samples import run
from tests.rag.samples import DOCUMENTS, passage

QUESTIONS = (
    {
        "split": "dev",
        "language": "en",
        "question": "Within how many days may goods be sent back after delivery?",
        "answerable": True,
        "document": "returns.md",
        "passage": "You may send goods back within 30 days of delivery.",
    },
    {
        "split": "dev",
        "language": "en",
        "question": "Zebra xylophone quartz?",
        "answerable": False,
        "document": None,
        "passage": None,
    },
    {
        "split": "test",
        "language": "en",
        "question": "And what do they cost?",
        "history": [{"role": "user", "content": "Do you send express parcels to Austria?"}],
        "answerable": True,
        "document": "kb_docs/shipping.md",
        "passage": "Express parcels to Austria take two days and cost nine euros.",
    },
)


def write_files(folder: Path) -> tuple[Path, Path]:
    """The questions' file and the documents' folder."""
    documents = folder / "docs"
    documents.mkdir()
    for name, text in DOCUMENTS.items():
        (documents / name).write_text(text, encoding="utf-8")
    (documents / "odd.bin").write_bytes(b"\0")
    questions = folder / "mine" / "questions.jsonl"
    questions.parent.mkdir()
    questions.write_text("\n".join(json.dumps(row) for row in QUESTIONS) + "\n", encoding="utf-8")
    return questions, documents


def question(text: str, *, document: str = "a.md") -> Question:
    return Question("q", "dev", "en", "?", (), True, document, text)


def test_each_split_gets_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The answering passages are found and cited; a file that cannot be read is named."""
    questions, documents = write_files(tmp_path)
    figures = tmp_path / "figures.json"
    page = tmp_path / "page.html"
    assert (
        run(
            *("--golden", questions, "--documents", documents, "--no-cache"),
            *("--json", figures, "--report", page),
        )
        == 0
    )
    measured = json.loads(figures.read_text(encoding="utf-8"))
    assert list(measured) == ["mine/dev", "mine/test"]
    for name in measured:
        assert measured[name]["recall@1"] == 1.0
        assert measured[name]["mrr"] == 1.0
        assert measured[name]["supported_answers"] == 1.0
    assert measured["mine/dev"]["abstention_auroc"] == 1.0
    assert measured["mine/test"]["abstention_auroc"] is None
    captured = capsys.readouterr()
    assert "Left out: odd.bin" in captured.err
    assert "mine/dev" in captured.out
    assert page.read_text(encoding="utf-8").count("<svg") == 1


def test_a_split_can_be_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that no question has is refused."""
    questions, documents = write_files(tmp_path)
    golden = ("--golden", questions, "--documents", documents, "--no-cache")
    assert run(*golden, "--split", "test", "--json", tmp_path / "figures.json") == 0
    assert list(json.loads((tmp_path / "figures.json").read_text())) == ["mine/test"]
    capsys.readouterr()
    assert run(*golden, "--split", "train") == 2
    assert "has no question of the split train" in capsys.readouterr().err


def test_questions_need_their_fields(tmp_path: Path) -> None:
    """What is wrong is said with its line."""
    path = tmp_path / "questions.jsonl"
    path.write_text('\n{"question": "a"}\n', encoding="utf-8")
    with pytest.raises(CollectionError, match=r"line 2: this is not a question .*answerable"):
        load_questions(path)
    path.write_text("\n", encoding="utf-8")
    with pytest.raises(CollectionError, match="is empty"):
        load_questions(path)
    with pytest.raises(CollectionError, match="cannot be read"):
        load_questions(tmp_path / "none")
    with pytest.raises(CollectionError, match="holds no document that can be read"):
        load_documents(tmp_path)


def test_a_passage_answers_with_half_of_the_words_in_order() -> None:
    """And only in the document that was named."""
    found = passage("Before. You may send goods back. After.")
    asked = question("You may send goods back within 30 days")
    assert not answers(asked, found)
    in_place = question("You may send goods back within 30 days", document=found.document_id)
    assert answers(in_place, found)
    assert not answers(question("Something else", document=found.document_id), found)


@pytest.mark.parametrize(
    ("start", "end", "right"),
    [(0, 6, False), (7, 31, True), (0, 31, True), (7, 12, True), (25, 45, False), (20, 31, True)],
)
def test_a_quote_holds_the_answer_if_half_of_the_shorter_is_shared(
    start: int, end: int, right: bool
) -> None:
    """Offsets decide where the passage stands in the document."""
    content = "Before The express takes 2 days. After this more."
    cited = CitedPassage(1, "x/a.md", "T", content[start:end], start, end, 0.5)
    assert quotes_answer(question("The express takes 2 days"), cited, content) is right
    assert not quotes_answer(question("The express", document="b.md"), cited, content)


def test_a_quote_in_other_markup_is_compared_by_words() -> None:
    """The golden passage may have been copied from a page, not from the file."""
    cited = CitedPassage(1, "a.md", "T", "The **express** takes 2 days.", 0, 29, 0.5)
    assert quotes_answer(question("the express takes"), cited, "unlike")
    assert not quotes_answer(question("the mail takes"), cited, "unlike")
