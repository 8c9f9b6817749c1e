"""Several people in one session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.application import PASSWORD, Running

SESSION = """
  id title myRole answers
  participants { role user { id email } }
  invitations { email role }
  publicLinks { id token url message { id } }
"""
OUTCOME = f"""__typename
  ... on ChatSession {{ {SESSION} }}
  ... on InvalidInput {{ problem: message field }}
  ... on NotFound {{ problem: message }}
"""
SHARE = f"""mutation Share($id: ID!, $e: String!, $r: ParticipantRole!) {{
  shareSession(id: $id, email: $e, role: $r) {{ {OUTCOME} }} }}"""
UNSHARE = f"""mutation Unshare($id: ID!, $u: ID!) {{
  unshareSession(id: $id, userId: $u) {{ {OUTCOME} }} }}"""
CANCEL = f"""mutation Cancel($id: ID!, $e: String!) {{
  cancelInvitation(id: $id, email: $e) {{ {OUTCOME} }} }}"""
READ = f"query Read($id: ID!) {{ session(id: $id) {{ {SESSION} }} }}"
CREATE = 'mutation { createSession(title: "Secret title") { ... on ChatSession { id } } }'


@dataclass(frozen=True)
class Person:
    """Someone who is logged in."""

    app: Running
    email: str
    id: str
    token: str

    async def do(self, operation: str, **variables: Any) -> Any:
        """The one field of an operation that must not have errors."""
        (result,) = (await self.app.data(operation, variables, self.token)).values()
        return result

    async def code(self, operation: str, **variables: Any) -> str:
        return await self.app.code(operation, variables, self.token)

    async def share(self, session_id: str, email: str, role: str = "WRITER") -> Any:
        return await self.do(SHARE, id=session_id, e=email, r=role)

    async def unshare(self, session_id: str, person: Person) -> Any:
        return await self.do(UNSHARE, id=session_id, u=person.id)

    async def read(self, session_id: str) -> Any:
        return await self.do(READ, id=session_id)


async def person(app: Running, name: str) -> Person:
    """Someone with an account, logged in; the display name is `name`."""
    email = f"{name.lower()}@example.com"
    await app.data(
        "mutation($i: RegisterInput!) { register(input: $i) { __typename } }",
        {"i": {"email": email, "password": PASSWORD, "displayName": name}},
    )
    token = await app.login(email)
    me = await app.data("{ me { id } }", token=token)
    return Person(app, email, me["me"]["id"], token)


@dataclass(frozen=True)
class Group:
    """One session with a person of each role in it, and one outside."""

    session_id: str
    owner: Person
    writer: Person
    reader: Person
    stranger: Person


async def group(app: Running) -> Group:
    """Anna owns it, Ben writes, Cleo reads; Dora has nothing to do with it."""
    anna, ben, cleo, dora = [await person(app, name) for name in ("Anna", "Ben", "Cleo", "Dora")]
    session_id = (await anna.do(CREATE))["id"]
    await anna.share(session_id, ben.email, "WRITER")
    await anna.share(session_id, cleo.email, "READER")
    return Group(session_id, anna, ben, cleo, dora)


def roles(session: Any) -> dict[str, str]:
    """Who takes part how, by the name before the @."""
    return {
        part["user"]["email"].partition("@")[0]: part["role"] for part in session["participants"]
    }
