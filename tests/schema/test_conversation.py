"""Messages between people, and when the assistant answers them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from models.chat_message import ChatMessage
from rag.embedding.base import Embedder
from rag.generation.scripted import ScriptedGenerator
from resolvers.session_bus import MessageAdded
from schema.node import parse_global_id
from tests.application import Running, running_app, test_settings
from tests.schema.operations import ASK, FOLLOW, HISTORY, SEND
from tests.schema.people import CREATE, Group, Person, group, person

pytestmark = pytest.mark.anyio

POST = """
mutation Post($i: PostMessageInput!) { postMessage(input: $i) { __typename
  ... on PostMessagePayload {
    session { id title } message { id content role status parent { id } author { id } }
    reply { id status parent { id } } }
  ... on InvalidInput { problem: message field }
  ... on NotFound { problem: message } } }
"""
MODE = """
mutation Mode($id: ID!, $a: AnswerMode!) { setAnswerMode(id: $id, answers: $a) { __typename
  ... on ChatSession { answers } ... on NotFound { problem: message } } }
"""


async def post(person: Person, session_id: str, content: str, **more: Any) -> Any:
    return await person.do(POST, i={"sessionId": session_id, "content": content, **more})


async def ask(person: Person, session_id: str, content: str, **more: Any) -> Any:
    return await person.do(ASK, i={"sessionId": session_id, "content": content, **more})


async def shown(person: Person, session_id: str) -> list[str]:
    """The texts of the active branch."""
    history = await person.do(HISTORY, id=session_id, first=100)
    return [edge["node"]["content"] for edge in history["messages"]["edges"]]


async def ended(person: Person, reply_id: str) -> None:
    """Wait for the end of a reply."""
    async for _ in person.app.subscribe(FOLLOW, {"id": reply_id}, person.token):
        pass


@pytest.fixture
async def app(
    anyio_backend: str, database_url: str, tmp_path: Path, embedder: Embedder
) -> AsyncIterator[Running]:
    """The application on each kind of database, with a generator that plays a script."""
    generator = ScriptedGenerator(["Hello", " world", " [1]."])
    settings = test_settings(tmp_path, database_url)
    async with running_app(settings, embedder=embedder, generator=generator) as running:
        yield running


async def quiet(app: Running) -> Group:
    """A session in which the assistant answers what addresses it."""
    people = await group(app)
    changed = await people.owner.do(MODE, id=people.session_id, a="ADDRESSED")
    assert changed == {"__typename": "ChatSession", "answers": "ADDRESSED"}
    return people


# ---- when the assistant answers ------------------------------------------------------------------


async def test_people_write_to_each_other(app: Running) -> None:
    """A message that addresses nobody is only a message, behind the one before it."""
    people = await quiet(app)
    one = await post(people.owner, people.session_id, "Has anyone read this?")
    assert one["reply"] is None
    assert one["message"]["status"] == "COMPLETE"
    assert one["message"]["role"] == "USER"
    assert one["message"]["parent"] is None
    two = await post(people.writer, people.session_id, "Yes, I have.")
    assert two["message"]["parent"]["id"] == one["message"]["id"]
    assert two["message"]["author"]["id"] == people.writer.id
    for someone in (people.owner, people.writer, people.reader):
        assert await shown(someone, people.session_id) == ["Has anyone read this?", "Yes, I have."]
    assert app.generator.prompts == []


@pytest.mark.parametrize(
    ("content", "answered"),
    [
        ("@assistant how long can I return an item?", True),
        ("How long can I return an item, @Assistant?", True),
        ("(@ASSISTANT)", True),
        ("How long can I return an item?", False),
        ("Ask the assistant.", False),
        ("Write to me@assistant.example", False),
        ("@assistants are everywhere", False),
        ("@assistant_2", False),
    ],
)
async def test_the_assistant_answers_what_addresses_it(
    scripted: Running, content: str, answered: bool
) -> None:
    """The word @assistant anywhere, in any case, not as a part of another word."""
    people = await quiet(scripted)
    posted = await post(people.writer, people.session_id, content)
    assert (posted["reply"] is not None) == answered
    assert posted["message"]["content"] == content
    if answered:
        assert posted["reply"]["parent"]["id"] == posted["message"]["id"]


async def test_by_default_the_assistant_answers_everything(scripted: Running) -> None:
    """ALL is the setting that a session begins with."""
    people = await group(scripted)
    assert (await people.reader.read(people.session_id))["answers"] == "ALL"
    posted = await post(people.writer, people.session_id, "How long can I return an item?")
    assert posted["reply"]["status"] == "PENDING"


async def test_an_explicit_question_is_always_answered(scripted: Running) -> None:
    """sendMessage and ask are for the assistant, whatever the setting is."""
    people = await quiet(scripted)
    asked = await ask(people.writer, people.session_id, "How long can I return an item?")
    assert asked["reply"]["status"] == "COMPLETE"


# ---- beside a running reply ----------------------------------------------------------------------


async def test_people_go_on_writing_while_a_reply_runs(app: Running) -> None:
    """Their messages stand behind the running reply; who wants an answer waits for its end."""
    people = await quiet(app)
    gate = asyncio.Event()
    app.generator.script = ["One", gate, " two."]
    running = await post(people.owner, people.session_id, "@assistant count!")
    reply_id = running["reply"]["id"]
    first = await post(people.writer, people.session_id, "It counts.")
    assert first["message"]["parent"]["id"] == reply_id
    second = await post(people.owner, people.session_id, "It does.")
    assert second["message"]["parent"]["id"] == first["message"]["id"]
    for refused in (
        await post(people.writer, people.session_id, "@assistant and now?"),
        await people.writer.do(SEND, i={"sessionId": people.session_id, "content": "And now?"}),
    ):
        assert refused["__typename"] == "InvalidInput"
        assert refused["field"] == "sessionId"
        assert "still being written" in refused["problem"]
    edited = await people.writer.do(
        """mutation($id: ID!) { editMessage(id: $id, content: "And now?") {
             __typename ... on InvalidInput { field } } }""",
        id=first["message"]["id"],
    )
    assert edited == {"__typename": "InvalidInput", "field": "id"}
    gate.set()
    await ended(people.owner, reply_id)
    texts = ["@assistant count!", "One two.", "It counts.", "It does."]
    assert await shown(people.reader, people.session_id) == texts
    asked = await ask(people.writer, people.session_id, "And now?")
    assert asked["message"]["parent"]["id"] == second["message"]["id"]
    assert await shown(people.reader, people.session_id) == [*texts, "And now?", "One two."]


async def test_messages_at_the_same_moment_are_all_kept(app: Running) -> None:
    """Twenty at once make one chain of twenty."""
    people = await quiet(app)
    posted = await asyncio.gather(
        *(
            post(people.owner if n % 2 else people.writer, people.session_id, f"Number {n}")
            for n in range(20)
        )
    )
    assert sorted(await shown(people.owner, people.session_id)) == sorted(
        f"Number {n}" for n in range(20)
    )
    parents = [one["message"]["parent"] for one in posted]
    assert len({parent["id"] for parent in parents if parent}) == 19
    assert parents.count(None) == 1


async def test_the_last_message_may_be_named_as_parent(scripted: Running) -> None:
    """parentId takes a person's message where the branch ends with it, and no other."""
    people = await quiet(scripted)
    first = await post(people.owner, people.session_id, "First")
    last = await post(people.owner, people.session_id, "Last")
    refused = await ask(
        people.writer, people.session_id, "Question", parentId=first["message"]["id"]
    )
    assert refused["field"] == "parentId"
    asked = await ask(people.writer, people.session_id, "Question", parentId=last["message"]["id"])
    assert asked["message"]["parent"]["id"] == last["message"]["id"]


