"""The process that reads files: started, kept, restricted, ended."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rag.errors import LoadingError
from rag.loading import FieldMapping, ParseLimits
from rag.loading.parser import DocumentParser
from rag.loading.protocol import MAX_FRAME, document_from_json, document_to_json, frame_length
from rag.types import SourceDocument
from tests.rag.loading.attacks import form_loop
from tests.rag.loading.writers import manual_pdf

pytestmark = pytest.mark.anyio


def children() -> set[int]:
    """The processes that this thread has started and that still run."""
    tasks = Path("/proc/self/task").glob("*/children")
    found = {int(pid) for task in tasks for pid in task.read_text().split()}
    return {
        pid for pid in found if b"rag.loading.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    }


def about(pid: int, what: str) -> str:
    """A file of a process below /proc; empty once it is gone."""
    try:
        return Path(f"/proc/{pid}/{what}").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


async def until(condition: Callable[[], bool]) -> None:
    """Wait for another process; the test's own limit ends what never comes."""
    while not condition():  # noqa: ASYNC110 - it can set no event here
        await asyncio.sleep(0.01)


async def test_text_needs_no_process_and_all_else_shares_one() -> None:
    """Markdown is read here; the process for the rest is kept, and ends with the parser."""
    before = children()
    parser = DocumentParser()
    assert [one.title for one in await parser.parse("a.md", b"# Head\n\nText")] == ["Head"]
    assert children() == before
    await parser.parse("a.html", b"<p>One")
    kept = children() - before
    assert len(kept) == 1
    await parser.parse("b.html", b"<p>Two")
    assert children() - before == kept
    await parser.close()
    assert children() == before
    with pytest.raises(LoadingError, match=r"a\.html: the server is stopping"):
        await parser.parse("a.html", b"<p>One")


async def test_the_process_has_no_secrets_and_cannot_lift_its_limits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its environment holds nothing of the server's; memory and files have hard limits."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    before = children()
    parser = DocumentParser(ParseLimits(memory_mb=700))
    await parser.parse("a.html", b"<p>One")
    [pid] = children() - before
    environment = about(pid, "environ")
    assert "sk-secret" not in environment
    assert "DATABASE" not in environment
    limits = {
        line[:26].strip(): line[26:].split()[:2] for line in about(pid, "limits").splitlines()
    }
    assert limits["Max address space"] == [str(700 * 1024 * 1024)] * 2
    assert limits["Max file size"] == ["0", "0"]
    assert limits["Max core file size"] == ["0", "0"]
    await parser.close()


async def test_a_process_without_work_ends() -> None:
    """Its memory is given back, and the next file starts another."""
    before = children()
    parser = DocumentParser(idle_seconds=0.01)
    await parser.parse("a.html", b"<p>One")
    await until(lambda: children() == before)
    assert [one.content for one in await parser.parse("b.html", b"<p>Two")] == ["Two\n"]
    await parser.close()


async def test_giving_up_kills_the_process() -> None:
    """A cancelled reading leaves nothing behind that goes on."""
    before = children()
    parser = DocumentParser()
    reading = asyncio.create_task(parser.parse("a.pdf", form_loop()))
    await until(lambda: children() != before)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert children() == before
    [document] = await parser.parse("b.pdf", manual_pdf())
    assert len(document.pages) == 3
    await parser.close()


async def test_many_records_come_whole_and_in_order() -> None:
    """More than fits into one frame, with a mapping."""
    parser = DocumentParser()
    lines = "\n".join(f'{{"n": {number}, "a": "Text {"x" * 900}"}}' for number in range(3_000))
    mapping = FieldMapping.from_json({"content": "a", "key": "n"})
    documents = await parser.parse("a.jsonl", lines.encode(), mapping=mapping)
    assert [one.key for one in documents] == [str(number) for number in range(3_000)]
    assert documents[-1] == SourceDocument(title="Text …", content="Text " + "x" * 900, key="2999")
    await parser.close()


async def test_a_process_that_cannot_be_started_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever gave the file learns that it is not the file's fault."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    parser = DocumentParser()
    with pytest.raises(LoadingError, match="cannot be started; see the server's log"):
        await parser.parse("a.html", b"<p>One")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(LoadingError, match="cannot be started; see the server's log"):
        await parser.parse("a.html", b"<p>One")
    await parser.close()


@pytest.mark.slow
async def test_a_killed_server_leaves_no_process_behind(tmp_path: Path) -> None:
    """Also not one that is in the middle of a file that never ends."""
    path = tmp_path / "loop.pdf"
    path.write_bytes(form_loop())
    script = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from rag.loading import ParseLimits\n"
        "from rag.loading.parser import DocumentParser\n"
        "parser = DocumentParser(ParseLimits(seconds=100))\n"
        "asyncio.run(parser.parse('a.pdf', Path(sys.argv[1]).read_bytes()))\n"
    )
    server = await asyncio.create_subprocess_exec(sys.executable, "-c", script, str(path))
    place = f"task/{server.pid}/children"
    await until(lambda: about(server.pid, place) != "")
    [worker] = map(int, about(server.pid, place).split())
    server.kill()
    await server.wait()
    await until(lambda: "\nState:\tZ" in about(worker, "status") or not about(worker, "status"))


def test_documents_travel_unchanged_and_others_are_refused() -> None:
    """What comes back must have the form of a document: the other side is not trusted."""
    document = SourceDocument("T", "text", "a", "b", "de", "key", "https://x.example", (0, 2))
    assert document_from_json(document_to_json(document) | {"pages": [0, 2]}) == document
    wrongs: tuple[Any, ...] = (
        None,
        [],
        {},
        {"title": 1},
        document_to_json(document) | {"content": None},
    )
    for wrong in wrongs:
        with pytest.raises(ValueError, match="not a document"):
            document_from_json(wrong)
    assert frame_length(MAX_FRAME.to_bytes(4, "big")) == MAX_FRAME
    with pytest.raises(ValueError, match="too long"):
        frame_length((MAX_FRAME + 1).to_bytes(4, "big"))
