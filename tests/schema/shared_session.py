"""A session of three people, and who follows it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from models.participant import Participant, ParticipantRole
from models.user import User
from resolvers.session_bus import ParticipantsChanged
from schema.node import parse_global_id
from tests.application import Running
from tests.follower import Follower, following
from tests.schema.operations import ASK

PEOPLE = ("ann@example.com", "ben@example.com", "cem@example.com")
EVENTS = """subscription($id: ID!) { sessionEvents(id: $id) { __typename sessionId
  ... on MessageAdded { message { id status content author { email } } }
  ... on MessageChanged { message { id status content } }
  ... on ParticipantsChanged { participants { user { email } role } }
  ... on SessionChanged { session { title } }
  ... on PresenceChanged { present { email } }
  ... on TypingChanged { user { email } typing }
  ... on ReadChanged { user { email } message { id } readAt }
  ... on AccessEnded { reason } } }"""
SET_TYPING = """mutation($id: ID!, $t: Boolean!) { setTyping(sessionId: $id, typing: $t) {
  __typename ... on Acknowledged { ok } ... on NotFound { message } } }"""
MARK_READ = """mutation($id: ID!) { markRead(messageId: $id) { __typename
  ... on Participant { user { email } readUpTo { id } readAt } ... on NotFound { message } } }"""
LOGOUT = "mutation($e: Boolean) { logout(everywhere: $e) { ok } }"
RENAME = """mutation($id: ID!, $t: String!) {
  renameSession(id: $id, title: $t) { ... on ChatSession { title } } }"""
MODE = """mutation($id: ID!, $a: AnswerMode!) { setAnswerMode(id: $id, answers: $a) {
  ... on ChatSession { id } } }"""
POST = """mutation($i: PostMessageInput!) { postMessage(input: $i) { __typename
  ... on PostMessagePayload { message { id } } } }"""
UNSHARE = """mutation($id: ID!, $u: ID!) {
  unshareSession(id: $id, userId: $u) { __typename } }"""
DELETE = "mutation($id: ID!) { deleteSession(id: $id) { __typename } }"


@dataclass
class Shared:
    """A session of three people: an owner, a writer and a reader."""

    app: Running
    id: str
    tokens: list[str]
    question: dict[str, Any]
    reply: dict[str, Any]

    @property
    def key(self) -> UUID:
        return row_id(self.id)

    async def ask(self, token: str, content: str = "And then?") -> dict[str, Any]:
        variables = {"i": {"content": content, "sessionId": self.id}}
        result: dict[str, Any] = (await self.app.data(ASK, variables, token))["ask"]
        assert result["__typename"] == "SendMessagePayload", result
        return result

    async def add(self, email: str, role: ParticipantRole) -> None:
        """What shareSession writes, as another process would: nobody here is told."""
        self.app.services.store.bind()
        user = await User.get(email=email)
        now = self.app.services.clock.now()
        await Participant.create(session_id=self.key, user=user, role=role, active_at=now)

    async def remove(self, email: str) -> None:
        """What unshareSession writes, as another process would: nobody here is told."""
        self.app.services.store.bind()
        assert await Participant.filter(session_id=self.key, user__email=email).delete()

    def tell_participants(self) -> None:
        self.app.services.sessions.publish(self.key, ParticipantsChanged())


def row_id(id: str) -> UUID:
    parsed = parse_global_id(id)
    assert parsed is not None
    return parsed[1]


def emails(event: dict[str, Any]) -> set[str]:
    assert event["__typename"] == "PresenceChanged", event
    return {user["email"] for user in event["present"]}


async def make_shared(app: Running) -> Shared:
    tokens = [await app.login(email) for email in PEOPLE]
    asked = (await app.data(ASK, {"i": {"content": "How long?"}}, tokens[0]))["ask"]
    shared = Shared(app, asked["session"]["id"], tokens, asked["message"], asked["reply"])
    await shared.add(PEOPLE[1], ParticipantRole.WRITER)
    await shared.add(PEOPLE[2], ParticipantRole.READER)
    return shared


async def enter(stack: AsyncExitStack, shared: Shared, token: str) -> Follower:
    """A follower who has seen the first event."""
    follower = await stack.enter_async_context(following(shared.app, token, EVENTS, id=shared.id))
    assert (await follower.event())["__typename"] == "PresenceChanged"
    return follower


async def gather(stack: AsyncExitStack, shared: Shared) -> list[Follower]:
    """All three, each of whom has seen the others come."""
    followers: list[Follower] = []
    for number, token in enumerate(shared.tokens, start=1):
        newest = await enter(stack, shared, token)
        for follower in followers:
            assert emails(await follower.event()) == set(PEOPLE[:number])
        followers.append(newest)
    return followers
