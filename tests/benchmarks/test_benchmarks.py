"""The benchmarks run, and say what they promise; their figures are no matter of a test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import NAMES, main
from benchmarks.figures import Spread, table
from benchmarks.footprint import Footprint, Start
from benchmarks.pages import make_page
from tests.application import write_documents


def measure(name: str, folder: Path, *arguments: str) -> dict[str, Any]:
    """The JSON figures of one benchmark over the small knowledge base."""
    file = folder / "figures.json"
    code = main(
        [
            "--only",
            name,
            "--json",
            str(file),
            "--data-dir",
            str(folder / "data"),
            "--kb-dir",
            str(write_documents(folder / "kb")),
            *arguments,
        ]
    )
    assert code == 0
    results: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    assert results.keys() == {"load_before", name}
    figures: dict[str, Any] = results[name]
    return figures


def check_spread(spread: dict[str, float], count: int) -> None:
    assert spread["count"] == count
    assert 0 < spread["quartile_1"] <= spread["median"] <= spread["quartile_3"] <= spread["p99"]


def test_the_first_token_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each question is asked and embedded in each round, and every stage is seen."""
    figures = measure("first-token", tmp_path, "--questions", "2", "--rounds", "2")
    for kind in ("first_token", "from_arrival", "embedding", "model"):
        check_spread(figures[kind], 4)
    check_spread(figures["reference"], 2)
    assert figures["ratio"] == pytest.approx(
        figures["first_token"]["median"] / figures["embedding"]["median"], rel=0.01
    )
    stages = figures["stages"]
    assert len(stages) == 15
    assert all(stage["begin"] >= 0 and stage["duration"] > 0 for stage in stages.values())
    # Nothing of an answer is shown before it is committed, nor committed before it is made.
    order = ["embed the question", "search both indexes", "compose the answer"]
    order += ["commit the first events", "deliver to the socket", "server writes, client reads"]
    begins = [stages[name]["begin"] for name in order]
    assert begins == sorted(begins)
    assert "ratio of medians" in capsys.readouterr().out


def test_the_footprint_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first start as a process; nothing heavy is imported before the port opens."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # faster beside other tests
    figures = measure("footprint", tmp_path, "--starts", "0", "--settle", "0")
    assert figures["documents"] == 4
    assert figures["heavy_imports_before_port"] == []
    assert len(figures["import_ms"]) == 10
    assert figures["index_bytes"] > 0
    assert figures["database_bytes"] > 0
    first = figures["first_start"]
    assert 0 < first["healthy_seconds"] < first["ready_seconds"]
    assert figures["later_starts"] is None
    out = capsys.readouterr().out
    assert "until /healthz answers" in out
    assert "heavy libraries among them: none" in out


def test_retrieval_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both halves are reported; what a half has no questions for is null."""
    figures = measure("retrieval", tmp_path, "--questions", "4")
    for split in ("dev", "test"):
        assert figures[split]["answerable"] + figures[split]["unanswerable"] > 0
        assert 0 <= figures[split]["recall_at_5"] <= 1
        assert "auroc" in figures[split]
    assert "recall@5" in capsys.readouterr().out


def test_streaming_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each size is measured at both servers, and no piece of text is lost."""
    sizes = ("--replies", "3", "--replies", "1", "--tokens", "20", "--rounds", "1")
    figures = measure("streaming", tmp_path, *sizes)
    assert [(size["replies"], size["tokens"]) for size in figures["sizes"]] == [(1, 20), (3, 20)]
    for size in figures["sizes"]:
        ours, plain = size["groundql"], size["plain"]
        assert plain["tokens_per_delta"] == 1
        assert ours["tokens_per_delta"] >= 1
        assert size["ratio_of_characters"] == pytest.approx(
            ours["characters_per_second"] / plain["characters_per_second"], abs=0.001
        )
        assert ours["cpu_us_per_delta"] > 0
    assert figures["sizes"][0]["groundql"]["bytes_per_subscription"] is None
    assert "tokens a delta" in capsys.readouterr().out


def test_the_latency_of_tokens_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every token of every reply is timed from its making to its reader."""
    figures = measure("reply-latency", tmp_path, "--seconds", "0.2")
    for kind in ("groundql", "plain"):
        check_spread(figures[kind], 200 * 10)
        assert figures[kind]["p99"] <= figures[kind]["longest"]
    assert "longest" in capsys.readouterr().out


def test_logins_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everybody gets in, another person is answered beside them, and all four are compared."""
    figures = measure("logins", tmp_path, "--logins", "3", "--rounds", "1", "--tries", "2")
    check_spread(figures["other_queries_without"], 200)
    assert figures["other_queries_beside"]["count"] > 0
    assert len(figures["memory_growth_bytes"]) == len(figures["seconds"]) == 1
    assert list(figures["answers"]) == ["register", "login", "reset", "resend"]
    for one in figures["answers"].values():
        check_spread(one["known"], 2)
        check_spread(one["unknown"], 2)
    assert "hashes' worth" in capsys.readouterr().out


