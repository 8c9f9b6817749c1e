"""Messages and replies through the real application."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rag.errors import ProviderTimeout
from rag.generation.base import UsageReport
from tests.application import Running, SubscriptionRefused
from tests.schema.asking import QUESTION, ask, follow, question, send
from tests.schema.operations import ASK, CHAT, FOLLOW, HISTORY, SEND, SESSIONS, STOP

pytestmark = pytest.mark.anyio

# ---- a reply's life ------------------------------------------------------------------------------


async def test_send_message_answers_before_the_reply_has_text(scripted: Running) -> None:
    """sendMessage returns the stored question and a reply that is still pending."""
    gate = asyncio.Event()
    scripted.generator.script = [gate, "Done."]
    token = await scripted.login()
    sent = await send(scripted, token)
    assert sent["message"]["content"] == QUESTION
    assert sent["reply"]["status"] == "PENDING"
    assert sent["reply"]["content"] == ""
    assert sent["reply"]["grounded"] is None
    gate.set()
    events = await follow(scripted, token, sent["reply"]["id"])
    assert events[-1]["reply"]["content"] == "Done."


async def test_closing_the_subscription_does_not_end_the_reply(scripted: Running) -> None:
    """The reply goes on without its reader, who resumes with `after` and misses nothing."""
    gate = asyncio.Event()
    scripted.generator.script = ["One ", "two ", gate, "three."]
    token = await scripted.login()
    seen: list[dict[str, Any]] = []
    stream = scripted.subscribe(CHAT, question(), token)
    async for payload in stream:
        seen.append(payload["data"]["chat"])
        if "two" in seen[-1].get("text", ""):
            break
    await stream.aclose()
    gate.set()
    reply_id = seen[0]["replyId"]
    rest = await follow(scripted, token, reply_id, after=seen[-1]["seq"])
    assert [event["seq"] for event in [*seen, *rest]] == list(range(1, len(seen) + len(rest) + 1))
    assert rest[-1]["reply"]["status"] == "COMPLETE"
    assert rest[-1]["reply"]["content"] == "One two three."
    assert scripted.generator.finished == 1


async def test_every_reader_sees_the_same_events(scripted: Running) -> None:
    """Readers that come early, late, or after the end get the same events, from any seq."""
    gate = asyncio.Event()
    scripted.generator.script = ["a ", "b ", gate, "c ", "d."]
    token = await scripted.login()
    sent = await send(scripted, token)
    reply_id = sent["reply"]["id"]
    early = [asyncio.create_task(follow(scripted, token, reply_id)) for _ in range(5)]
    await asyncio.sleep(0.1)
    late = asyncio.create_task(follow(scripted, token, reply_id, after=2))
    gate.set()
    first, *others = await asyncio.gather(*early)
    assert all(other == first for other in others)
    assert (await late) == first[2:]
    for after in range(len(first) + 2):
        assert await follow(scripted, token, reply_id, after) == first[after:]


async def test_stop_reply_keeps_what_was_generated(scripted: Running) -> None:
    """stopReply closes the generator's stream and ends the reply as STOPPED with its text."""
    scripted.generator.script = ["Kept", asyncio.Event(), "never"]
    token = await scripted.login()
    sent = await send(scripted, token)
    reply_id = sent["reply"]["id"]
    async for payload in scripted.subscribe(FOLLOW, {"id": reply_id}, token):
        if payload["data"]["reply"]["__typename"] == "TextDelta":
            break
    stopped = (await scripted.data(STOP, {"id": reply_id}, token))["stopReply"]
    assert stopped["status"] == "STOPPED"
    assert stopped["content"] == "Kept"
    assert stopped["failure"] is None
    assert scripted.generator.aborted == 1
    again = (await scripted.data(STOP, {"id": reply_id}, token))["stopReply"]
    assert again == stopped
    events = await follow(scripted, token, reply_id)
    assert events[-1]["reply"]["status"] == "STOPPED"


