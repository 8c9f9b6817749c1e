"""The command as a whole, on the fake model."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rag.embedding.fake import FakeEmbedder
from rag.errors import EmbeddingError
from rag.evaluate.__main__ import main
from rag.evaluate.runs import compare, write_json
from rag.evaluate.terminal import Steps
from rag.rerank.fake import FakeReranker
from tests.rag.evaluate.samples import JUDGMENTS, run, write_collection


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_a_collection_gives_its_four_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under the folder's name and nothing else; both relevant documents are found first."""
    folder = write_collection(tmp_path / "shop")
    assert run(folder, "--json", tmp_path / "figures.json", "--cache", tmp_path / "cache") == 0
    assert read(tmp_path / "figures.json") == {
        "shop": {"ndcg@10": 1.0, "recall@10": 1.0, "mrr@10": 1.0, "abstention_auroc": 1.0}
    }
    out = capsys.readouterr().out
    assert "1.0000 (1.000 to 1.000)" in out
    assert "AUROC" in out
    assert "searches/s" in out
    assert [path.name.split("-")[0] for path in (tmp_path / "cache").iterdir()] == ["fake"]


def test_without_answerability_the_figure_of_abstention_is_null(tmp_path: Path) -> None:
    """The key stays, so that a reader need not ask whether it is there."""
    queries = [{"_id": "q1", "text": "When may I return goods?"}]
    folder = write_collection(tmp_path / "plain", queries=queries, judgments={"dev": "q1\td1\t1\n"})
    assert run(folder, "--no-cache", "--json", tmp_path / "figures.json") == 0
    assert read(tmp_path / "figures.json")["plain"]["abstention_auroc"] is None


def test_questions_without_a_text_are_counted_in_the_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are left out of the figures, with a warning before and a line beside the figures."""
    folder = write_collection(tmp_path / "shop", judgments={"test": f"{JUDGMENTS}q7\td1\t1\n"})
    with (folder / "queries.jsonl").open("a") as file:
        file.write('{"_id": "q7", "text": ""}\n')
    assert run(folder, "--no-cache", "--json", tmp_path / "figures.json") == 0
    assert read(tmp_path / "figures.json")["shop"]["ndcg@10"] == 1.0
    captured = capsys.readouterr()
    assert "shop: 1 questions have no text (q7); left out." in captured.err
    assert "shop: 1 questions without a text were left out." in captured.out


def test_a_run_is_compared_with_a_later_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Question by question; the other run's file is not changed."""
    folder = write_collection(tmp_path / "shop")
    before = tmp_path / "before.json"
    assert run(folder, "--no-cache", "--run", before) == 0
    record = read(before)
    questions = record["collections"]["shop"]["questions"]
    assert questions["q1"]["documents"][0] == "d1"
    assert questions["q1"]["ndcg@10"] == 1.0
    assert questions["q1"]["grounded"] is True
    assert "ndcg@10" not in questions["q3"]
    questions["q1"]["ndcg@10"] = 0.5
    before.write_text(json.dumps(record), encoding="utf-8")
    page = tmp_path / "report.html"
    assert run(folder, "--no-cache", "--compare", before, "--report", page) == 0
    assert "+0.2500" in capsys.readouterr().out
    assert "+0.2500" in page.read_text(encoding="utf-8")
    assert read(before) == record


def test_the_report_needs_no_other_file(tmp_path: Path) -> None:
    """Plots stand in the page, and what a collection says is text there, not markup."""
    queries = [{"_id": "q1", "text": "When may I <script>return</script> goods to Austria?"}]
    folder = write_collection(tmp_path / "a&b", queries=queries, judgments={"t": "q1\td4\t1\n"})
    page = tmp_path / "report.html"
    assert run(folder, "--no-cache", "--without-relevant", "--report", page) == 0
    text = page.read_text(encoding="utf-8")
    assert text.count("<svg") == 5
    assert "<script" not in text
    assert "&lt;script&gt;return" in text
    assert "a&amp;b" in text
    assert "http" not in text
    assert "src=" not in text


