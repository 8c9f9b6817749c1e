"""The language model's provider fails: each failure is typed, quick, and loses nothing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.faults.client import STOP, check_numbers, client_of, text_of
from tests.faults.conftest import start, wired
from tests.wire import openai_server as openai
from tests.wire.server import Script, slowly

pytestmark = pytest.mark.anyio

BUSY = "The language model is busy at the moment. Please try again in a minute."
LATE = "The language model took too long to answer. Please try again."
GONE = "The language model could not be reached. Please try again in a moment."
PROBLEMS: list[tuple[str, list[Script], str, str]] = [
    # What, what the provider does, text so far, what the person is told.
    ("429", [openai.rate_limited()] * 3, "", BUSY),
    ("quota", [openai.quota_used_up()], "", "The language model's quota is used up."),
    ("500", [openai.error(500)] * 3, "", GONE),
    ("stall", [openai.stalled("Half ", "an answer")], "Half an answer", LATE),
    ("stall at once", [openai.stalled()], "", LATE),
    ("close", [openai.broken_off("Half ", "an answer")], "Half an answer", GONE),
    ("reset", [openai.broken_off("Half", reset=True)], "Half", GONE),
    ("polite end", [openai.unfinished("Half")], "Half", GONE),
]


async def test_every_failure_is_told_and_keeps_the_question(
    tmp_path: Path, anyio_backend: str, wire: openai.OpenAIWireServer
) -> None:
    """429, 500, a stall and an early end: FAILED with a sentence within seconds; question and text
    stay in the history; the server answers the next question."""
    settings = wired(wire, FIRST_TOKEN_TIMEOUT="1", NEXT_TOKEN_TIMEOUT="1")
    with start(tmp_path, **settings) as process:
        async with client_of(process.url) as client:
            await process.wait_until("/readyz")
            await client.log_in()
            async with client.socket() as socket:
                for name, scripts, text, told in PROBLEMS:
                    asked = len(wire.requests)
                    wire.enqueue(*scripts)
                    begun = time.monotonic()
                    reading = await socket.chat(f"How long is the return period? {name}")
                    await socket.wait(reading, seconds=10)
                    # Three tries with pauses of 0.5 and 1 s, or one time-out of 1 s.
                    assert time.monotonic() - begun < 4, name
                    assert len(wire.requests) - asked == len(scripts), name
                    check_numbers(reading.events)
                    assert (reading.errors, reading.complete) == ([], True)
                    end = reading.events[-1]["reply"]
                    assert end["status"] == "FAILED", name
                    assert end["failure"].startswith(told), name
                    assert end["content"] == text_of(reading.events) == text, name
                    session = reading.events[0]["session"]["id"]
                    question, reply = await client.messages(session)
                    assert question["content"] == f"How long is the return period? {name}"
                    assert (reply["status"], reply["content"]) == ("FAILED", text)
                reading = await socket.chat("How long is the return period?")
                await socket.wait(reading)
                assert reading.events[-1]["reply"]["status"] == "COMPLETE"
            process.terminate()
            assert process.wait() == 0
    assert "Traceback" not in process.output, process.output


async def test_a_stop_reaches_the_provider(
    tmp_path: Path, anyio_backend: str, wire: openai.OpenAIWireServer
) -> None:
    """`stopReply` closes the provider's stream within a second, in its silence as well as between
    two pieces; what was generated stays, for the reader, the caller and the history."""
    with start(tmp_path, **wired(wire)) as process:
        async with client_of(process.url) as client:
            await process.wait_until("/readyz")
            await client.log_in()
            scripts: list[Script] = [
                openai.stalled("Kept ", "text"),
                lambda request: slowly(openai.answer(*["word "] * 1000)(request), 0.02),
            ]
            async with client.socket() as socket:
                for number, script in enumerate(scripts, start=1):
                    wire.enqueue(script)
                    reading = await socket.chat("How long is the return period?")
                    await socket.wait(reading, events=4)
                    begun = time.monotonic()
                    stopped = (await client.data(STOP, id=reading.reply_id))["stopReply"]
                    assert wire.wait_for_disconnect(1, count=number)
                    assert time.monotonic() - begun < 1
                    await socket.wait(reading)
                    check_numbers(reading.events)
                    end = reading.events[-1]["reply"]
                    assert end["status"] == "STOPPED"
                    assert end["failure"] is None
                    assert end["content"] == text_of(reading.events) != ""
                    assert stopped == {
                        "status": "STOPPED",
                        "content": end["content"],
                        "failure": None,
                    }
                    _, reply = await client.messages(reading.events[0]["session"]["id"])
                    assert (reply["status"], reply["content"]) == ("STOPPED", end["content"])
            # A reader who leaves stops nothing.
            wire.enqueue(lambda request: slowly(openai.answer(*["word "] * 20)(request), 0.02))
            async with client.socket() as socket:
                reading = await socket.chat("How long is the return period?")
                await socket.wait(reading, events=3)
            events = await client.read(reading.reply_id)
            assert events[: len(reading.events)] == reading.events
            assert events[-1]["reply"]["status"] == "COMPLETE"
            assert events[-1]["reply"]["content"] == ("word " * 20)