async def test_a_reply_stopped_before_it_began_still_ends(scripted: Running) -> None:
    """stopReply at once after sendMessage ends the reply as STOPPED, never leaves it pending."""
    scripted.generator.script = [asyncio.Event()]
    token = await scripted.login()
    for _ in range(20):
        sent = await send(scripted, token)
        stopped = (await scripted.data(STOP, {"id": sent["reply"]["id"]}, token))["stopReply"]
        assert stopped["status"] == "STOPPED"
        assert stopped["content"] == ""


async def test_a_failing_provider_ends_the_reply_with_a_sentence(scripted: Running) -> None:
    """A provider's failure is told in words; the question and the text so far stay."""
    scripted.generator.script = ["Partly", 0.05, ProviderTimeout("secret-host did not answer")]
    token = await scripted.login()
    asked = await ask(scripted, token)
    assert asked["reply"]["status"] == "FAILED"
    assert asked["reply"]["failure"] == ProviderTimeout.user_message
    assert asked["reply"]["content"] == "Partly"
    history = await scripted.data(HISTORY, {"id": asked["session"]["id"]}, token)
    contents = [edge["node"]["content"] for edge in history["session"]["messages"]["edges"]]
    assert contents == [QUESTION, "Partly"]


async def test_the_provider_s_usage_is_kept(scripted: Running) -> None:
    """Token counts that the provider reports are those of the reply."""
    scripted.generator.script = ["Yes.", UsageReport(prompt_tokens=321, completion_tokens=7)]
    token = await scripted.login()
    usage = (await ask(scripted, token))["reply"]["usage"]
    assert usage["promptTokens"] == 321
    assert usage["completionTokens"] == 7
    assert usage["model"] == "scripted"
    assert 0 <= usage["firstTokenMs"] <= usage["totalMs"]


async def test_markers_without_a_source_are_never_shown(scripted: Running) -> None:
    """[9] and [77], split over pieces, appear in no delta and not in the content; [1] stays."""
    scripted.generator.script = ["The period [", "9", "]", " is 45 days [1]", "[7", "7]."]
    token = await scripted.login()
    sent = await send(scripted, token)
    events = await follow(scripted, token, sent["reply"]["id"])
    shown = "".join(event.get("text", "") for event in events)
    assert shown == events[-1]["reply"]["content"]
    assert "[9" not in shown
    assert "[77" not in shown
    assert "[1]" in shown
    citations = events[-1]["reply"]["citations"]
    assert [citation["number"] for citation in citations] == [1]
    hit = events[1]["hits"][0]
    assert citations[0]["document"]["id"] == hit["document"]["id"]
    assert hit["startOffset"] <= citations[0]["startOffset"]
    assert citations[0]["endOffset"] <= hit["endOffset"]


async def test_earlier_turns_reach_the_prompt(scripted: Running) -> None:
    """The prompt of a follow-up holds the turns before it, in order, and the question last."""
    token = await scripted.login()
    first = await ask(scripted, token)
    await ask(scripted, token, "And who pays for that?", sessionId=first["session"]["id"])
    messages = scripted.generator.prompts[-1].messages
    assert messages[0].role == "system"
    assert [(message.role, message.content) for message in messages[1:3]] == [
        ("user", QUESTION),
        ("assistant", "Hello world."),
    ]
    assert messages[-1].role == "user"
    assert "And who pays for that?" in messages[-1].content


# ---- sending twice -------------------------------------------------------------------------------


async def test_the_same_client_key_gives_the_same_reply(scripted: Running) -> None:
    """However often and however concurrently a key is sent, there is one message and one reply."""
    token = await scripted.login()
    results = await asyncio.gather(*(send(scripted, token, clientKey="key-1") for _ in range(20)))
    assert len({result["reply"]["id"] for result in results}) == 1
    assert len({result["message"]["id"] for result in results}) == 1
    asked = await ask(scripted, token, clientKey="key-1")
    assert asked["reply"]["id"] == results[0]["reply"]["id"]
    streamed = [
        payload["data"]["chat"]
        async for payload in scripted.subscribe(CHAT, question(clientKey="key-1"), token)
    ]
    assert streamed[0]["replyId"] == results[0]["reply"]["id"]
    assert scripted.generator.finished == 1
    sessions = await scripted.data(SESSIONS, token=token)
    assert len(sessions["sessions"]["edges"]) == 1