def test_questions_without_their_documents_are_unanswerable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each judged question is asked again without what answers it."""
    folder = write_collection(tmp_path / "shop")
    assert run(folder, "--no-cache", "--without-relevant") == 0
    assert "shop, relevant documents removed" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name",
    ["nothing", "split", "golden", "documents", "json", "compare", "run", "baseline", "figures"],
)
def test_wrong_input_is_one_sentence_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Exit code 2 before the model is loaded, and no file is written."""
    folder = write_collection(tmp_path / "shop")
    (tmp_path / "odd.json").write_text("[]", encoding="utf-8")
    (tmp_path / "questions.jsonl").write_text(
        '{"question": "a", "answerable": false}', encoding="utf-8"
    )
    arguments: dict[str, tuple[list[str | Path], str]] = {
        "nothing": ([], "name a FOLDER"),
        "split": ([folder, "--split", "train"], "no judgments named train; it has test"),
        "golden": ([folder, "--golden", "x"], "--golden and --documents go together"),
        "json": ([folder, "--json", tmp_path / "no" / "x"], "there is no folder"),
        "documents": (
            ["--golden", tmp_path / "questions.jsonl", "--documents", tmp_path / "none"],
            "none is not a folder",
        ),
        "cache": ([folder, "--cache", tmp_path / "odd.json"], "odd.json cannot be a cache"),
        "run": ([folder, "--compare", tmp_path / "none"], "cannot be read as a run"),
        "figures": ([folder, "--baseline", tmp_path / "none"], "cannot be read"),
        "compare": ([folder, "--compare", tmp_path / "odd.json"], "is not a run"),
        "baseline": ([folder, "--baseline", tmp_path / "odd.json"], "is not a file that --json"),
    }
    before = sorted(tmp_path.rglob("*"))
    given, sentence = arguments[name]
    code = main([str(one) for one in given], load=lambda _: pytest.fail("the model was loaded"))
    assert code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert sentence in captured.err
    assert captured.err.startswith("Error: ")
    assert sorted(tmp_path.rglob("*")) == before


def test_two_folders_of_one_name_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their figures could not be told apart."""
    folders = [write_collection(tmp_path / place / "shop") for place in ("a", "b")]
    assert run(*folders, "--no-cache") == 2
    assert "two folders are called shop" in capsys.readouterr().err


def test_a_model_that_cannot_be_loaded_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1 and the reason."""

    def load(_: str) -> Any:
        raise EmbeddingError("there is no such model")

    folder = write_collection(tmp_path / "shop")
    assert main([str(folder), "--json", str(tmp_path / "x.json")], load=load) == 1
    assert "Error: there is no such model" in capsys.readouterr().err
    assert not (tmp_path / "x.json").exists()


def test_a_drop_below_the_baseline_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Within the tolerance it does not; a figure that is missing now counts as a drop."""
    folder = write_collection(tmp_path / "shop", judgments={"test": JUDGMENTS + "q1\td4\t2\n"})
    figures = tmp_path / "figures.json"
    assert run(folder, "--no-cache", "--json", figures) == 0
    measured = read(figures)
    assert run(folder, "--no-cache", "--baseline", figures) == 0
    measured["shop"]["ndcg@10"] += 0.019
    figures.write_text(json.dumps(measured), encoding="utf-8")
    assert run(folder, "--no-cache", "--baseline", figures) == 0
    capsys.readouterr()
    assert run(folder, "--no-cache", "--baseline", figures, "--tolerance", "0.01") == 1
    assert "shop: ndcg@10 was " in capsys.readouterr().err
    measured["other"] = {"ndcg@10": 0.5}
    figures.write_text(json.dumps(measured), encoding="utf-8")
    assert run(folder, "--no-cache", "--baseline", figures) == 1
    assert "other: ndcg@10 was 0.5000 and is missing" in capsys.readouterr().err


def test_documents_in_many_passages_do_not_hide_others(tmp_path: Path) -> None:
    """A document counts once, at its best passage; the search goes deeper until ten are found."""
    long = "\n\n".join(
        f"# Part {n}\n\n" + " ".join([f"return goods section{n} word{n}x{i}" for i in range(60)])
        for n in range(14)
    )
    documents = [{"_id": "long", "title": "Return goods", "text": long}] + [
        {"_id": f"d{n}", "title": "", "text": f"Something else entirely, number{n} topic{n}."}
        for n in range(12)
    ]
    queries = [{"_id": "q1", "text": "return goods"}]
    folder = write_collection(
        tmp_path / "c", documents=documents, queries=queries, judgments={"t": "q1\tlong\t1\n"}
    )
    assert run(folder, "--no-cache", "--run", tmp_path / "run.json") == 0
    found = read(tmp_path / "run.json")["collections"]["c"]["questions"]["q1"]["documents"]
    assert found[0] == "long"
    assert len(found) == len(set(found)) == 10


def test_the_cache_spares_the_second_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Then there is no figure of indexing: it would be that of the cache."""
    folder = write_collection(tmp_path / "shop")
    for _ in range(2):
        assert run(folder, "--cache", tmp_path / "cache") == 0
    assert "from the cache" in capsys.readouterr().out


