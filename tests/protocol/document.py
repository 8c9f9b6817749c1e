"""docs/protocol.md in parts."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")


def sections() -> dict[str, str]:
    """The text of each section under its title, in order."""
    parts = re.split(r"^## (.+)\n", TEXT, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def plain(text: str) -> str:
    """Text in one line without emphasis, as sentences are compared."""
    return " ".join(text.replace("**", "").split())


def code_blocks(title: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", sections()[title], re.MULTILINE | re.DOTALL)


def first_cells(title: str, pattern: str) -> list[str]:
    """The first cells of the section's table rows that are a `pattern`."""
    return re.findall(rf"^\| `?({pattern})`? \|", sections()[title], re.MULTILINE)
