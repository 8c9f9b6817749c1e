"""Approved answers, questions without an answer, and why a reply is not grounded."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from models.approved_answer import ApprovedAnswer
from models.citation import Citation
from models.collection import Audience, Collection
from models.document import Document
from models.unanswered import UnansweredGroup, UnansweredQuestion
from models.user import Role
from rag.embedding.fake import FakeEmbedder
from rag.embedding.service import EmbeddingService
from resolvers.answers.approved import ApprovedAnswers
from resolvers.answers.audience import may_see_source
from resolvers.answers.unanswered import UnansweredQuestions
from resolvers.clock import SystemClock
from schema.node import row_id
from tests.application import Running
from tests.schema.operations import CHAT

pytestmark = pytest.mark.anyio

ASK = """mutation($i: SendMessageInput!) { ask(input: $i) { ... on SendMessagePayload {
  session { id } message { id } reply { id content grounded ungroundedReason status
    citations { number title quote headings startOffset endOffset score document { id content } }
    usage { provider model } } } } }"""
FIELDS = "id question answer quote document { id title }"
OUTCOME = f"""__typename ... on ApprovedAnswer {{ {FIELDS} }}
  ... on InvalidInput {{ field problem: message }} ... on NotFound {{ problem: message }}"""
APPROVE = f"mutation($i: ApproveAnswerInput!) {{ approveAnswer(input: $i) {{ {OUTCOME} }} }}"
UPDATE = f"""mutation($i: UpdateApprovedAnswerInput!) {{
  updateApprovedAnswer(input: $i) {{ {OUTCOME} }} }}"""
REMOVE = """mutation($id: ID!) { removeApprovedAnswer(id: $id) { __typename
  ... on Deleted { id } ... on NotFound { problem: message } } }"""
LIST = f"query {{ approvedAnswers(first: 5) {{ edges {{ node {{ {FIELDS} }} }} }} }}"
GROUP = "id question count state"
UNANSWERED = f"""query($s: UnansweredState, $first: Int, $after: String, $last: Int,
    $before: String) {{
  unanswered(state: $s, first: $first, after: $after, last: $last, before: $before) {{
    pageInfo {{ hasNextPage hasPreviousPage endCursor startCursor }}
    edges {{ node {{ {GROUP} }} }} }} }}"""
SET_STATE = f"""mutation($id: ID!, $s: UnansweredState!) {{
  setUnansweredState(id: $id, state: $s) {{ __typename
    ... on UnansweredGroup {{ {GROUP} }} ... on NotFound {{ problem: message }} }} }}"""
NODE = f"""query($id: ID!) {{ node(id: $id) {{ ... on ApprovedAnswer {{ {FIELDS} }}
  ... on UnansweredGroup {{ {GROUP} }} }} }}"""
DELETE = "mutation($id: ID!) { deleteSession(id: $id) { __typename } }"

QUESTION = "Can I bring my dog to the shop?"
PARAPHRASE = "Can I bring my dog into the shop with me?"


async def ask(app: Running, token: str, content: str, **more: Any) -> Any:
    answer = await app.data(ASK, {"i": {"content": content, **more}}, token)
    return answer["ask"]


async def approve(app: Running, token: str, **values: Any) -> Any:
    values = {"question": QUESTION, "answer": "Yes, on a lead.", **values}
    return (await app.data(APPROVE, {"i": values}, token))["approveAnswer"]


async def document_id(app: Running, token: str, title: str) -> str:
    data = await app.data("{ documents { edges { node { id title } } } }", token=token)
    nodes = [edge["node"] for edge in data["documents"]["edges"]]
    found: str = next(node["id"] for node in nodes if node["title"] == title)
    return found


@pytest.fixture
async def editor(offline: Running) -> str:
    return await offline.login("ed@example.com", Role.EDITOR)


@pytest.fixture
async def user(offline: Running) -> str:
    return await offline.login()


async def test_a_close_paraphrase_gets_the_approved_answer(
    offline: Running, editor: str, user: str
) -> None:
    """It comes as a reply with all its events, from the provider "approved"; other questions, also
    about the same with another number, are answered as ever."""
    approved = await approve(offline, editor)
    assert approved == {
        "__typename": "ApprovedAnswer",
        "id": approved["id"],
        "question": QUESTION,
        "answer": "Yes, on a lead.",
        "quote": None,
        "document": None,
    }
    events = [
        payload["data"]["chat"]
        async for payload in offline.subscribe(CHAT, {"i": {"content": PARAPHRASE}}, user)
    ]
    assert [(event["__typename"], event["seq"]) for event in events] == [
        ("ReplyStarted", 1),
        ("SourcesFound", 2),
        ("TextDelta", 3),
        ("ReplyEnded", 4),
    ]
    assert events[1]["hits"] == []
    assert events[2]["text"] == "Yes, on a lead."
    reply = events[3]["reply"]
    assert (reply["status"], reply["content"], reply["grounded"], reply["citations"]) == (
        "COMPLETE",
        "Yes, on a lead.",
        True,
        [],
    )
    assert (reply["usage"]["provider"], reply["usage"]["model"]) == ("approved", "approved-answer")
    for other in ("Can I bring 2 dogs to the shop?", "How long can I return an item?"):
        assert (await ask(offline, user, other))["reply"]["usage"]["provider"] == "offline"


async def test_an_approved_answer_has_its_source(offline: Running, editor: str, user: str) -> None:
    """The source is cited verbatim, with its offsets; an answer is not given any more when the
    document no longer says it."""
    returns = await document_id(offline, editor, "Returns")
    approved = await approve(
        offline, editor, answer="Keep it [3].", documentId=returns, quote="Keep the receipt."
    )
    assert approved["answer"] == "Keep it."
    assert approved["document"] == {"id": returns, "title": "Returns"}
    reply = (await ask(offline, user, QUESTION))["reply"]
    assert reply["content"] == "Keep it. [1]"
    (cited,) = reply["citations"]
    assert (cited["number"], cited["title"], cited["quote"], cited["score"]) == (
        1,
        "Returns",
        "Keep the receipt.",
        1.0,
    )
    content = cited["document"]["content"]
    assert content[cited["startOffset"] : cited["endOffset"]] == "Keep the receipt."
    # The sentence moves, and then it goes.
    await Document.filter(title="Returns").update(content="Oh! Keep the receipt.")
    moved = (await ask(offline, user, QUESTION))["reply"]["citations"][0]
    assert (moved["startOffset"], moved["endOffset"]) == (4, 21)
    await Document.filter(title="Returns").update(content="Throw the receipt away.")
    assert (await ask(offline, user, QUESTION))["reply"]["usage"]["provider"] == "offline"


async def test_the_source_may_be_a_passage_or_that_of_a_reply(
    offline: Running, editor: str
) -> None:
    """Without a quote it is the passage that fits best, with a message what the message cites."""
    kettle = await document_id(offline, editor, "Gooseneck kettle manual")
    passage = await approve(
        offline, editor, question="How often do I descale it?", documentId=kettle
    )
    assert passage["quote"].startswith("Descale the kettle once a month") or (
        "Descale the kettle once a month" in passage["quote"]
    )
    asked = await ask(offline, editor, "Within how many days of delivery can I return an item?")
    cited = asked["reply"]["citations"][0]
    assert cited["headings"] == ["Returns", "How long you have"]
    taken = await approve(
        offline, editor, question="How long can I return it?", messageId=asked["reply"]["id"]
    )
    assert (taken["quote"], taken["document"]["title"]) == (cited["quote"], "Returns")
    again = (await ask(offline, editor, "How long can I return it?"))["reply"]
    assert again["citations"][0]["headings"] == cited["headings"]
    ungrounded = await ask(offline, editor, "What is the capital of Mongolia?")
    without = await approve(
        offline, editor, question="Mongolia?", messageId=ungrounded["reply"]["id"]
    )
    assert without["quote"] is None


async def test_a_reply_is_no_source_once_not_all_it_cites_is_for_the_same_people(
    offline: Running, editor: str, user: str
) -> None:
    """Otherwise what a restricted or deleted document says would be given to everyone."""
    reply = (await ask(offline, editor, "Within how many days can I return an item?"))["reply"]
    key = row_id("ChatMessage", reply["id"])
    cited = await Citation.filter(message_id=key).order_by("number").first()
    assert cited is not None
    other = await Document.get(title="Shipping")
    second = await Citation.create(
        message_id=key, number=99, document=other, title="x", quote="x", start_offset=0,
        end_offset=1, score=1.0,
    )  # fmt: skip
    board = await Collection.create(name="Board", audience=Audience.NAMED)
    await Document.filter(id=other.id).update(collection_id=board.id)
    refused = await approve(offline, editor, messageId=reply["id"])
    assert (refused["__typename"], refused["field"]) == ("InvalidInput", "messageId")
    assert "documentId" in refused["problem"]
    await second.delete()
    assert (await approve(offline, editor, messageId=reply["id"]))["__typename"] == "ApprovedAnswer"
    delete = "mutation($id: ID!) { deleteDocument(id: $id) { __typename } }"
    await offline.data(delete, {"id": reply["citations"][0]["document"]["id"]}, editor)
    late = await approve(offline, editor, question="How many days?", messageId=reply["id"])
    assert (late["__typename"], late["field"]) == ("InvalidInput", "messageId")
    assert (await ask(offline, user, "How many days?"))["reply"]["usage"]["provider"] == "offline"
    assert await ApprovedAnswer.all().count() == 1


async def test_what_leans_on_the_conversation_or_is_narrowed_is_answered_anew(
    offline: Running, editor: str, user: str
) -> None:
    """Neither a follow-up, nor a question with a filter, nor a regenerated reply is a paraphrase
    of a question that stands alone."""
    await approve(offline, editor, question="How long does it take?")
    alone = await ask(offline, user, "How long does it take?")
    assert alone["reply"]["usage"]["provider"] == "approved"
    session = alone["session"]["id"]
    follow = await ask(offline, user, "How long does it take?", sessionId=session)
    assert follow["reply"]["usage"]["provider"] == "offline"
    narrowed = await ask(
        offline, user, "How long does it take?", filter={"categories": ["shipping"]}
    )
    assert narrowed["reply"]["usage"]["provider"] == "offline"
    again = await offline.data(
        "mutation($id: ID!) { regenerateReply(id: $id) { ... on SendMessagePayload "
        "{ reply { id } } } }",
        {"id": alone["reply"]["id"]},
        user,
    )
    assert again["regenerateReply"]["reply"]["id"] != alone["reply"]["id"]


async def test_approved_answers_are_changed_and_removed(
    offline: Running, editor: str, user: str
) -> None:
    """A change counts for the next question, in the list and by its id."""
    first = await approve(offline, editor)
    change = {"i": {"id": first["id"], "answer": "No."}}
    changed = (await offline.data(UPDATE, change, editor))["updateApprovedAnswer"]
    assert (changed["question"], changed["answer"]) == (QUESTION, "No.")
    assert (await ask(offline, user, PARAPHRASE))["reply"]["content"] == "No."
    listed = await offline.data(LIST, token=editor)
    del changed["__typename"]
    assert [edge["node"] for edge in listed["approvedAnswers"]["edges"]] == [changed]
    assert (await offline.data(NODE, {"id": first["id"]}, editor))["node"] == changed
    assert (await offline.data(NODE, {"id": first["id"]}, user))["node"] is None
    change = {"i": {"id": first["id"], "question": "Where do I park?"}}
    await offline.data(UPDATE, change, editor)
    assert (await ask(offline, user, PARAPHRASE))["reply"]["usage"]["provider"] == "offline"
    assert (await ask(offline, user, "Where do I park?"))["reply"]["content"] == "No."
    second = await approve(offline, editor)
    change = {"i": {"id": second["id"], "question": "Where do I park?"}}
    refused = (await offline.data(UPDATE, change, editor))["updateApprovedAnswer"]
    assert refused["field"] == "question"
    removed = (await offline.data(REMOVE, {"id": first["id"]}, editor))["removeApprovedAnswer"]
    assert removed == {"__typename": "Deleted", "id": first["id"]}
    assert (await ask(offline, user, "Where do I park?"))["reply"]["content"] != "No."
    gone = (await offline.data(REMOVE, {"id": first["id"]}, editor))["removeApprovedAnswer"]
    assert gone == {"__typename": "NotFound", "problem": "There is no such approved answer."}
    change = {"i": {"id": first["id"], "answer": "x"}}
    gone = (await offline.data(UPDATE, change, editor))["updateApprovedAnswer"]
    assert gone["__typename"] == "NotFound"


REFUSED: tuple[tuple[dict[str, str], str], ...] = (
    ({"question": " "}, "question"),
    ({"question": "x" * 2001}, "question"),
    ({"answer": " [1] "}, "answer"),
    ({"answer": "x" * 8001}, "answer"),
    ({"quote": "x"}, "quote"),
    ({"documentId": "Returns", "quote": "Not in there."}, "quote"),
    ({"documentId": "Returns", "quote": ""}, "quote"),
    ({"documentId": "nonsense"}, "NotFound"),
    ({"messageId": "nonsense"}, "NotFound"),
)


async def test_what_cannot_be_approved_is_told_and_changes_nothing(
    offline: Running, editor: str
) -> None:
    """The answer names the field; nothing is stored."""
    returns = await document_id(offline, editor, "Returns")
    for values, outcome in REFUSED:
        if values.get("documentId") == "Returns":
            values = {**values, "documentId": returns}
        refused = await approve(offline, editor, **values)
        assert refused.get("field", refused["__typename"]) == outcome
    assert await ApprovedAnswer.all().count() == 0


async def test_only_editors_approve(offline: Running, user: str) -> None:
    """Others are refused, and anonymous callers are told to log in."""
    values = {"i": {"question": "a", "answer": "b"}}
    update, by_id = {"i": {"id": "x"}}, {"id": "x"}
    for operation, variables in (
        (APPROVE, values),
        (UPDATE, update),
        (REMOVE, by_id),
        (LIST, None),
        (UNANSWERED, None),
        (SET_STATE, {"id": "x", "s": "SOLVED"}),
    ):
        assert await offline.code(operation, variables, user) == "FORBIDDEN"
        assert await offline.code(operation, variables) == "UNAUTHENTICATED"


async def test_changes_of_other_processes_are_followed(
    offline: Running, editor: str, user: str
) -> None:
    """What another process approves counts after the next poll; a model's change embeds anew."""
    await approve(offline, editor)
    services = offline.services
    embedding = EmbeddingService(lambda: FakeEmbedder(dimension=384))
    other = ApprovedAnswers(services.store, embedding, partial(may_see_source, services.store))
    assert await other.catch_up() is False  # the model is not loaded yet
    embedding.start()
    await other.load()
    row = await ApprovedAnswer.get(question=QUESTION)
    assert row.embedding_model == embedding.identity.key
    assert await other.catch_up() is False
    await ApprovedAnswer.all().delete()
    await other.count_change()
    assert await other.catch_up() is True
    assert other.is_empty
    assert await services.approved.catch_up() is True
    assert services.approved.is_empty
    await embedding.close()