# ---- what the model sees -------------------------------------------------------------------------


async def test_the_prompt_says_who_wrote_what(app: Running) -> None:
    """With several writers each turn of a person has its name; the question is without address."""
    people = await quiet(app)
    await ask(people.owner, people.session_id, "@assistant How long can I return an item?")
    await post(people.writer, people.session_id, "Good to know.")
    await ask(people.writer, people.session_id, "@Assistant, who pays for that?")
    _, *turns = app.generator.prompts[-1].messages
    assert [(turn.role, turn.content) for turn in turns] == [
        ("user", "Anna: @assistant How long can I return an item?"),
        ("assistant", "Hello world."),
        ("user", "Ben: Good to know."),
        ("user", "who pays for that?"),
    ]


async def test_one_writer_needs_no_name(scripted: Running) -> None:
    """A session in which one person writes has the prompt that it always had."""
    people = await quiet(scripted)
    await post(people.owner, people.session_id, "I have a kettle.")
    await ask(people.owner, people.session_id, "How do I descale it?")
    _, *turns = scripted.generator.prompts[-1].messages
    assert [turn.content for turn in turns] == ["I have a kettle.", "How do I descale it?"]


# ---- sending twice -------------------------------------------------------------------------------


async def test_the_same_key_gives_the_same_message(app: Running) -> None:
    """However often and however concurrently it is posted, there is one message."""
    people = await quiet(app)
    results = await asyncio.gather(
        *(post(people.owner, people.session_id, "Once", clientKey="k") for _ in range(10))
    )
    assert len({result["message"]["id"] for result in results}) == 1
    assert await shown(people.owner, people.session_id) == ["Once"]
    refused = await post(people.owner, people.session_id, "Twice", clientKey="k")
    assert refused["__typename"] == "InvalidInput"
    assert refused["field"] == "clientKey"
    other = await post(people.writer, people.session_id, "Once", clientKey="k")
    assert other["message"]["id"] != results[0]["message"]["id"]