async def test_the_same_client_key_at_once_in_a_session(scripted: Running) -> None:
    """Twenty times the same key at once, while the reply runs, is one question, not a refusal."""
    gate = asyncio.Event()
    token = await scripted.login()
    first = await ask(scripted, token)
    scripted.generator.script = [gate, "Done."]
    results = await asyncio.gather(
        *(
            send(scripted, token, "Next", sessionId=first["session"]["id"], clientKey="key")
            for _ in range(20)
        )
    )
    assert len({(one["message"]["id"], one["reply"]["id"]) for one in results}) == 1
    gate.set()


async def test_a_client_key_is_bound_to_its_content(scripted: Running) -> None:
    """The same key with another content is refused and changes nothing."""
    token = await scripted.login()
    first = await ask(scripted, token, clientKey="key-1")
    refused = await send(scripted, token, "Something else", clientKey="key-1")
    assert refused["__typename"] == "InvalidInput"
    assert refused["field"] == "clientKey"
    history = await scripted.data(HISTORY, {"id": first["session"]["id"]}, token)
    assert len(history["session"]["messages"]["edges"]) == 2


async def test_a_client_key_belongs_to_one_person(scripted: Running) -> None:
    """Two people may use the same key."""
    one = await ask(scripted, await scripted.login("a@example.com"), clientKey="k")
    two = await ask(scripted, await scripted.login("b@example.com"), clientKey="k")
    assert one["reply"]["id"] != two["reply"]["id"]


async def test_a_branch_has_one_running_reply(scripted: Running) -> None:
    """A second question on a branch whose reply is running is refused in words."""
    gate = asyncio.Event()
    scripted.generator.script = [gate, "Done."]
    token = await scripted.login()
    first = await send(scripted, token)
    refused = await send(scripted, token, "Next", sessionId=first["session"]["id"])
    assert refused["__typename"] == "InvalidInput"
    assert "still being written" in refused["problem"]
    gate.set()
    await follow(scripted, token, first["reply"]["id"])
    accepted = await send(scripted, token, "Next", sessionId=first["session"]["id"])
    assert accepted["__typename"] == "SendMessagePayload"


async def test_of_concurrent_questions_on_one_branch_one_wins(scripted: Running) -> None:
    """Ten questions at once at the same place: one is accepted, nine are refused, none is lost."""
    gate = asyncio.Event()
    token = await scripted.login()
    session_id = (await ask(scripted, token))["session"]["id"]
    scripted.generator.script = [gate, "Done."]
    results = await asyncio.gather(
        *(send(scripted, token, f"Number {n}", sessionId=session_id) for n in range(10))
    )
    kinds = [result["__typename"] for result in results]
    assert kinds.count("SendMessagePayload") == 1
    assert kinds.count("InvalidInput") == 9
    gate.set()
    history = await scripted.data(HISTORY, {"id": session_id}, token)
    assert len(history["session"]["messages"]["edges"]) == 4


# ---- branches ------------------------------------------------------------------------------------


async def test_a_question_after_an_earlier_reply_makes_a_branch(scripted: Running) -> None:
    """With parentId the conversation goes on from there, and the history shows that branch."""
    token = await scripted.login()
    first = await ask(scripted, token, "First question")
    session_id, first_reply = first["session"]["id"], first["reply"]["id"]
    await ask(scripted, token, "Second question", sessionId=session_id)
    await ask(
        scripted, token, "Another second question", sessionId=session_id, parentId=first_reply
    )
    history = await scripted.data(HISTORY, {"id": session_id}, token)
    nodes = [edge["node"] for edge in history["session"]["messages"]["edges"]]
    assert [node["content"] for node in nodes if node["role"] == "USER"] == [
        "First question",
        "Another second question",
    ]
    assert nodes[2]["parent"]["id"] == first_reply
    prompt = scripted.generator.prompts[-1].messages
    assert "Second question" not in [message.content for message in prompt]


