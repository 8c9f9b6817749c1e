"""A person who owns one object of each kind, and others who must not see them."""

from __future__ import annotations

import json
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from models.base import new_id
from models.sign_in import SignInIdentity
from models.unanswered import UnansweredGroup, UnansweredQuestion
from models.user import Role
from schema.node import global_id, row_id
from schema.root import build_schema
from tests.application import (
    Running,
    SubscriptionRefused,
)
from tests.schema.generated import operation, root_fields
from tests.schema.people import Person, person

# Stands in every text of the owner's.
MARK: Final = "Zwetschgenknoedel"
SCHEMA = build_schema()._schema
FIELDS = root_fields(SCHEMA)


# The name in an id where it is not the kind's own.
TYPES: Final = {"Question": "ChatMessage", "Reply": "ChatMessage"}


@dataclass(frozen=True)
class World:
    """Olga owns one object of each kind; Nils has a session of his own, Eve is an editor and Adam
    an administrator. `rows` is the database when Olga's world was complete."""

    app: Running
    owner: Person
    other: Person
    editor: Person
    admin: Person
    ids: dict[str, str]
    secrets: tuple[str, ...]
    rows: dict[tuple[str, str], str]

    def missing(self, kind: str) -> str:
        return global_id(TYPES.get(kind, kind), new_id())

    async def call(self, name: str, values: dict[str, Any], token: str | None) -> Any:
        """The answer of a root field, of a subscription the first payload."""
        text = operation(name, FIELDS[name], SCHEMA)
        if name.startswith("Subscription."):
            try:
                async with aclosing(self.app.subscribe(text, values, token)) as payloads:
                    return await anext(payloads)
            except SubscriptionRefused as refused:
                return {"errors": refused.errors}
        if name != "Mutation.uploadDocument":
            return await self.app.post(text, values, token)
        response = await self.app.http.post(
            self.app.url,
            data={
                "operations": json.dumps({"query": text, "variables": values}),
                "map": json.dumps({"0": ["variables.input.file"]}),
            },
            files={"0": ("words.txt", b"Words of a file.")},
            headers={
                "graphql-preflight": "1",
                **({"authorization": f"Bearer {token}"} if token else {}),
            },
        )
        return response.json()

    async def changed(self, before: dict[tuple[str, str], str]) -> list[tuple[str, str]]:
        """Rows that are new, gone or other than before. When a login was last used may change."""
        now = await snapshot()
        return sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))

    async def owner_changed(self) -> list[tuple[str, str]]:
        """Likewise, of what was there when Olga's world was complete and is not Nils's own."""
        now, nils = await snapshot(), str(row_id("User", self.other.id))
        return sorted(
            key for key, row in self.rows.items() if nils not in row and now.get(key) != row
        )


async def snapshot() -> dict[tuple[str, str], str]:
    """Every row of every table, by table and key, but for events of what was refused."""
    connection = UnansweredGroup._meta.db
    tables = await connection.execute_query_dict(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' "
        "AND name NOT LIKE 'message_search%' AND sql NOT LIKE 'CREATE VIRTUAL%'"
    )
    found: dict[tuple[str, str], str] = {}
    for table in tables:
        name = table["name"]
        for row in await connection.execute_query_dict(f'SELECT * FROM "{name}"'):  # noqa: S608
            if name == "security_event" and row["outcome"] == "REFUSED":
                continue
            text = repr(sorted(row.items()))
            found[name, str(row.get("id", text))] = text
    return found


MAKE = {
    "group": """mutation($n: String!) {
      createGroup(name: $n) { ... on UserGroup { id } } }""",
    "collection": """mutation($i: CreateCollectionInput!) {
      createCollection(input: $i) { ... on Collection { id } } }""",
    "document": """mutation($i: AddDocumentInput!) {
      addDocument(input: $i) { ... on Document { id } } }""",
    "session": """mutation($t: String) { createSession(title: $t) {
      ... on ChatSession { id } } }""",
    "ask": """mutation($i: SendMessageInput!) { ask(input: $i) {
      ... on SendMessagePayload { message { id } reply { id } } } }""",
    "link": """mutation($s: ID!) { createPublicLink(sessionId: $s) {
      __typename ... on PublicLink { id token } } }""",
    "approved": """mutation($i: ApproveAnswerInput!) { approveAnswer(input: $i) {
      ... on ApprovedAnswer { id } } }""",
    "key": """mutation { createApiKey(input: {name: "program", scopes: [READ]}) {
      ... on CreatedApiKey { apiKey { id } } } }""",
    "tags": """mutation($s: ID!, $t: [String!]!) { tagSession(id: $s, tags: $t) {
      __typename } }""",
}


async def conversation(who: Person, words: str) -> dict[str, str]:
    """A session with a question and its reply, and a link to it."""
    session = (await who.do(MAKE["session"], t=words))["id"]
    asked = await who.do(MAKE["ask"], i={"sessionId": session, "content": f"{words}?"})
    await who.do(MAKE["tags"], s=session, t=[words])
    link = await who.do(MAKE["link"], s=session)
    return {
        "ChatSession": session,
        "Question": asked["message"]["id"],
        "Reply": asked["reply"]["id"],
        "PublicLink": link["id"],
        "token": link["token"],
    }


async def make_world(app: Running) -> World:
    owner, other, editor, admin = [
        await person(app, name) for name in (f"Olga{MARK}", "Nils", "Eve", "Adam")
    ]
    await app.login(editor.email, Role.EDITOR)
    await app.login(admin.email, Role.ADMIN)
    collection = await editor.do(
        MAKE["collection"], i={"name": MARK, "audience": "NAMED", "userEmails": [owner.email]}
    )
    document = await editor.do(
        MAKE["document"],
        i={"title": MARK, "content": f"{MARK} secret.", "collectionId": collection["id"]},
    )
    mine = await conversation(owner, MARK)
    approved = await editor.do(
        MAKE["approved"],
        i={"question": f"{MARK}?", "answer": f"{MARK}!", "documentId": document["id"]},
    )
    row = await UnansweredGroup.create(vector=b"", embedding_model="fake")
    await UnansweredQuestion.create(group=row, message_id=row_id("ChatMessage", mine["Question"]))
    identity = await SignInIdentity.create(
        user_id=row_id("User", owner.id),
        provider="keycloak",
        issuer="https://id.example",
        subject=MARK,
        email=f"{MARK}@id.example",
    )
    ids = {
        **mine,
        "SignInIdentity": global_id("SignInIdentity", identity.id),
        "User": owner.id,
        "Login": (await owner.do("{ logins { id } }"))[0]["id"],
        "ApiKey": (await owner.do(MAKE["key"]))["apiKey"]["id"],
        "Collection": collection["id"],
        "Document": document["id"],
        "UserGroup": (await admin.do(MAKE["group"], n=MARK))["id"],
        "ApprovedAnswer": approved["id"],
        "UnansweredGroup": global_id("UnansweredGroup", row.id),
    }
    secrets = (MARK.lower(), owner.email.lower(), ids.pop("token").lower())
    rows = await snapshot()
    app.generator.script = ["Fine."]
    return World(app, owner, other, editor, admin, ids, secrets, rows)
