"""What people see of documents that are not for them, through the real application."""

from __future__ import annotations

import ast
import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from graphql import GraphQLObjectType, get_named_type

from models.chat_session import ChatSession, TitleSource
from models.document import Document
from models.outbox_mail import OutboxMail
from models.participant import Invitation
from models.reply_log import ReplyLog
from models.user import Role
from schema.node import global_id, row_id
from schema.root import build_schema
from tests.application import PASSWORD, Running
from tests.schema.operations import ASK, FOLLOW, REPLY, SEND, STOP
from tests.schema.people import CREATE, Group, Person, group, person, roles
from tests.schema.test_collections import CHANGE, MAKE, MOVE, NODE
from tests.schema.test_public_links import LINK, PUBLIC

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parent.parent.parent
QUESTION = "Within how many days of delivery can I return an item?"
# What only the restricted document says, and its title.
SECRET = ("45 days", "Returns")
EXPORT = "query($id: ID!) { exportSession(id: $id, format: JSON) { content } }"
LAST = f"""query($id: ID!) {{ session(id: $id) {{ messages(last: 1) {{ edges {{ node {{
  {REPLY} }} }} }} }} }}"""
REGENERATE = """mutation($id: ID!) { regenerateReply(id: $id) {
  ... on SendMessagePayload { reply { id } } } }"""
REGISTER = "mutation($i: RegisterInput!) { register(input: $i) { __typename } }"


@dataclass(frozen=True)
class World:
    """The document "Returns" is for Anna, Ben and Cleo, who share a session; not for Dora."""

    app: Running
    people: Group
    editor: Person
    collection: str
    document: str

    async def name(self, *people: Person) -> None:
        """Let these see it, and nobody else."""
        change = {"id": self.collection, "userEmails": [one.email for one in people]}
        assert (await self.editor.do(CHANGE, i=change))["__typename"] == "Collection"

    async def open(self) -> None:
        """Let everyone see it."""
        await self.editor.do(CHANGE, i={"id": self.collection, "audience": "PUBLIC"})

    async def ask(self, who: Person, *, alone: bool = False, **more: Any) -> Any:
        """The reply to the question, in the shared session or in a new one."""
        where = {} if alone else {"sessionId": self.people.session_id}
        asked = await who.do(ASK, i={"content": QUESTION, **where, **more})
        assert asked["__typename"] == "SendMessagePayload", asked
        return asked["reply"]


async def make_world(app: Running) -> World:
    people = await group(app)
    editor = await person(app, "Eve")
    await app.login("eve@example.com", Role.EDITOR)
    made = await editor.do(MAKE, i={"name": "Secret", "audience": "NAMED"})
    document = global_id("Document", (await Document.get(title="Returns")).id)
    await editor.do(MOVE, d=[document], c=made["id"])
    world = World(app, people, editor, made["id"], document)
    await world.name(people.owner, people.writer, people.reader)
    return world


def tells(answer: Any) -> bool:
    """Whether an answer holds anything of the restricted document."""
    return any(word in str(answer) for word in SECRET)


# ---- one's own searching and reading -------------------------------------------------------------

_DOCUMENT = "id title content source category collection { id name }"
_LISTED = f"{{ edges {{ node {{ {_DOCUMENT} }} }} }}"
_HITS = f"{{ text headings document {{ {_DOCUMENT} }} }}"
# Every way to a document or its passages that needs no conversation, and whether it searches.
WAYS = [
    (f"query {{ documents {_LISTED} }}", False),
    (f"query($d: ID!) {{ documents(filter: {{documentIds: [$d]}}) {_LISTED} }}", False),
    (f"query($c: ID!) {{ documents(filter: {{collectionIds: [$c]}}) {_LISTED} }}", False),
    (f"query($d: ID!) {{ node(id: $d) {{ ... on Document {{ {_DOCUMENT} }} }} }}", False),
    (f'query {{ searchKnowledge(query: "{QUESTION}") {_HITS} }}', True),
    (
        f'query($d: ID!) {{ searchKnowledge(query: "{QUESTION}", '
        f"filter: {{documentIds: [$d]}}) {_HITS} }}",
        True,
    ),
    (
        f'query($c: ID!) {{ searchKnowledge(query: "{QUESTION}", '
        f"filter: {{collectionIds: [$c]}}) {_HITS} }}",
        True,
    ),
]