async def test_a_hidden_branch_can_be_gone_on_with(scripted: Running) -> None:
    """A question after a reply on the hidden branch brings that branch back, whole."""
    token = await scripted.login()
    first = await ask(scripted, token, "Root")
    session_id = first["session"]["id"]
    hidden = await ask(scripted, token, "Hidden", sessionId=session_id)
    await ask(scripted, token, "Shown", sessionId=session_id, parentId=first["reply"]["id"])
    await ask(scripted, token, "Back", sessionId=session_id, parentId=hidden["reply"]["id"])
    history = await scripted.data(HISTORY, {"id": session_id}, token)
    nodes = [edge["node"] for edge in history["session"]["messages"]["edges"]]
    assert [node["content"] for node in nodes if node["role"] == "USER"] == [
        "Root",
        "Hidden",
        "Back",
    ]


@pytest.mark.parametrize("wrong", ["question", "other session", "unknown"])
async def test_a_parent_must_be_a_reply_of_the_session(scripted: Running, wrong: str) -> None:
    """A parent of any other kind is InvalidInput on parentId."""
    token = await scripted.login()
    one = await ask(scripted, token, "One")
    two = await ask(scripted, token, "Two")
    parent = {
        "question": one["message"]["id"],
        "other session": two["reply"]["id"],
        "unknown": "x",
    }[wrong]
    refused = await send(scripted, token, "Three", sessionId=one["session"]["id"], parentId=parent)
    assert refused["__typename"] == "InvalidInput"
    assert refused["field"] == "parentId"


# ---- content -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        "a" * 8000,
        "  leading and trailing  \n",
        "日本語 🎉 e\u0301",
        "a\r\nb\tc",
        "{{x}} ${y} <b>'\"--;",
    ],
)
async def test_content_is_stored_and_returned_unchanged(scripted: Running, content: str) -> None:
    """Up to 8,000 code points come back exactly as they were sent."""
    token = await scripted.login()
    asked = await ask(scripted, token, content)
    assert asked["message"]["content"] == content
    history = await scripted.data(HISTORY, {"id": asked["session"]["id"]}, token)
    assert history["session"]["messages"]["edges"][0]["node"]["content"] == content


@pytest.mark.parametrize("content", ["", "   \n ", "a" * 8001, "a\0b", "half \ud800 pair"])
async def test_unfit_content_is_refused_and_leaves_nothing(scripted: Running, content: str) -> None:
    """Empty, too long, NUL and lone surrogates are InvalidInput; no session is made."""
    token = await scripted.login()
    for operation, field in ((SEND, "sendMessage"), (ASK, "ask")):
        result = (await scripted.data(operation, question(content), token))[field]
        assert result["__typename"] == "InvalidInput"
        assert result["field"] == "content"
    with pytest.raises(SubscriptionRefused) as refused:
        async for _ in scripted.subscribe(CHAT, question(content), token):
            pass
    assert refused.value.errors[0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert refused.value.errors[0]["extensions"]["field"] == "content"
    sessions = await scripted.data(SESSIONS, token=token)
    assert sessions["sessions"]["edges"] == []


async def test_a_filter_restricts_the_sources(scripted: Running) -> None:
    """Only documents that fit are used, and the filter is part of what a key stands for."""
    token = await scripted.login()
    filtered = {"categories": ["shipping"]}
    sent = await send(scripted, token, "What does it cost?", filter=filtered, clientKey="f")
    events = await follow(scripted, token, sent["reply"]["id"])
    titles = {hit["document"]["title"] for hit in events[1].get("hits", [])}
    assert titles <= {"Shipping"}
    other = await send(scripted, token, "What does it cost?", clientKey="f")
    assert other["__typename"] == "InvalidInput"