async def test_a_key_keeps_its_outcome(scripted: Running) -> None:
    """What was posted without an answer stays so, also when the setting has changed or the key
    comes back as a question; what was answered gives its reply, not what was written behind."""
    people = await quiet(scripted)
    first = await post(people.owner, people.session_id, "Once", clientKey="k")
    await people.owner.do(MODE, id=people.session_id, a="ALL")
    assert (await post(people.owner, people.session_id, "Once", clientKey="k")) == first
    refused = await ask(people.owner, people.session_id, "Once", clientKey="k")
    assert refused["field"] == "clientKey"
    assert len(await shown(people.owner, people.session_id)) == 1
    answered = await ask(people.owner, people.session_id, "Again", clientKey="q")
    again = await post(people.owner, people.session_id, "Again", clientKey="q")
    assert again["reply"]["id"] == answered["reply"]["id"]


async def test_a_key_opens_no_session_that_one_has_left(scripted: Running) -> None:
    """Who was removed gets NotFound for a key that worked before, from every way of sending."""
    people = await quiet(scripted)
    sent = {"sessionId": people.session_id, "content": "Mine", "clientKey": "k"}
    await people.writer.do(POST, i=sent)
    asked = {"sessionId": people.session_id, "content": "Mine too", "clientKey": "q"}
    await people.writer.do(ASK, i=asked)
    await people.owner.unshare(people.session_id, people.writer)
    for operation, value in ((POST, sent), (POST, asked), (ASK, asked), (SEND, asked)):
        refused = await people.writer.do(operation, i=value)
        assert refused == {"__typename": "NotFound", "problem": "There is no such session."}
    del asked["sessionId"]
    assert (await people.writer.do(ASK, i=asked))["__typename"] == "NotFound"


# ---- who may -------------------------------------------------------------------------------------


async def test_who_may_post(scripted: Running) -> None:
    """Owners and writers; a refused message is not there."""
    people = await quiet(scripted)
    value = {"sessionId": people.session_id, "content": "Hello"}
    for content in ("Hello", "@assistant hello"):
        value["content"] = content
        assert await people.reader.code(POST, i=value) == "FORBIDDEN"
        refused = await people.stranger.do(POST, i=value)
        assert refused == {"__typename": "NotFound", "problem": "There is no such session."}
        assert await scripted.code(POST, {"i": value}) == "UNAUTHENTICATED"
        for wrong in ("", "x", people.owner.id):
            refused = await people.owner.do(POST, i={**value, "sessionId": wrong})
            assert refused["__typename"] == "NotFound"
    assert await shown(people.owner, people.session_id) == []


async def test_who_may_set_when_it_answers(scripted: Running) -> None:
    """Its owners; a refused change is none."""
    people = await group(scripted)
    variables = {"id": people.session_id, "a": "ADDRESSED"}
    for someone in (people.writer, people.reader):
        assert await someone.code(MODE, **variables) == "FORBIDDEN"
    assert (await people.stranger.do(MODE, **variables))["__typename"] == "NotFound"
    assert await scripted.code(MODE, variables) == "UNAUTHENTICATED"
    assert (await people.owner.read(people.session_id))["answers"] == "ALL"


@pytest.mark.parametrize("content", ["", "  \n", "a" * 8001, "a\0b", "half \ud800 pair"])
async def test_unfit_messages_are_refused(scripted: Running, content: str) -> None:
    """The same texts are refused as in a question, and nothing is left behind."""
    people = await quiet(scripted)
    refused = await post(people.owner, people.session_id, content)
    assert refused["__typename"] == "InvalidInput"
    assert refused["field"] == "content"
    assert await shown(people.owner, people.session_id) == []
    refused = await post(people.owner, people.session_id, "Hello", clientKey="k" * 201)
    assert refused["field"] == "clientKey"


async def test_a_message_is_announced_once_it_is_stored(app: Running) -> None:
    """Who follows the session is told of it, and finds it in the database; the list moves up."""
    people = await quiet(app)
    other = await people.owner.do(CREATE)
    parsed = parse_global_id(people.session_id)
    assert parsed is not None
    following = app.services.sessions.follow(parsed[1])
    event = asyncio.ensure_future(anext(following))
    await asyncio.sleep(0)
    posted = await post(people.writer, people.session_id, "Hello")
    key = parse_global_id(posted["message"]["id"])
    assert key is not None
    assert await asyncio.wait_for(event, 5) == MessageAdded(key[1])
    await following.aclose()
    app.services.store.bind()
    assert await ChatMessage.exists(id=key[1])
    listed = await people.owner.do("{ sessions { edges { node { id } } } }")
    ids = [edge["node"]["id"] for edge in listed["edges"]]
    assert ids == [people.session_id, other["id"]]


async def test_the_name_of_a_person_who_is_gone(scripted: Running) -> None:
    """A turn without an author says so, in place of a name."""
    people = await quiet(scripted)
    await post(people.writer, people.session_id, "I was here.")
    scripted.services.store.bind()
    await ChatMessage.all().update(author_id=None)
    newcomer = await person(scripted, "Eve")
    await people.owner.share(people.session_id, newcomer.email)
    await ask(newcomer, people.session_id, "Who?")
    assert scripted.generator.prompts[-1].messages[1].content == "Someone: I was here."