async def test_every_way_to_a_document_asks_for_rights(app: Running) -> None:
    """Who may see it finds it on every way, and who may not on none. Who looks after documents
    reads all of them, and finds what its audience finds."""
    world = await make_world(app)
    ids = {"d": world.document, "c": world.collection}
    for way, searches in WAYS:
        used = {name: value for name, value in ids.items() if f"${name}:" in way}
        assert tells(await world.people.reader.do(way, **used)), way
        assert not tells(await world.people.stranger.do(way, **used)), way
        assert tells(await world.editor.do(way, **used)) is not searches, way


async def test_an_answer_is_made_of_what_its_reader_may_see(offline: Running) -> None:
    """Also where the question names the document, or its collection, and when the same question is
    answered again after the rights have changed."""
    world = await make_world(offline)
    assert tells(await world.ask(world.people.writer, alone=True))
    named = {"documentIds": [world.document], "collectionIds": [world.collection]}
    for who in (world.people.stranger, world.editor):
        assert not tells(await world.ask(who, alone=True))
        for filter in (named, {"collectionIds": [world.collection]}):
            reply = await world.ask(who, alone=True, filter=filter)
            assert reply["grounded"] is False
            assert not tells(reply)
    # The filter is kept with the question, the rights are not.
    await world.name(world.people.stranger)
    theirs = await world.ask(world.people.stranger, alone=True, filter=named)
    assert tells(theirs)
    await world.name()
    again = await world.people.stranger.do(REGENERATE, id=theirs["id"])
    stream = offline.subscribe(FOLLOW, {"id": again["reply"]["id"]}, world.people.stranger.token)
    events = [event["data"]["reply"] async for event in stream]
    assert events[-1]["reply"]["grounded"] is False
    assert not tells(events)


# ---- shared sessions -----------------------------------------------------------------------------


async def test_a_shared_session_is_answered_from_what_all_may_see(app: Running) -> None:
    """One who may not see it is enough, also if they only read; invitations do not count."""
    world = await make_world(app)
    people = world.people
    await people.owner.share(people.session_id, "new@example.com", "READER")
    first = await world.ask(people.owner)
    assert tells(first)
    await world.name(people.owner, people.writer)
    for who in (people.owner, people.writer):
        reply = await world.ask(who)
        assert not tells(reply)
        assert tells(await world.ask(who, alone=True))
    await people.owner.unshare(people.session_id, people.reader)
    assert tells(await world.ask(people.owner))


async def test_what_was_shown_stays_and_the_document_goes(offline: Running) -> None:
    """Who has lost the right still reads the answers and quotes that they got while they had it;
    the document behind them does not exist for them."""
    world = await make_world(offline)
    people = world.people
    reply = await world.ask(people.owner)
    await world.name(people.owner)
    for who, sees in ((people.owner, True), (people.writer, False)):
        (edge,) = (await who.do(LAST, id=people.session_id))["messages"]["edges"]
        shown = edge["node"]
        assert shown["content"] == reply["content"]
        quotes = [(one["title"], one["quote"]) for one in shown["citations"]]
        assert quotes == [(one["title"], one["quote"]) for one in reply["citations"]]
        returns = [one["document"] for one in shown["citations"] if one["title"] == "Returns"]
        assert returns
        assert all((one is not None) is sees for one in returns)
        events = offline.subscribe(FOLLOW, {"id": reply["id"], "a": 0}, who.token)
        (hits,) = [
            event["data"]["reply"]["hits"]
            async for event in events
            if event["data"]["reply"]["__typename"] == "SourcesFound"
        ]
        documents = [hit["document"] for hit in hits if "45 days" in hit["text"]]
        hidden = {"id": global_id("Document", UUID(int=0)), "title": ""}
        assert documents
        if sees:
            assert all(one["id"] == world.document for one in documents)
        else:
            assert all(one == hidden for one in documents)
        exported = (await who.do(EXPORT, id=people.session_id))["content"]
        assert ('"source": "returns.md"' in exported) is sees
    assert await people.owner.do(NODE, id=hidden["id"]) is None


# ---- joining later -------------------------------------------------------------------------------


