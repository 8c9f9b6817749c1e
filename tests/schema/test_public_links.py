"""Public links through the real application."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from models.participant import PublicLink
from models.user import User
from resolvers import public_links
from tests.application import Running
from tests.schema.operations import ASK, SEND, STOP
from tests.schema.people import Group, Person, group

pytestmark = pytest.mark.anyio

QUESTION = "Within how many days of delivery can I return an item?"
LINK = """mutation Link($id: ID!, $m: ID) { createPublicLink(sessionId: $id, messageId: $m) {
  __typename
  ... on PublicLink { id token url createdAt message { id } }
  ... on InvalidInput { problem: message field }
  ... on NotFound { problem: message } } }"""
REVOKE = """mutation Revoke($id: ID!) { revokePublicLink(id: $id) { __typename
  ... on Deleted { id } ... on NotFound { problem: message } } }"""
PUBLIC = """query Public($t: String!, $first: Int, $after: String, $last: Int) {
  publicConversation(token: $t) { title
    messages(first: $first, after: $after, last: $last) {
      pageInfo { hasNextPage hasPreviousPage endCursor }
      edges { node { role status content authorName createdAt grounded
        citations { number title quote startOffset endOffset } } } } } }"""
NODE = "query($id: ID!) { node(id: $id) { __typename id } }"


async def ask(people: Group, content: str, **more: Any) -> Any:
    value = {"sessionId": people.session_id, "content": content, **more}
    return await people.owner.do(ASK, i=value)


async def link(person: Person, session_id: str, reply_id: str | None = None) -> Any:
    return await person.do(LINK, id=session_id, m=reply_id)


async def read(app: Running, token: str, **page: Any) -> Any:
    """What somebody without an account sees."""
    return (await app.data(PUBLIC, {"t": token, **page}))["publicConversation"]


def nodes(conversation: Any) -> list[Any]:
    return [edge["node"] for edge in conversation["messages"]["edges"]]


# ---- reading -------------------------------------------------------------------------------------


async def test_anyone_with_the_link_reads_the_session(app: Running) -> None:
    """Title, messages, names and citations, without a login; also what comes later."""
    people = await group(app)
    asked = await ask(people, QUESTION)
    made = await link(people.owner, people.session_id)
    assert made["url"] == f"{app.settings.base_url}/share/{made['token']}"
    assert made["message"] is None
    shown = await read(app, made["token"])
    assert shown["title"] == "Secret title"
    question, reply = nodes(shown)
    assert question["content"] == QUESTION
    assert question["authorName"] == "Anna"
    assert question["role"] == "USER"
    assert question["citations"] == []
    assert reply["authorName"] is None
    assert reply["content"] == asked["reply"]["content"]
    assert reply["status"] == "COMPLETE"
    assert reply["grounded"] is True
    wanted = ("number", "title", "quote", "startOffset", "endOffset")
    assert reply["citations"] == [
        {name: citation[name] for name in wanted} for citation in asked["reply"]["citations"]
    ]
    assert len(reply["citations"]) >= 1
    await ask(people, "And who pays for that?")
    assert len(nodes(await read(app, made["token"]))) == 4


async def test_a_link_to_one_reply_shows_only_that(app: Running) -> None:
    """The reply with its question, whose beginning is the title; nothing before or behind it."""
    people = await group(app)
    await ask(people, "How long does a parcel to Switzerland take?")
    asked = await ask(people, QUESTION)
    await ask(people, "How often must I descale the kettle?")
    made = await link(people.owner, people.session_id, asked["reply"]["id"])
    assert made["message"]["id"] == asked["reply"]["id"]
    shown = await read(app, made["token"], first=100)
    assert shown["title"] == QUESTION
    assert [node["content"] for node in nodes(shown)] == [QUESTION, asked["reply"]["content"]]
    assert shown["messages"]["pageInfo"]["hasNextPage"] is False
    text = str(shown)
    for hidden in ("Secret", "Switzerland", "descale"):
        assert hidden not in text


async def test_a_reply_of_a_hidden_branch_can_be_shown(scripted: Running) -> None:
    """A link to one reply stays with it, also when the session shows another branch."""
    people = await group(scripted)
    first = await ask(people, "First")
    hidden = await ask(people, "Hidden", parentId=first["reply"]["id"])
    made = await link(people.owner, people.session_id, hidden["reply"]["id"])
    whole = await link(people.owner, people.session_id)
    await ask(people, "Shown", parentId=first["reply"]["id"])
    assert nodes(await read(scripted, made["token"]))[0]["content"] == "Hidden"
    texts = [node["content"] for node in nodes(await read(scripted, whole["token"]))]
    assert texts[::2] == ["First", "Shown"]


async def test_messages_come_in_pages(scripted: Running) -> None:
    """Oldest first, at most 100 at a time, each once."""
    people = await group(scripted)
    for number in range(3):
        await ask(people, f"Number {number}")
    token = (await link(people.owner, people.session_id))["token"]
    seen: list[str] = []
    after = None
    while True:
        page = await read(scripted, token, first=4, after=after)
        seen += [node["content"] for node in nodes(page)]
        after = page["messages"]["pageInfo"]["endCursor"]
        if not page["messages"]["pageInfo"]["hasNextPage"]:
            break
    assert seen[::2] == ["Number 0", "Number 1", "Number 2"]
    assert len(seen) == 6
    assert len(nodes(await read(scripted, token, last=1))) == 1
    assert await scripted.code(PUBLIC, {"t": token, "first": 101}) == "BAD_USER_INPUT"


async def test_a_running_reply_shows_how_far_it_is(scripted: Running) -> None:
    """It is there without its text."""
    people = await group(scripted)
    scripted.generator.script = ["Some", asyncio.Event()]
    value = {"sessionId": people.session_id, "content": QUESTION}
    sent = await people.owner.do(SEND, i=value)
    token = (await link(people.owner, people.session_id))["token"]
    reply = nodes(await read(scripted, token))[1]
    assert reply["status"] in ("PENDING", "STREAMING")
    assert reply["content"] == ""
    await people.owner.do(STOP, id=sent["reply"]["id"])


async def test_no_address_is_shown(scripted: Running) -> None:
    """Not even of a person who chose the address as the name."""
    people = await group(scripted)
    await ask(people, QUESTION)
    scripted.services.store.bind()
    await User.filter(email=people.owner.email).update(display_name="Anna@Example.com")
    shown = await read(scripted, (await link(people.owner, people.session_id))["token"])
    assert nodes(shown)[0]["authorName"] == "anna"
    assert "example.com" not in str(shown).lower()


def test_the_public_types_have_no_way_out() -> None:
    """They reach nothing but each other: no ids, people, documents or sessions."""
    from graphql import GraphQLObjectType, get_named_type

    from schema.root import build_schema

    types = build_schema()._schema.type_map
    reached = {"PublicConversation"}
    waiting = ["PublicConversation"]
    while waiting:
        kind = types[waiting.pop()]
        if isinstance(kind, GraphQLObjectType):
            assert "id" not in kind.fields
            for field in kind.fields.values():
                name = get_named_type(field.type).name
                if name not in reached:
                    reached.add(name)
                    waiting.append(name)
    assert {name for name in reached if isinstance(types[name], GraphQLObjectType)} == {
        "PublicConversation",
        "PublicMessageConnection",
        "PublicMessageEdge",
        "PageInfo",
        "PublicMessage",
        "PublicCitation",
    }


# ---- the end of a link ---------------------------------------------------------------------------


async def test_a_revoked_link_shows_nothing(app: Running) -> None:
    """At once; a second revocation finds nothing, and other links stay."""
    people = await group(app)
    asked = await ask(people, QUESTION)
    one = await link(people.owner, people.session_id)
    other = await link(people.owner, people.session_id, asked["reply"]["id"])
    assert one["token"] != other["token"]
    revoked = await people.owner.do(REVOKE, id=one["id"])
    assert revoked == {"__typename": "Deleted", "id": one["id"]}
    assert await read(app, one["token"]) is None
    assert await read(app, other["token"]) is not None
    again = await people.owner.do(REVOKE, id=one["id"])
    assert again == {"__typename": "NotFound", "problem": "There is no such link."}
    listed = (await people.owner.read(people.session_id))["publicLinks"]
    assert [(row["id"], row["token"], row["message"]["id"]) for row in listed] == [
        (other["id"], other["token"], asked["reply"]["id"])
    ]
    assert await people.owner.do(NODE, id=one["id"]) is None
    found = await people.owner.do(NODE, id=other["id"])
    assert found == {"__typename": "PublicLink", "id": other["id"]}
    assert await people.writer.do(NODE, id=other["id"]) is None


async def test_a_link_goes_with_its_session(app: Running) -> None:
    """Deleting the session leaves links to nothing."""
    people = await group(app)
    asked = await ask(people, QUESTION)
    made = [
        await link(people.owner, people.session_id),
        await link(people.owner, people.session_id, asked["reply"]["id"]),
    ]
    delete = "mutation($id: ID!) { deleteSession(id: $id) { __typename } }"
    await people.owner.do(delete, id=people.session_id)
    assert [await read(app, one["token"]) for one in made] == [None, None]
    assert (await people.owner.do(REVOKE, id=made[0]["id"]))["__typename"] == "NotFound"


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "\ud800", "é" * 43, "x" * 5000])
async def test_a_wrong_token_shows_nothing(scripted: Running, token: str) -> None:
    """Whatever is sent, the answer is null."""
    assert await read(scripted, token) is None


async def test_a_changed_token_shows_nothing(scripted: Running) -> None:
    """Each character counts."""
    people = await group(scripted)
    token = (await link(people.owner, people.session_id))["token"]
    for place in range(len(token)):
        changed = "A" if token[place] != "A" else "B"
        assert await read(scripted, token[:place] + changed + token[place + 1 :]) is None
    assert await read(scripted, token) is not None


# ---- who may -------------------------------------------------------------------------------------


async def test_only_owners_make_see_and_revoke_links(scripted: Running) -> None:
    """A writer and a reader get FORBIDDEN, a stranger NotFound, the anonymous UNAUTHENTICATED."""
    people = await group(scripted)
    made = await link(people.owner, people.session_id)
    for operation, variables in ((LINK, {"id": people.session_id}), (REVOKE, {"id": made["id"]})):
        for someone in (people.writer, people.reader):
            assert await someone.code(operation, **variables) == "FORBIDDEN"
        refused = await people.stranger.do(operation, **variables)
        assert refused["__typename"] == "NotFound"
        assert await scripted.code(operation, variables) == "UNAUTHENTICATED"
        for wrong in ("", "x", people.owner.id):
            refused = await people.owner.do(operation, id=wrong)
            assert refused["__typename"] == "NotFound"
    for someone in (people.writer, people.reader):
        assert (await someone.read(people.session_id))["publicLinks"] == []
    assert len((await people.owner.read(people.session_id))["publicLinks"]) == 1
    assert await read(scripted, made["token"]) is not None
    assert await PublicLink.all().count() == 1


async def test_only_replies_of_the_session_can_be_shown(scripted: Running) -> None:
    """A question, a reply elsewhere and an id of nothing are refused, and make no link to more."""
    people = await group(scripted)
    asked = await ask(people, QUESTION)
    elsewhere = await people.stranger.do(ASK, i={"content": QUESTION})
    for wrong in (asked["message"]["id"], elsewhere["reply"]["id"], people.session_id, "x", ""):
        refused = await link(people.owner, people.session_id, wrong)
        assert refused["__typename"] == "InvalidInput"
        assert refused["field"] == "messageId"
    assert (await people.owner.read(people.session_id))["publicLinks"] == []


async def test_links_are_bounded(scripted: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many at a time; a revoked one makes room."""
    monkeypatch.setattr(public_links, "MAX_LINKS", 2)
    people = await group(scripted)
    made = [await link(people.owner, people.session_id) for _ in range(3)]
    assert [one["__typename"] for one in made] == ["PublicLink", "PublicLink", "InvalidInput"]
    await people.owner.do(REVOKE, id=made[0]["id"])
    assert (await link(people.owner, people.session_id))["__typename"] == "PublicLink"
