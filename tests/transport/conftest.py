from collections.abc import AsyncIterator

import httpx
import pytest

from tests.transport.app import App, build_app, eventually, serve, transport_tasks


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def app() -> App:
    return build_app()


@pytest.fixture
async def client(app: App) -> AsyncIterator[httpx.AsyncClient]:
    """Speaks to the endpoint in this process; an exception of the endpoint fails the test."""
    transport = httpx.ASGITransport(app.endpoint)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@pytest.fixture(scope="module")
async def shared() -> App:
    """The application behind `address`, one for all tests of a module."""
    return build_app(init_seconds=0.5, socket_operations=3)


@pytest.fixture(scope="module")
async def address(shared: App) -> AsyncIterator[str]:
    async with serve(shared.endpoint) as address:
        yield address


@pytest.fixture(autouse=True)
async def no_task_is_left(anyio_backend: str) -> AsyncIterator[None]:
    """Every test ends without any task of the transport."""
    yield
    await eventually(lambda: not transport_tasks())
