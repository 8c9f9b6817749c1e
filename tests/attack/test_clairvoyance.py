"""clairvoyance recovers a schema from suggestions and error messages, with its own word list."""

from __future__ import annotations

import json
from pathlib import Path

from tests.attack.conftest import Target, run_tool, tool

ENDED = "Field Suggestion is not fully enabled on this endpoint"


def test_nothing_is_recovered(production: Target, tmp_path: Path) -> None:
    """The tool gives up: no answer tells it a type, so that it can write no schema."""
    found = tmp_path / "schema.json"
    ended = run_tool(
        tool("clairvoyance"), production.url, "-o", found, "-c", "4", folder=tmp_path, seconds=110
    )
    assert ENDED in ended.stderr + ended.stdout, ended.stderr[-3000:]
    assert not found.exists()
    production.never_stumbled()


def test_a_word_list_finds_nothing(production: Target, tmp_path: Path) -> None:
    """All words of the tool's list, twenty at a time beside one that is no field, get the same
    answer to the byte, though some of them are fields."""
    where = "import clairvoyance, sys; sys.stdout.write(clairvoyance.__path__[0])"
    folder = Path(run_tool(tool("python"), "-c", where, folder=tmp_path, seconds=60).stdout)
    words = (folder / "wordlist.txt").read_text("utf-8").split()
    assert len(words) > 9_000
    assert {"me", "node", "sessions", "documents"} & set(words)
    answers = set()
    for start in range(0, len(words), 19):
        some = " ".join(words[start : start + 19])
        answers.add(json.dumps(production.post(f"{{ {some} qqq }}")))
    assert len(answers) == 1, answers
