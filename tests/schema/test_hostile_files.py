"""Files that attack the server, in its folder of documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.document import Document, DocumentStatus
from rag.embedding.base import Embedder
from tests.application import running_app, test_settings, write_documents
from tests.rag.loading.attacks import (
    LAUGHS,
    PNG,
    form_loop,
    inflating_word_file,
    page_loop,
    sheet_cell,
    sheet_with,
    word_with,
)
from tests.rag.loading.writers import manual_pdf

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SEARCH = '{ searchKnowledge(query: "How long may I return goods?", first: 1) { text } }'


async def test_questions_are_answered_while_attacks_are_refused(
    sqlite_url: str, tmp_path: Path, embedder: Embedder
) -> None:
    """Each file ends as FAILED with its reason, and the good one behind them is searchable."""
    attacks: dict[str, tuple[Any, ...]] = {
        # It meets the limit of memory on a fast machine, that of time on a slow one.
        "a.pdf": (
            form_loop(),
            "reading it took longer than 3 seconds",
            "the file is damaged, or needs more than 1024 MB of memory",
        ),
        "b.docx": (inflating_word_file(300), "the file unpacks to 300 MB, more than 200 MB"),
        "c.docx": (word_with(LAUGHS, "&a9;"), "the file declares entities"),
        "d.xlsx": (
            sheet_with("", sheet_cell("x") + sheet_cell("y", "XFD1048576", 1_048_576)),
            "the file is damaged, or needs more than 1024 MB of memory to be read",
        ),
        "e.pdf": (page_loop(1_000), "the PDF is damaged: its pages cannot be read"),
        "f.pdf": (manual_pdf(password="x"), "the PDF is protected by a password"),
        "g.pdf": (PNG, "this is not a PDF, whatever its name says"),
        "h.pdf": (b"", "the file is empty"),
    }
    folder = write_documents(tmp_path / "kb")
    for name, (data, *_) in attacks.items():
        (folder / name).write_bytes(data)
    (folder / "z.pdf").write_bytes(manual_pdf())
    settings = test_settings(tmp_path, sqlite_url, parse_seconds=3)
    async with running_app(settings, embedder=embedder) as app:
        token = await app.login()
        answered = 0
        files = [*attacks, "z.pdf"]  # read side by side
        while await Document.filter(folder_path__in=files).count() < len(files):
            hits = (await app.data(SEARCH, token=token))["searchKnowledge"]
            assert len(hits) == 1
            answered += 1
        assert answered > 10
        rows = {row.folder_path: row for row in await Document.filter(folder_path__endswith="f")}
        rows |= {row.folder_path: row for row in await Document.filter(folder_path__endswith="x")}
        assert rows.pop("z.pdf").status is DocumentStatus.READY
        assert {path: row.status for path, row in rows.items()} == dict.fromkeys(
            attacks, DocumentStatus.FAILED
        )
        for path, (_, *reasons) in attacks.items():
            failure = rows[path].failure or ""
            assert any(f"{path}: {reason}" in failure for reason in reasons)