async def test_a_reply_says_why_it_is_not_grounded(offline: Running, user: str) -> None:
    """No documents to search, or none relevant enough; a grounded reply has no reason."""
    far = (await ask(offline, user, "What is the capital of Mongolia?"))["reply"]
    assert (far["grounded"], far["ungroundedReason"]) == (False, "NOT_RELEVANT_ENOUGH")
    nothing = await ask(offline, user, "How long can I return it?", filter={"types": ["poem"]})
    assert nothing["reply"]["ungroundedReason"] == "NO_DOCUMENTS"
    near = (await ask(offline, user, "How long can I return an item?"))["reply"]
    assert (near["grounded"], near["ungroundedReason"]) == (True, None)


async def groups(app: Running, token: str, **variables: Any) -> Any:
    await app.app.state.unanswered.settle()
    return (await app.data(UNANSWERED, variables, token))["unanswered"]


async def test_an_approved_answer_solves_what_gets_it_now(app: Running) -> None:
    """Open groups of close paraphrases, and the one that is named; not those with other numbers,
    and not what was dismissed. A reworded question counts like a new one. On both databases."""
    user = await app.login()
    editor = await app.login("ed@example.com", Role.EDITOR)
    mongolia, cup, pope = (
        "What is the capital of Mongolia?",
        "Who won the football world cup in 1990?",
        "Who is the pope in Rome?",
    )
    for text in (mongolia, cup, "Who won the football world cup in 1994?", pope):
        await ask(app, user, text)
    page = await groups(app, editor)
    ids = {edge["node"]["question"]: edge["node"]["id"] for edge in page["edges"]}
    assert len(ids) == 4

    async def left() -> set[str]:
        page = await groups(app, editor)
        return {edge["node"]["question"] for edge in page["edges"]}

    await approve(app, editor, question="What is Mongolia's capital?", answer="Ulaanbaatar.")
    assert await left() == ids.keys() - {mongolia}
    refused = await approve(
        app, editor, question="Cup?", answer="Germany.", unansweredGroupId=ids[cup][:-2]
    )
    assert refused["__typename"] == "NotFound"
    assert await left() == ids.keys() - {mongolia}
    named = await approve(
        app, editor, question="Who was best then?", answer="We.", unansweredGroupId=ids[cup]
    )
    assert await left() == ids.keys() - {mongolia, cup}
    await app.data(SET_STATE, {"id": ids[cup], "s": "DISMISSED"}, editor)
    change = {"i": {"id": named["id"], "question": cup}}
    await app.data(UPDATE, change, editor)
    assert (await app.data(NODE, {"id": ids[cup]}, editor))["node"]["state"] == "DISMISSED"
    change = {"i": {"id": named["id"], "answer": "They."}}
    await app.data(UPDATE, change, editor)
    assert await left() == ids.keys() - {mongolia, cup}
    change = {"i": {"id": named["id"], "question": "Who is the pope of Rome?"}}
    await app.data(UPDATE, change, editor)
    assert await left() == {"Who won the football world cup in 1994?"}


