"""docs/asvs.md: complete, each number once, and what shows it is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROW = re.compile(r"^\| (\d+\.\d+\.\d+) \| ([12]) \| ([^|]+) \| ([^|]+) \|([^|]*)\|([^|]*)\|$")

# All requirements of levels 1 and 2 in the chapters V4 to V10 of ASVS 5.0.0: the section, and which
# numbers of it. Those between are of level 3.
COMPLETE = {
    "4.1": "1 2 3", "4.2": "1", "4.3": "1 2", "4.4": "1 2 3 4",
    "5.1": "1", "5.2": "1 2 3", "5.3": "1 2", "5.4": "1 2 3",
    "6.1": "1 2 3", "6.2": "1 2 3 4 5 6 7 8 9 10 11 12", "6.3": "1 2 3 4", "6.4": "1 2 3 4",
    "6.5": "1 2 3 4 5", "6.6": "1 2 3", "6.8": "1 2 3 4",
    "7.1": "1 2 3", "7.2": "1 2 3 4", "7.3": "1 2", "7.4": "1 2 3 4 5", "7.5": "1 2", "7.6": "1 2",
    "8.1": "1 2", "8.2": "1 2 3", "8.3": "1", "8.4": "1",
    "9.1": "1 2 3", "9.2": "1 2 3 4",
    "10.1": "1 2", "10.2": "1 2", "10.3": "1 2 3 4", "10.4": "1 2 3 4 5 6 7 8 9 10 11",
    "10.5": "1 2 3 4 5", "10.6": "1 2", "10.7": "1 2 3",
}  # fmt: skip


def rows() -> list[re.Match[str]]:
    lines = (ROOT / "docs" / "asvs.md").read_text("utf-8").splitlines()
    numbered = [line for line in lines if re.match(r"\| \d", line)]
    found = [ROW.match(line) for line in numbered]
    assert None not in found, [line for line, one in zip(numbered, found, strict=True) if not one]
    return [one for one in found if one is not None]


def test_each_requirement_is_there_once() -> None:
    """None of the complete chapters is missing, and none stands twice."""
    numbers = [row[1] for row in rows()]
    assert len(numbers) == len(set(numbers))
    wanted = {f"{part}.{last}" for part, all_ in COMPLETE.items() for last in all_.split()}
    chapters = {part.partition(".")[0] for part in COMPLETE}
    assert {number for number in numbers if number.partition(".")[0] in chapters} == wanted


def test_what_is_met_is_shown() -> None:
    """Every state is one of four; what is met names what shows it, and what is named exists."""
    for row in rows():
        state, reason, shown = row[4].strip(), row[5], row[6]
        paths = re.findall(r"`([^`]+)`", shown)
        assert state in ("met", "n/a", "operator", "open"), row[0]
        assert paths or state != "met", row[0]
        assert reason.strip() or state == "met", row[0]
        for path in paths:
            assert (ROOT / path).is_file(), row[0]


@pytest.mark.parametrize("name", ["security.md", "accounts.md"])
def test_files_named_elsewhere_exist(name: str) -> None:
    text = (ROOT / "docs" / name).read_text("utf-8")
    paths = set(re.findall(r"`(tests/[\w/]+\.py)", text))
    assert paths
    for path in paths:
        assert (ROOT / path).is_file(), path
