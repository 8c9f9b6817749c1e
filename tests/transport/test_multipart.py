"""Uploads as multipart/form-data."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.transport.app import build_app

pytestmark = pytest.mark.anyio

QUERY = "mutation ($files: [Upload!]!) { upload(files: $files) }"
PREFLIGHT = {"graphql-preflight": "1"}


def operations(**variables: Any) -> str:
    return json.dumps({"query": QUERY, "variables": variables})


async def send(
    client: httpx.AsyncClient,
    fields: dict[str, str],
    files: dict[str, bytes],
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    return await client.post(
        "/",
        data=fields,
        files={name: (f"{name}.txt", content) for name, content in files.items()},
        headers=PREFLIGHT if headers is None else headers,
    )


async def test_files_reach_the_resolver(client: httpx.AsyncClient) -> None:
    """Each at the places that the map names."""
    fields = {
        "operations": operations(files=[None, None]),
        "map": json.dumps({"a": ["variables.files.0"], "b": ["variables.files.1"]}),
    }
    response = await send(client, fields, {"a": b"one", "b": b"two"})
    assert response.status_code == 200
    assert response.json() == {"data": {"upload": ["one", "two"]}}


@pytest.mark.parametrize("name", ["apollo-require-preflight", "x-requested-with", "authorization"])
async def test_a_header_proves_that_no_form_sent_it(client: httpx.AsyncClient, name: str) -> None:
    """Any header that a page cannot add without asking will do; without one it is refused."""
    fields = {
        "operations": operations(files=[None]),
        "map": json.dumps({"a": ["variables.files.0"]}),
    }
    assert (await send(client, fields, {"a": b"one"}, {})).status_code == 415
    response = await send(client, fields, {"a": b"one"}, {name: "x"})
    assert response.json() == {"data": {"upload": ["one"]}}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"operations": operations(files=[None])},
        {"map": "{}"},
        {"operations": "{", "map": "{}"},
        {"operations": "[]", "map": "{}"},
        {"operations": operations(files=[None]), "map": "["},
        {"operations": operations(files=[None]), "map": "[]"},
        {"operations": operations(files=[None]), "map": "{}"},
        {"operations": operations(files=[None]), "map": '{"a": []}'},
        {"operations": operations(files=[None]), "map": '{"a": "variables.files.0"}'},
        {"operations": operations(files=[None]), "map": '{"a": [1]}'},
        {"operations": operations(files=[None]), "map": '{"b": ["variables.files.0"]}'},
        {"operations": operations(files=[None]), "map": '{"map": ["variables.files.0"]}'},
        *(
            {"operations": operations(files=[None], text="x"), "map": json.dumps({"a": [path]})}
            for path in (
                "",
                "variables",
                "variables.",
                "variables.files",
                "variables.files.1",
                "variables.files.-1",
                "variables.files.²",
                "variables.files.99999999999999999999",
                "variables.files.0.x",
                "variables.text",
                "variables.text.0",
                "variables.__proto__",
                "variables.__class__.__init__",
                "variables.files.__len__",
                "query",
                "0.variables.files.0",
                "operationName",
            )
        ),
        {
            "operations": operations(files=[None]),
            "map": '{"a": ["variables.files.0", "variables.files.0"]}',
        },
        {"operations": json.dumps({"query": QUERY}), "map": '{"a": ["variables.files.0"]}'},
    ],
    ids=str,
)
async def test_a_wrong_form_gives_400(client: httpx.AsyncClient, fields: dict[str, str]) -> None:
    """Nothing but a null in the variables is ever replaced, and every file must be placed."""
    response = await send(client, fields, {"a": b"one"})
    assert response.status_code == 400
    assert response.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


@pytest.mark.parametrize(
    ("content_type", "content"),
    [
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=", b"x"),
        ("multipart/form-data; boundary=x", b""),
        ("multipart/form-data; boundary=x", b"no boundary"),
        ("multipart/form-data; boundary=x", b"--x\r\n"),
        ("multipart/form-data; boundary=x", b"--x\r\nbad header\r\n\r\n\r\n--x--"),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\n\r\n--x--"),
        ("multipart/form-data; boundary=" + "x" * 10_000, b"--x--"),
        (
            "multipart/form-data; boundary=x; charset=bogus",
            b'--x\r\ncontent-disposition: form-data; name="operations"\r\n\r\n\xff\r\n--x--',
        ),
        (
            "multipart/form-data; boundary=x; charset=base64",
            b'--x\r\ncontent-disposition: form-data; name="operations"\r\n\r\n\xff\r\n--x--',
        ),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\ncontent-disposition: form-data; name="operations"\r\n\r\n\xff\xfe\r\n--x--',
        ),
    ],
)
async def test_a_broken_body_gives_400(
    client: httpx.AsyncClient, content_type: str, content: bytes
) -> None:
    """Whatever the parser makes of it."""
    headers = {"content-type": content_type, **PREFLIGHT}
    response = await client.post("/", content=content, headers=headers)
    assert response.status_code == 400
    assert response.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    pieces=st.lists(
        st.sampled_from(
            [
                b"--x",
                b"--",
                b"\r\n",
                b"\r\n\r\n",
                b"content-disposition: form-data",
                b'; name="operations"',
                b'; name="map"',
                b'; filename="a"',
                b"; filename*=utf-8''%ff",
                b"content-type: text/plain; charset=utf-16",
                b'{"query": "{ hello }"}',
                b"{}",
                b"\xff\x00",
            ]
        ),
        max_size=25,
    )
)
async def test_no_form_ever_fails_as_a_bug(pieces: list[bytes]) -> None:
    """Any sequence of a form's pieces gives data or 400."""
    app = build_app()
    headers = {"content-type": "multipart/form-data; boundary=x", **PREFLIGHT}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app.endpoint)) as client:
        response = await client.post("http://test/", content=b"".join(pieces), headers=headers)
    assert response.status_code in (200, 400)


async def test_an_upload_over_the_limit_gives_413() -> None:
    """Files count; the ordinary body limit does not apply to them."""
    app = build_app(body_bytes=1000, upload_bytes=10_000)
    fields = {
        "operations": operations(files=[None]),
        "map": json.dumps({"a": ["variables.files.0"]}),
    }
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app.endpoint), base_url="http://test"
    ) as client:
        assert (await send(client, fields, {"a": b"x" * 5000})).status_code == 200
        assert (await send(client, fields, {"a": b"x" * 20_000})).status_code == 413
        large = {**fields, "operations": fields["operations"].ljust(2000)}
        assert (await send(client, large, {"a": b"x"})).status_code == 400


async def test_an_upload_that_comes_too_slowly_gives_408() -> None:
    """Uploads have a time of their own."""
    app = build_app(upload_seconds=0.05)

    async def never() -> AsyncIterator[bytes]:
        yield b"--x\r\n"
        await asyncio.sleep(10)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app.endpoint)) as client:
        headers = {"content-type": "multipart/form-data; boundary=x", **PREFLIGHT}
        response = await client.post("http://test/", content=never(), headers=headers)
    assert response.status_code == 408


async def test_more_files_than_allowed_give_400(client: httpx.AsyncClient) -> None:
    """The eleventh."""
    names = [f"f{number}" for number in range(11)]
    fields = {
        "operations": operations(files=[None] * 11),
        "map": json.dumps({name: [f"variables.files.{i}"] for i, name in enumerate(names)}),
    }
    response = await send(client, fields, dict.fromkeys(names, b"x"))
    assert response.status_code == 400
