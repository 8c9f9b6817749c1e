"""Giving people other roles."""

from __future__ import annotations

import asyncio

import pytest

from models.user import Role, User
from tests.application import Running
from tests.schema.people import person
from tests.schema.test_documents import ADD

pytestmark = pytest.mark.anyio

SET = "mutation($u: ID!, $r: Role!) { setUserRole(userId: $u, role: $r) { id role } }"
DOCUMENT = {"title": "T", "content": "text"}


async def test_a_role_counts_at_once(offline: Running) -> None:
    """Whoever becomes EDITOR may add documents with the token they have; as USER no more."""
    admin = await offline.login("adam@example.com", Role.ADMIN)
    anna = await person(offline, "Anna")
    assert await anna.code(ADD, i=DOCUMENT) == "FORBIDDEN"
    assert await anna.code(SET, u=anna.id, r="ADMIN") == "FORBIDDEN"
    assert await offline.code(SET, {"u": anna.id, "r": "ADMIN"}) == "UNAUTHENTICATED"
    given = await offline.data(SET, {"u": anna.id, "r": "EDITOR"}, admin)
    assert given["setUserRole"] == {"id": anna.id, "role": "EDITOR"}
    assert (await anna.do(ADD, i=DOCUMENT))["__typename"] == "Document"
    await offline.data(SET, {"u": anna.id, "r": "USER"}, admin)
    assert await anna.code(ADD, i=DOCUMENT) == "FORBIDDEN"
    assert (await offline.data(SET, {"u": "x", "r": "USER"}, admin))["setUserRole"] is None


async def test_there_is_always_an_admin(offline: Running) -> None:
    """The last one cannot give the role up, and of two who do at once one stays."""
    admin = await offline.login("adam@example.com", Role.ADMIN)
    adam = (await offline.data("{ me { id } }", token=admin))["me"]["id"]
    assert await offline.code(SET, {"u": adam, "r": "USER"}, admin) == "BAD_USER_INPUT"
    anna = await person(offline, "Anna")
    await offline.data(SET, {"u": anna.id, "r": "ADMIN"}, admin)
    answers = await asyncio.gather(
        offline.post(SET, {"u": adam, "r": "USER"}, admin),
        offline.post(SET, {"u": anna.id, "r": "USER"}, anna.token),
    )
    assert sum("errors" in answer for answer in answers) == 1
    assert await User.filter(role=Role.ADMIN).count() == 1
