from __future__ import annotations

from pathlib import Path

import pytest

from rag.evaluate.collection import CollectionError, load_collection
from rag.types import SourceDocument, Turn
from tests.rag.evaluate.samples import JUDGMENTS, write_collection


@pytest.mark.parametrize("compressed", [False, True])
def test_a_collection_is_read(tmp_path: Path, compressed: bool) -> None:
    """A document without text is its title, and questions that are neither judged nor marked are
    left out."""
    collection = load_collection(write_collection(tmp_path / "shop", compressed=compressed))
    assert (collection.name, collection.split, collection.notes) == ("shop", "test", ())
    assert list(collection.documents) == ["d1", "d2", "d3", "d4"]
    assert collection.documents["d3"] == SourceDocument(
        title="", content="Der Garantieantrag wird schriftlich gestellt."
    )
    assert collection.documents["d4"].content == "Gift cards never expire"
    assert [query.id for query in collection.queries] == ["q1", "q2", "q3"]
    assert collection.queries[1].history == (
        Turn("user", "Do you send express parcels?"),
        Turn("assistant", "Yes."),
    )
    assert collection.queries[2].answerability == "UNANSWERABLE"
    assert collection.judgments == {"q1": {"d1": 2, "d2": 0}, "q2": {"d2": 1}}
    assert collection.relevant("q1") == {"d1"}
    assert collection.relevant("q3") == frozenset()


def test_turns_may_be_objects(tmp_path: Path) -> None:
    """A turn with role and content is the same as a text with the speaker's name."""
    turns = [{"role": "user", "content": "One"}, {"speaker": "agent", "text": "Two"}, "Three: 3"]
    queries = [{"_id": "q1", "text": "Four?", "history": turns}]
    collection = load_collection(
        write_collection(tmp_path / "c", queries=queries, judgments={"dev": "q1\td1\t1\n"})
    )
    assert collection.queries[0].history == (
        Turn("user", "One"),
        Turn("assistant", "Two"),
        Turn("user", "Three: 3"),
    )


def test_of_several_judgments_one_is_chosen_and_named(tmp_path: Path) -> None:
    """test goes before dev and train; --split takes another."""
    judged = {"train": "q1\td2\t1\n", "dev": "q1\td1\t1\n", "extra": "q2\td2\t1\n"}
    folder = write_collection(tmp_path / "c", judgments=judged)
    collection = load_collection(folder)
    assert collection.split == "dev"
    assert collection.notes == (
        "Judgments: dev (there are also extra, train; choose with --split).",
    )
    assert load_collection(folder, split="train").judgments == {"q1": {"d2": 1}}
    with pytest.raises(CollectionError, match=r"no judgments named test; it has dev, extra, train"):
        load_collection(folder, split="test")


def test_what_judgments_name_and_nobody_has_is_noted(tmp_path: Path) -> None:
    """An unknown question is left out, an unknown document counts as not found."""
    judgments = {"test": "q1\td1\t1\nq1\td9\t1\nq9\td1\t1\n"}
    collection = load_collection(write_collection(tmp_path / "c", judgments=judgments))
    assert collection.judgments == {"q1": {"d1": 1, "d9": 1}}
    assert collection.notes == (
        "1 judged questions are not in the queries (q9); left out.",
        "1 judged documents are not in the corpus (d9); they count as not found.",
    )


def test_questions_without_a_text_are_left_out_and_counted(tmp_path: Path) -> None:
    """One empty question does not keep the others from being asked; nor is its judgment strange."""
    folder = write_collection(
        tmp_path / "c", judgments={"test": "q1\td1\t1\nq7\td1\t1\nq8\td2\t1\n"}
    )
    with (folder / "queries.jsonl").open("a") as file:
        file.write('{"_id": "q7", "text": " "}\n{"_id": "q8"}\n')
    collection = load_collection(folder)
    assert collection.empty == 2
    assert collection.notes == ("2 questions have no text (q7); left out.",)
    assert collection.judgments == {"q1": {"d1": 1}}
    assert "q7" not in {query.id for query in collection.queries}


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("corpus.jsonl", None, "has neither corpus.jsonl nor corpus.jsonl.gz"),
        ("queries.jsonl", None, "has neither queries.jsonl nor queries.jsonl.gz"),
        ("qrels/test.tsv", None, "has no judgments: no file in"),
        ("corpus.jsonl", "", "corpus.jsonl is empty"),
        ("corpus.jsonl", "{", "corpus.jsonl, line 1: this is not JSON"),
        ("corpus.jsonl", "[]", "line 1: this is not a JSON object"),
        ("corpus.jsonl", '{"text": "a"}', "line 1: the field _id is missing"),
        ("corpus.jsonl", '{"_id": "a", "text": 3}', "line 1: the field text is not a text"),
        ("corpus.jsonl", '{"_id": 1}\n\n{"_id": "1"}', "line 3: the _id 1 occurs twice"),
        (
            "queries.jsonl",
            '{"_id": "q1", "text": "a", "history": "b"}',
            "line 1: the field history is not a list",
        ),
        (
            "queries.jsonl",
            '{"_id": "q1", "text": "a", "history": [1]}',
            "line 1: a turn of history is neither",
        ),
        (
            "queries.jsonl",
            '{"_id": "q1", "text": "a", "answerability": 1}',
            "line 1: the field answerability is not a text",
        ),
        ("qrels/test.tsv", "", "test.tsv is empty"),
        ("qrels/test.tsv", JUDGMENTS + "q1 d1 1\n", "line 5: a judgment is a question's id"),
        ("qrels/test.tsv", "q1\td1\t0.5\n", "line 1: a judgment is a question's id"),
        ("qrels/test.tsv", "q1\td1\t0\n", "judges no document relevant"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    tmp_path: Path, name: str, text: str | None, sentence: str
) -> None:
    """A missing or odd file gives one sentence with the file and the line."""
    folder = write_collection(tmp_path / "c")
    if text is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(text, encoding="utf-8")
    with pytest.raises(CollectionError, match=sentence.replace("(", r"\(")):
        load_collection(folder)


def test_damaged_files_are_said_to_be_unreadable(tmp_path: Path) -> None:
    """Neither a broken archive nor another encoding is a traceback."""
    folder = write_collection(tmp_path / "c", compressed=True)
    (folder / "corpus.jsonl.gz").write_bytes(b"no archive")
    with pytest.raises(CollectionError, match=r"corpus.jsonl.gz cannot be read"):
        load_collection(folder)
    (folder / "corpus.jsonl").write_bytes('{"_id": "ä"}'.encode("latin-1"))
    with pytest.raises(CollectionError, match=r"corpus.jsonl cannot be read"):
        load_collection(folder)
    with pytest.raises(CollectionError, match="is not a folder"):
        load_collection(tmp_path / "none")


def test_texts_are_made_fit_for_the_model(tmp_path: Path) -> None:
    """Line ends become one kind; what UTF-8 cannot hold is replaced."""
    documents = [{"_id": 1, "title": " T ", "text": "a\r\nb\0c\ud800"}]
    folder = write_collection(tmp_path / "c", documents=documents, judgments={"a": "q1\t1\t1\n"})
    assert load_collection(folder).documents["1"].content == "a\nb c?"
    assert load_collection(folder).documents["1"].title == "T"