async def test_a_session_is_not_shared_with_who_may_not_see_its_sources(app: Running) -> None:
    """Neither with an account nor with an address without one; nothing changed, no mail went out.
    It works once they may."""
    world = await make_world(app)
    people = world.people
    await world.ask(people.owner)
    before = await people.owner.read(people.session_id)
    sent = await OutboxMail.all().count()
    for email in (people.stranger.email, "new@example.com"):
        refused = await people.owner.share(people.session_id, email, "READER")
        assert (refused["__typename"], refused["field"]) == ("InvalidInput", "email")
        assert "documents that this person may not see" in refused["problem"]
    assert await people.owner.read(people.session_id) == before
    assert await OutboxMail.all().count() == sent
    # Other roles of people who are there are no joining.
    changed = await people.owner.share(people.session_id, people.reader.email, "WRITER")
    assert roles(changed)["cleo"] == "WRITER"
    await world.open()
    shared = await people.owner.share(people.session_id, people.stranger.email, "READER")
    assert roles(shared)["dora"] == "READER"
    invited = await people.owner.share(people.session_id, "new@example.com", "READER")
    assert [one["email"] for one in invited["invitations"]] == ["new@example.com"]


async def test_sources_count_where_they_are_now(offline: Running) -> None:
    """A reply from a document that was moved since, or from a log without a list of documents, is
    judged by the document's present collection; so are the near topics of a reply that found
    nothing, and a deleted document."""
    world = await make_world(offline)
    people = world.people
    await world.open()
    await world.ask(people.owner)
    logs = await ReplyLog.all()
    assert all(log.documents for log in logs)
    closed = {"id": world.collection, "audience": "NAMED", "userEmails": [people.owner.email]}
    await world.editor.do(CHANGE, i=closed)

    async def refused() -> bool:
        tried = await people.owner.share(people.session_id, people.stranger.email, "READER")
        if tried["__typename"] == "ChatSession":
            await people.owner.unshare(people.session_id, people.stranger)
        return bool(tried["__typename"] == "InvalidInput")

    assert await refused()
    await ReplyLog.all().update(documents=None)
    assert await refused()
    await offline.services.knowledge.remove(
        await Document.get(id=row_id("Document", world.document))
    )
    assert await refused()
    await ReplyLog.all().update(sources=None)
    assert not await refused()


async def test_an_invitation_waits_until_its_person_may_see_what_was_said(app: Running) -> None:
    """Who registers does not join a session that draws on what they may not see; the owner can
    share it once they may."""
    world = await make_world(app)
    people = world.people
    await people.owner.share(people.session_id, "new@example.com", "READER")
    other = (await people.owner.do(CREATE))["id"]
    await people.owner.share(other, "new@example.com", "READER")
    await world.ask(people.owner)
    await app.data(REGISTER, {"i": {"email": "new@example.com", "password": PASSWORD}})
    seen = await people.owner.read(people.session_id)
    assert "new" not in roles(seen)
    assert [one["email"] for one in seen["invitations"]] == ["new@example.com"]
    assert roles(await people.owner.read(other)) == {"anna": "OWNER", "new": "READER"}
    assert (await people.owner.share(people.session_id, "new@example.com", "READER"))[
        "field"
    ] == "email"
    await world.open()
    shared = await people.owner.share(people.session_id, "new@example.com", "READER")
    assert roles(shared)["new"] == "READER"
    assert shared["invitations"] == []
    assert await Invitation.all().count() == 0


async def test_nobody_joins_while_a_reply_is_written_from_what_they_may_not_see(
    scripted: Running,
) -> None:
    """What it is made from is not known yet; who sees as much as the others may join."""
    world = await make_world(scripted)
    people = world.people
    scripted.generator.script = ["One", asyncio.Event()]
    sent = await people.owner.do(SEND, i={"sessionId": people.session_id, "content": QUESTION})
    refused = await people.owner.share(people.session_id, people.stranger.email, "READER")
    assert refused["problem"].startswith("A reply is being written")
    await world.name(people.owner, people.writer, people.reader, people.stranger)
    shared = await people.owner.share(people.session_id, people.stranger.email, "READER")
    assert roles(shared)["dora"] == "READER"
    await people.owner.do(STOP, id=sent["reply"]["id"])