async def test_unanswered_questions_are_grouped_by_meaning(app: Running) -> None:
    """The largest group comes first, with the question that began it; what is solved or dismissed
    leaves the list, and what is asked again after it was solved comes back. On both databases."""
    user = await app.login()
    editor = await app.login("ed@example.com", Role.EDITOR)
    asked = [
        "What is the capital of Mongolia?",
        "Who won the football world cup in 1990?",
        "What's the capital city of Mongolia?",
        "Who won the football world cup in 1994?",
    ]
    sessions = [(await ask(app, user, text))["session"]["id"] for text in asked]
    await ask(app, user, "How long can I return an item?")
    await ask(app, user, "x", filter={"types": ["poem"]})
    page = await groups(app, editor)
    nodes = [edge["node"] for edge in page["edges"]]
    assert [(node["question"], node["count"], node["state"]) for node in nodes] == [
        (asked[0], 2, "OPEN"),
        (asked[3], 1, "OPEN"),
        (asked[1], 1, "OPEN"),
    ]
    first = await groups(app, editor, first=1)
    assert first["pageInfo"]["hasNextPage"] is True
    rest = await groups(app, editor, after=first["pageInfo"]["endCursor"])
    assert [edge["node"] for edge in rest["edges"]] == nodes[1:]
    assert rest["pageInfo"]["hasPreviousPage"] is True
    back = await groups(app, editor, last=1, before=rest["pageInfo"]["startCursor"])
    assert [edge["node"] for edge in back["edges"]] == nodes[:1]
    assert back["pageInfo"]["hasPreviousPage"] is False
    for cursor in ("x", "WyIxIiwiMiIsIjMiXQ==", "WyIxIiwiMjAyNi0wMS0wMSIsIjMiXQ=="):
        assert await app.code(UNANSWERED, {"after": cursor}, editor) == "BAD_USER_INPUT"

    key = nodes[0]["id"]
    assert (await app.data(NODE, {"id": key}, editor))["node"] == nodes[0]
    assert (await app.data(NODE, {"id": key}, user))["node"] is None
    solved = await app.data(SET_STATE, {"id": key, "s": "SOLVED"}, editor)
    assert solved["setUnansweredState"]["state"] == "SOLVED"
    page = await groups(app, editor, s="SOLVED")
    assert [edge["node"]["question"] for edge in page["edges"]] == [asked[0]]
    await ask(app, user, "What is Mongolia's capital?")
    page = await groups(app, editor)
    assert (page["edges"][0]["node"]["id"], page["edges"][0]["node"]["count"]) == (key, 3)
    await app.data(SET_STATE, {"id": key, "s": "DISMISSED"}, editor)
    await ask(app, user, "What is the capital of Mongolia?")
    assert len((await groups(app, editor))["edges"]) == 2
    missing = await app.data(SET_STATE, {"id": "x", "s": "SOLVED"}, editor)
    assert missing["setUnansweredState"]["__typename"] == "NotFound"

    # Nothing of a deleted session stays.
    await app.data(DELETE, {"id": sessions[1]}, user)
    page = await groups(app, editor)
    assert [edge["node"]["question"] for edge in page["edges"]] == [asked[3]]
    missing = await app.data(SET_STATE, {"id": nodes[2]["id"], "s": "SOLVED"}, editor)
    assert missing["setUnansweredState"]["__typename"] == "NotFound"
    fresh = UnansweredQuestions(app.services.store, SystemClock())
    pipeline = await app.services.knowledge.pipeline()
    found = await pipeline.retrieve("Who won the football world cup in 1994?")
    message = await UnansweredQuestion.filter().first()
    assert message is not None
    fresh.begin(message.message_id, found, pipeline)  # noted already: nothing happens
    await fresh.settle()
    assert await UnansweredGroup.all().count() == 2


