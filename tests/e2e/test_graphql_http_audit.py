"""The GraphQL-over-HTTP audit of the npm package graphql-http, against a real server."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Server
from tests.transport.app import build_app, serve

FOLDER = Path(__file__).parent / "graphql_http_audit"
AUDITS = 61


async def run_audit(url: str) -> list[dict[str, Any]]:
    """Run the audit against a GraphQL URL; gives each check's id, name, status and reason."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("the audit needs Node.js, which is not installed")
    if not (FOLDER / "node_modules" / "graphql-http").is_dir():
        pytest.skip("the audit needs `npm ci` in tests/e2e/graphql_http_audit")
    process = await asyncio.create_subprocess_exec(
        node,
        "audit.mjs",
        url,
        cwd=FOLDER,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors.decode()
    results: list[dict[str, Any]] = json.loads(output)
    return results


async def assert_audit_passes(url: str) -> None:
    """Fail unless each of the 61 checks says ok."""
    results = await run_audit(url)
    assert [result for result in results if result["status"] != "ok"] == []
    assert len(results) == AUDITS


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
async def test_every_check_of_the_audit_is_ok() -> None:
    """The transport follows GraphQL over HTTP to the letter, notices and warnings included."""
    async with serve(build_app().endpoint) as address:
        await assert_audit_passes(f"http://{address}/graphql")


@pytest.mark.anyio
async def test_the_whole_application_passes_the_audit(server: Server) -> None:
    """What the application adds to the transport leaves the audit at 61 of 61."""
    await assert_audit_passes(f"{server.url}/graphql")