async def test_who_joins_before_the_search_counts(scripted: Running) -> None:
    """Rights are asked for once the question is stored: a person who joined just before it is one
    of those who read the answer."""
    world = await make_world(scripted)
    people = world.people
    shared = await people.owner.share(people.session_id, people.stranger.email, "READER")
    assert roles(shared)["dora"] == "READER"
    assert not tells(await world.ask(people.owner))


# ---- public links --------------------------------------------------------------------------------


async def test_a_public_link_shows_no_reply_from_restricted_documents(app: Running) -> None:
    """Neither its text nor its sources, nor a title that was made from it; as soon as the document
    is open to everyone, they are shown."""
    world = await make_world(app)
    people = world.people
    reply = await world.ask(people.owner)
    about_kettles = {
        "content": "How often must I descale the kettle?",
        "filter": {"types": ["manual"]},
    }
    await people.owner.do(ASK, i={"sessionId": people.session_id, **about_kettles})
    whole = (await people.owner.do(LINK, id=people.session_id))["token"]
    one = (await people.owner.do(LINK, id=people.session_id, m=reply["id"]))["token"]
    session = ChatSession.filter(id=row_id("ChatSession", people.session_id))
    await session.update(title="Returns within 45 days", title_source=TitleSource.MODEL)

    async def read(token: str) -> Any:
        query = PUBLIC.replace("grounded", "grounded withheld")
        return (await app.data(query, {"t": token}))["publicConversation"]

    shown = await read(whole)
    assert not tells(shown)
    assert shown["title"] == QUESTION
    nodes = [edge["node"] for edge in shown["messages"]["edges"]]
    assert [node["withheld"] for node in nodes] == [False, True, False, False]
    assert (nodes[1]["content"], nodes[1]["citations"]) == ("", [])
    assert nodes[3]["content"]
    assert nodes[3]["citations"]
    assert not tells(await read(one))
    await world.open()
    for token in (whole, one):
        shown = await read(token)
        assert tells(shown["messages"])
        assert not any(edge["node"]["withheld"] for edge in shown["messages"]["edges"])
    assert (await read(whole))["title"] == "Returns within 45 days"


# ---- that nothing is forgotten -------------------------------------------------------------------


def test_every_field_that_leads_to_documents_is_known() -> None:
    """A new field with documents or passages has to be looked at, tried above, and named here.
    Mutations of documents are for who may read all of them."""
    leading = {"Document", "SearchHit", "Citation", "PublicCitation", "SessionExport"}
    fields = {
        f"{kind.name}.{name}"
        for kind in build_schema()._schema.type_map.values()
        if isinstance(kind, GraphQLObjectType) and kind.name != "Mutation"
        for name, field in kind.fields.items()
        if get_named_type(field.type).name in leading
    }
    assert fields == {
        # Approved answers are for EDITOR and ADMIN, who may read all documents.
        "ApprovedAnswer.document",
        "ChatMessage.citations",
        "Citation.document",
        "DocumentEdge.node",
        "MovedDocuments.documents",
        "PublicMessage.citations",
        "Query.exportSession",
        "Query.searchKnowledge",
        # explainRetrieval is for EDITOR and ADMIN, who may read all documents.
        "RetrievalCandidate.document",
        "SearchHit.document",
        "SourcesFound.hits",
    }


def test_every_search_for_a_person_asks_for_rights() -> None:
    """Nothing but these functions retrieves; the command line, whose user owns the database, is the
    one that needs no rights."""
    callers: dict[str, bool] = {}
    for folder in ("resolvers", "schema", "jobs", "web", "."):
        for file in (ROOT / folder).glob("*.py" if folder == "." else "**/*.py"):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            for function in ast.walk(tree):
                if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                    continue
                called = {
                    call.func.attr
                    for call in ast.walk(function)
                    if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
                }
                if called & {"retrieve", "retrieve_sources"}:
                    name = f"{file.relative_to(ROOT).as_posix()}:{function.name}"
                    callers[name] = "narrowed" in called
    assert callers == {
        "resolvers/replies/service.py:_retrieve": True,
        "resolvers/knowledge/search.py:search_knowledge": True,
        # For an EDITOR, who may read all documents, within one that is named.
        "resolvers/answers/approving.py:_best_passage": False,
        "commands.py:ask": False,
    }