async def test_a_question_is_compared_with_the_newest_groups_only(app: Running) -> None:
    """However many there are: the oldest are let go of, and begin a new group if asked again."""
    user = await app.login()
    texts = ["What is the capital of Mongolia?", "Who won the world cup?", "Why is the sky blue?"]
    asked = [await ask(app, user, text) for text in texts]
    await app.app.state.unanswered.settle()
    keys = [row_id("ChatMessage", one["message"]["id"]) for one in asked]
    await UnansweredGroup.all().delete()
    few = UnansweredQuestions(app.services.store, SystemClock(), max_groups=2)
    pipeline = await app.services.knowledge.pipeline()
    model, groups = pipeline.embedding.identity.key, []
    for key, text in zip(keys, texts, strict=True):
        assert key is not None
        groups.append(await few.note(key, text, await pipeline.embedding.embed_query(text), model))
    assert len(set(groups)) == 3
    for text, group in ((texts[2], groups[2]), (texts[0], None)):
        again = (await ask(app, user, text))["message"]["id"]
        await app.app.state.unanswered.settle()
        key = row_id("ChatMessage", again)
        assert key is not None
        await UnansweredQuestion.filter(message_id=key).delete()
        vector = await pipeline.embedding.embed_query(text)
        assert (await few.note(key, text, vector, model) in groups) == (group is not None)