def test_a_reranking_model_orders_the_hits(tmp_path: Path) -> None:
    """Its gain can be measured before it is switched on."""
    folder = write_collection(tmp_path / "shop")
    model = FakeReranker()
    code = main(
        [str(folder), "--no-cache", "--reranker", "any", "--run", str(tmp_path / "run.json")],
        load=lambda _: FakeEmbedder(),
        load_reranker=lambda _: model,
    )
    assert code == 0
    assert model.calls[0][0] == "When may I return goods?"
    found = read(tmp_path / "run.json")["collections"]["shop"]["questions"]["q1"]
    assert found["documents"][0] == "d1"


def test_a_run_on_other_collections_has_nothing_to_compare(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only collections and questions that both have count."""
    first = write_collection(tmp_path / "first")
    other = write_collection(tmp_path / "other", judgments={"test": "q2\td2\t1\n"})
    assert run(first, other, "--no-cache", "--run", tmp_path / "run.json") == 0
    record = read(tmp_path / "run.json")
    del record["collections"]["first"]
    del record["collections"]["other"]["questions"]["q2"]
    assert compare(record, read(tmp_path / "run.json")) == []


def test_a_file_is_written_as_a_whole_or_not_at_all(
    tmp_path: Path,
) -> None:
    """What stood there stays when the new one cannot be put in its place."""
    path = tmp_path / "figures.json"
    write_json(path, {"a": 1})
    with pytest.raises(UnicodeEncodeError):
        write_json(path, {"a": "\ud800"})
    assert read(path) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_on_a_terminal_there_is_a_bar() -> None:
    """One at a time; elsewhere there is a line for each step."""
    text = io.StringIO()
    steps = Steps(Console(file=text, force_terminal=True, width=80))
    steps.title = "shop"
    for step in ("Indexing", "Asking"):
        steps.begin(step, 2)
        steps.advance()
        steps.advance()
    steps.close()
    assert "shop: indexing" in text.getvalue()
    assert "2/2" in text.getvalue()
    plain = io.StringIO()
    steps = Steps(Console(file=plain, width=80))
    steps.title = "shop"
    steps.begin("Indexing", 2)
    steps.advance()
    steps.close()
    assert plain.getvalue() == "shop: indexing (2)\n"


@pytest.mark.slow
def test_the_module_runs_with_the_real_model(tmp_path: Path) -> None:
    """As people call it, in a process of its own."""
    folder = write_collection(tmp_path / "shop")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "rag.evaluate", folder, "--json", tmp_path / "figures.json"),
            *("--cache", tmp_path / "cache"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert read(tmp_path / "figures.json")["shop"]["ndcg@10"] == 1.0


def test_without_a_place_for_the_cache_there_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A home that cannot be written to is no reason to fail."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert run(write_collection(tmp_path / "shop")) == 0
    assert "Vectors are not kept: " in capsys.readouterr().err


def test_a_place_that_cannot_be_written_to_is_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not after minutes of work, and without a traceback."""
    folder = write_collection(tmp_path / "shop")
    assert run(folder, "--json", "/proc/figures.json") == 2
    assert "/proc/figures.json cannot be written" in capsys.readouterr().err


def test_what_is_no_file_is_written_to_and_a_failure_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pipe or a device is not replaced by a file; what could not be written does not keep the
    other files from being written."""
    folder = write_collection(tmp_path / "shop")
    reader, writer = os.pipe()
    out = tmp_path / "run.json"
    assert run(folder, "--json", f"/dev/fd/{writer}") == 0
    assert json.loads(os.read(reader, 65_536))["shop"]["ndcg@10"] == 1.0
    os.close(reader)
    assert run(folder, "--json", f"/dev/fd/{writer}", "--run", out) == 1
    os.close(writer)
    assert f"/dev/fd/{writer} cannot be written: Broken pipe." in capsys.readouterr().err
    assert list(read(out)["collections"]) == ["shop"]
