"""A complete client"""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest

from resolvers.replies.run import INTERRUPTED
from tests.lossy import Cut, lossy_network
from tests.protocol.conftest import Serve
from tests.protocol.document import code_blocks
from tests.protocol.person import Person

pytestmark = pytest.mark.anyio

TITLE = "A complete client"


async def start(folder: Path, url: str, token: str) -> asyncio.subprocess.Process:
    """The client of the document, as a program of its own."""
    (program,) = code_blocks(TITLE, "python")
    (folder / "client.py").write_text(program)
    arguments = ("client.py", re.sub("^http", "ws", url), token, "Who pays for a return?")
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def finish(client: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    output, errors = await asyncio.wait_for(client.communicate(), 30)
    return client.returncode, output.decode(), errors.decode()


async def test_it_outlives_a_restart(
    anyio_backend: str, sqlite_url: str, serve: Serve, tmp_path: Path
) -> None:
    """Python, with nothing but `websockets`."""
    async with lossy_network("http://127.0.0.1:9/graphql") as (network, url):
        async with serve(sqlite_url) as app:
            network.target = app.url
            ada = await Person.enter(app)
            app.generator.script = ["One", asyncio.Event()]
            client = await start(tmp_path, url, ada.token)
            assert client.stdout is not None
            assert await asyncio.wait_for(client.stdout.readexactly(3), 20) == b"One"
        async with serve(sqlite_url) as app:
            network.target = app.url
            code, output, errors = await finish(client)
    assert (code, errors) == (0, "")
    assert output == f"\nINTERRUPTED {INTERRUPTED}\n"


async def test_it_resumes(person: Person, tmp_path: Path) -> None:
    """It sends with a `clientKey`, prints the text as it comes, and resumes."""
    pieces = [f" {number}-é🎉" for number in range(40)]
    person.app.generator.script = [step for piece in pieces for step in (piece, 0.005)]
    cuts = (Cut('"seq":1'), Cut(" 9-"), Cut(" 20-", code=1012), Cut(" 39-"))
    async with lossy_network(person.app.url, *cuts) as (network, url):
        client = await start(tmp_path, url, person.token)
        code, output, errors = await finish(client)
        assert (code, errors) == (0, "")
        assert output == "".join(pieces) + "\nCOMPLETE \n"
        assert network.left == []
        assert network.connections == 5
    assert len(await person.sessions()) == 1


async def test_it_gives_up_when_refused(person: Person, tmp_path: Path) -> None:
    """Run it with `python client.py ws://localhost:8000/graphql "$TOKEN" "Who pays for a
    return?"`."""
    client = await start(tmp_path, person.app.url, "wrong")
    code, output, errors = await finish(client)
    assert (code, output) == (1, "")
    assert "4403" in errors