def test_history_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All three ways give the same bytes at every place."""
    figures = measure("history", tmp_path, "--messages", "200", "--rounds", "2")
    assert list(figures["times"]) == ["groundql", "by hand", "on the spot"]
    for places in figures["times"].values():
        assert len(places) == 4
        for spread in places.values():
            check_spread(spread, 10)
    assert figures["page_bytes"] > 10_000
    assert "GraphQL to by hand" in capsys.readouterr().out


def test_the_help_names_all(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` names every benchmark, and an unknown one is refused."""
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in NAMES)
    with pytest.raises(SystemExit) as ended:
        main(["--only", "nothing"])
    assert ended.value.code == 2


def test_later_starts_are_summed_up() -> None:
    """Later starts give quartiles of their times, and the middle of their sizes."""
    first = Start(1.0, 9.0, 0.9, 8.0, 600, 500)
    later = [Start(2.0, 4.0, 1.5, 3.5, 300, 200), Start(3.0, 5.0, 2.5, 4.5, None, None)]
    footprint = Footprint(first, later, 4, 10, 20, [("schema", 1.5)], [], [0.5])
    summed = footprint.to_json()["later_starts"]
    assert summed["healthy_seconds"]["median"] == 2.5
    assert summed["ready_seconds"]["quartile_1"] == 4.25
    assert (summed["healthy_cpu_seconds"], summed["rss_bytes"]) == (2.5, 300)
    lines = footprint.report().splitlines()
    assert lines[2].split()[-5:] == ["1.00", "2.50", "2.25", "to", "2.75"]
    assert lines[6].split()[-3:] == ["?", "?", "?"]


def test_less_than_one_round_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """There are no figures without a measurement."""
    assert main(["--rounds", "0"]) == 2
    assert "begin at 1" in capsys.readouterr().err
    assert main(["--tokens", "0"]) == 2
    assert main(["--messages", "99"]) == 2
    assert "begins at 100" in capsys.readouterr().err


def test_a_spread_holds_quantiles() -> None:
    """Quartiles and the 99th percentile are interpolated between values."""
    spread = Spread.of([4.0, 1.0, 3.0, 2.0, 5.0])
    assert spread == Spread(5, 2.0, 3.0, 4.0, spread.p99)
    assert spread.p99 == pytest.approx(4.96)


def test_a_table_aligns_numbers_to_the_right() -> None:
    """The first column is text, the others are numbers."""
    assert table(("name", "n"), [("a", "1"), ("longer", "100")]).splitlines() == [
        "name      n",
        "------  ---",
        "a         1",
        "longer  100",
    ]


@pytest.mark.slow
def test_the_index_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each size is made up, searched with and without a filter, and compared with all vectors."""
    sizes = ("--passages", "900", "--passages", "300", "--questions", "5")
    figures = measure("index", tmp_path, *sizes)
    assert [(size["passages"], size["kind"]) for size in figures["sizes"]] == [
        (300, "flat"),
        (900, "flat"),
    ]
    for size in figures["sizes"]:
        assert size["recall"] == size["filtered_recall"] == 1
        assert size["searches"].keys() == {
            "both", "vectors", "words", "both, 1 %", "vectors, 1 %", "words, 1 %",
        }  # fmt: skip
        for timed in size["searches"].values():
            check_spread(timed["ms"], 5)
        assert size["filter_ratio"] == pytest.approx(
            size["searches"]["both, 1 %"]["ms"]["median"]
            / size["searches"]["both"]["ms"]["median"],
            abs=0.02,
        )
    assert "recall@10 is against comparing with all vectors" in capsys.readouterr().out


@pytest.mark.slow
def test_embedding_is_measured(tmp_path: Path) -> None:
    """Both backends are asked by 1, 8 and 64 at once, and their vectors are compared."""
    figures = measure("embedding", tmp_path, "--seconds", "0.2")
    cosine = figures.pop("cosine")
    assert 0.9 < cosine["least"] <= cosine["mean"] <= 1.001
    assert len(figures) == 2
    for backend in figures.values():
        assert backend["questions_per_second"].keys() == {"1", "8", "64"}
        assert backend["batch_questions_per_second"] > 0


@pytest.mark.slow
def test_ingestion_is_measured(tmp_path: Path) -> None:
    """Pages go through the queue, questions are asked alone and beside, changes are found."""
    figures = measure("ingestion", tmp_path, "--pages", "4")
    assert figures["pages"] == 4
    assert figures["pages_per_second"] > 0
    assert figures["share"] > 0
    check_spread(figures["question_alone_ms"], 200)
    check_spread(figures["question_beside_ms"], 200)
    assert figures["searchable_s"]["count"] == 10


def test_pages_are_always_the_same() -> None:
    """The generator is seeded: a number and a seed make one page."""
    title, text = make_page(7)
    assert make_page(7) == (title, text)
    assert make_page(7, seed=5) != (title, text)
    assert text.startswith(f"# {title}\n\n## ")
    assert text.count("| part | number | price |") == 1
