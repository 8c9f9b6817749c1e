"""Public links: anyone who has one may read a session, or one reply of it, until it is revoked."""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from uuid import UUID

from models.chat_message import ChatMessage, MessageRole
from models.chat_session import ChatSession, TitleSource
from models.participant import OWNERS, Participant, PublicLink
from models.security_event import EventKind
from resolvers.access import require_part
from resolvers.audit import note
from resolvers.context import Context, Services
from resolvers.errors import Forbidden, InvalidInput, NotFound
from resolvers.knowledge.audiences import withheld_from_public
from resolvers.paging import Page, PageRequest, id_page
from resolvers.replies.start import lock_session
from resolvers.text import one_line
from resolvers.tokens import TokenService
from texts import fill

# Links of one session that are in force.
MAX_LINKS = 50
TITLE_LENGTH = 80

_PURPOSE = b"public link"
_SIGNATURE = 16  # bytes


@dataclass(frozen=True, slots=True)
class PublicConversation:
    """What a link shows: the session, or of it only `reply` with its question."""

    title: str
    session: ChatSession
    reply: ChatMessage | None


@dataclass(frozen=True, slots=True)
class PublicMessage:
    """A message that a link shows. Of a reply that is `withheld`, neither text nor sources are
    shown: it was made from documents that are not open to everyone."""

    row: ChatMessage
    withheld: bool


def link_token(tokens: TokenService, link_id: UUID) -> str:
    """The token of a link: its id and the first half of a signature of that, in base64url.

    It is made anew each time, so nothing secret is stored, and with another SECRET_KEY it is
    another one.
    """
    return _token(link_id, tokens.sign(_PURPOSE, link_id.bytes))


def read_link_token(tokens: TokenService, token: str) -> UUID | None:
    """The id of the link that the token was made for; None for anything that was not made here."""
    try:
        link_id = UUID(bytes=base64.b64decode(token[:43] + "=", altchars=b"-_")[:16])
    except (binascii.Error, ValueError):
        return None
    # Compared as text, which has bits that decoding ignores. The text may hold anything.
    sent = token.encode("utf-8", "replace")
    for signature in tokens.signatures(_PURPOSE, link_id.bytes):
        if hmac.compare_digest(_token(link_id, signature).encode(), sent):
            return link_id
    return None


def _token(link_id: UUID, signature: bytes) -> str:
    return base64.urlsafe_b64encode(link_id.bytes + signature[:_SIGNATURE]).decode().rstrip("=")


def link_url(services: Services, link_id: UUID) -> str:
    """Where a front end shows the link."""
    return f"{services.mailer.base_url}/share/{link_token(services.tokens, link_id)}"


async def create_public_link(
    context: Context, session_id: UUID | None, reply_id: UUID | None
) -> PublicLink:
    """Let anyone who has the link read a session, or only one reply and its question.

    Raises:
        Unauthenticated, NotFound, Forbidden
        InvalidInput: the message is no reply of this session, or there are too many links.
    """
    session = (await require_part(context, session_id, OWNERS)).session
    if reply_id is not None and not await ChatMessage.exists(
        id=reply_id, session_id=session.id, role=MessageRole.ASSISTANT
    ):
        raise InvalidInput("messageId", "The message must be a reply in this session.")
    store = context.services.store
    async with store.transaction():
        await lock_session(store, session.id)
        if await PublicLink.filter(session_id=session.id, revoked_at=None).count() >= MAX_LINKS:
            raise InvalidInput(
                "sessionId",
                fill(
                    "A conversation has at most {maximum} public links; revoke one first.",
                    maximum=MAX_LINKS,
                ),
            )
        link = await PublicLink.create(
            session_id=session.id, reply_id=reply_id, created_at=context.services.clock.now()
        )
        await note(context, EventKind.PUBLIC_LINK_CREATED, about=("PublicLink", link.id))
    return link


async def revoke_public_link(context: Context, link_id: UUID | None) -> UUID:
    """End a link: from now on it shows nothing.

    Raises:
        Unauthenticated, Forbidden
        NotFound: there is no such link in force for the viewer.
    """
    viewer = context.require_viewer()
    link = None if link_id is None else await PublicLink.get_or_none(id=link_id, revoked_at=None)
    part = None if link is None else await Participant.find(viewer.id, link.session_id)
    if link is None or part is None:
        raise NotFound("link")
    if part.role not in OWNERS:
        raise Forbidden
    now = context.services.clock.now()
    async with context.services.store.transaction():
        if not await PublicLink.filter(id=link.id, revoked_at=None).update(revoked_at=now):
            raise NotFound("link")
        await note(context, EventKind.PUBLIC_LINK_REVOKED, about=("PublicLink", link.id))
    return link.id


async def get_public_link(context: Context, link_id: UUID) -> PublicLink | None:
    """A link in force in a session that the viewer owns.

    Raises:
        Unauthenticated
    """
    viewer = context.require_viewer()
    return await PublicLink.get_or_none(
        id=link_id,
        revoked_at=None,
        session__participants__user_id=viewer.id,
        session__participants__role__in=OWNERS,
    )


async def read_public_conversation(services: Services, token: str) -> PublicConversation | None:
    """What a link shows to everyone, now; None for a token that is wrong, or whose link is revoked
    or gone with its session.

    The title of a session may be its first question, so one reply has its own question's. And it
    may be made from its first replies, so where one is withheld, the first question gives it.
    """
    link_id = read_link_token(services.tokens, token)
    if link_id is None:
        return None
    link = await PublicLink.get_or_none(id=link_id, revoked_at=None).select_related("session")
    if link is None:
        return None
    if link.reply_id is None:
        title = await _public_title(services, link.session)
        return PublicConversation(title, link.session, None)
    reply = await ChatMessage.get_or_none(
        id=link.reply_id, session_id=link.session_id
    ).select_related("parent")
    if reply is None or reply.parent is None:
        return None
    return PublicConversation(one_line(reply.parent.content, TITLE_LENGTH), link.session, reply)


async def _public_title(services: Services, session: ChatSession) -> str:
    if session.title_source is not TitleSource.MODEL:
        return session.title
    replies = ChatMessage.filter(session_id=session.id, role=MessageRole.ASSISTANT)
    ids = await replies.values_list("id", flat=True)
    if not await withheld_from_public(services.store, [UUID(str(one)) for one in ids]):
        return session.title
    first = await ChatMessage.filter(session_id=session.id).order_by("id").first()
    return session.title if first is None else one_line(first.content, TITLE_LENGTH)


async def list_public_messages(
    services: Services, conversation: PublicConversation, request: PageRequest
) -> Page[PublicMessage]:
    """The active branch, or the one reply with its question, oldest first.

    Raises:
        BadUserInput
    """
    messages = ChatMessage.filter(session_id=conversation.session.id)
    reply = conversation.reply
    if reply is None:
        messages = messages.filter(active=True)
    else:
        messages = messages.filter(id__in=[reply.parent_id, reply.id])
    page = await id_page(messages, request, newest_first=False)
    replies = [row.id for row in page.rows if row.role is MessageRole.ASSISTANT]
    withheld = await withheld_from_public(services.store, replies)
    shown = [PublicMessage(row, row.id in withheld) for row in page.rows]
    return Page(shown, page.cursors, has_next=page.has_next, has_previous=page.has_previous)
