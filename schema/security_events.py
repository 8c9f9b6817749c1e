"""The log of security events, for administrators."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import strawberry
from strawberry import UNSET

from models.security_event import EventKind, EventOutcome
from models.security_event import SecurityEvent as EventRow
from models.user import User as UserRow
from resolvers import security_events
from resolvers.security_events import Wanted
from schema.absent import given
from schema.account import User
from schema.connection import After, Before, Connection, First, Last, connection, page_request
from schema.context import Info
from schema.enums import describe_enum
from schema.node import global_id, row_id

_KINDS: Final = {
    "REGISTERED": "An account was made. REFUSED: the address had one.",
    "EMAIL_VERIFIED": "The address of an account was confirmed.",
    "LOGGED_IN": "Somebody logged in.",
    "LOGIN_FAILED": "A wrong password, or an unknown address; REFUSED: the password was right, and "
    "the account is suspended or its address not confirmed.",
    "LOGIN_BLOCKED": "A login that was not tried, since too many were wrong before.",
    "PASSWORD_REFUSED": "Somebody who is logged in gave a wrong password where it is asked for "
    "again.",
    "SECOND_FACTOR_ENABLED": "A second factor was switched on.",
    "SECOND_FACTOR_DISABLED": "It was switched off.",
    "SECOND_FACTOR_FAILED": "A wrong code of the second factor.",
    "RECOVERY_CODE_USED": "A recovery code was used in place of the app.",
    "LOGGED_OUT": "A login was ended on its own device.",
    "LOGGED_OUT_EVERYWHERE": "All logins of a person were ended by that person.",
    "LOGIN_REVOKED": "A person has ended another login of their own.",
    "SIGN_IN_FAILED": "A sign-in by a provider that came to nothing; `detail` has the provider and "
    "the reason.",
    "PROVIDER_LOGGED_OUT": "A provider has ended a login that was made by it, since the person has "
    "signed out there.",
    "TOKEN_REFUSED": "A token that is forged, unknown, used or expired: an access token, one of a "
    "mail or a sign-in, or one by which a provider ends logins; `detail` says where.",
    "ACCESS_REFUSED": "Somebody asked for what their rights do not allow; `detail` has the field.",
    "LIMIT_REFUSED": "A limit was reached: of a rate, of an operation's size or of its time; "
    "`detail` has the field or the limit.",
    "CALL_REFUSED": "An HTTP request that no right client sends: a call of the webhook that is not "
    "signed, or an address with a trick in it; `detail` says which.",
    "REFRESH_REPLAYED": "A used refresh token came back, and its login was ended.",
    "PASSWORD_RESET_REQUESTED": "A link to set a new password was asked for.",
    "PASSWORD_RESET": "A new password was set by such a link.",
    "PASSWORD_CHANGED": "A password was changed by whoever knew it.",
    "EMAIL_CHANGE_REQUESTED": "Another address was asked for.",
    "EMAIL_CHANGED": "Both mailboxes have confirmed it.",
    "ACCOUNT_DELETED": "A person has deleted their account.",
    "DATA_EXPORTED": "A person has fetched their data.",
    "API_KEY_CREATED": "A key for programs was made.",
    "API_KEY_REVOKED": "A key was revoked by its person.",
    "IDENTITY_LINKED": "An identity at a provider was linked: it signs in from now on.",
    "IDENTITY_UNLINKED": "An identity at a provider was unlinked by its person.",
    "ROLE_CHANGED": "Somebody got another role.",
    "USER_SUSPENDED": "Somebody was suspended.",
    "SUSPENSION_LIFTED": "A suspension was lifted.",
    "SESSION_SHARED": "Somebody was let into a session, invited, or given another part in it.",
    "SESSION_UNSHARED": "Somebody was taken out of a session, or left, or an invitation was taken "
    "back.",
    "PUBLIC_LINK_CREATED": "A public link was made.",
    "PUBLIC_LINK_REVOKED": "A public link was revoked.",
    "COLLECTION_CHANGED": "A collection was made, or who sees it was changed.",
    "COLLECTION_DELETED": "A collection was deleted.",
    "GROUP_CHANGED": "A group was made or renamed, or somebody was added or removed.",
    "GROUP_DELETED": "A group was deleted.",
    "DOCUMENT_ADDED": "A document was sent. Files of the folder are not listed.",
    "DOCUMENT_CHANGED": "A document was changed.",
    "DOCUMENT_MOVED": "A document was put into another collection.",
    "DOCUMENT_DELETED": "A document was deleted.",
    "BACKUP_MADE": "A backup was made on the command line.",
    "BACKUP_RESTORED": "A backup was restored on the command line.",
    "SIGNING_KEY_CHANGED": "The server was started with other keys than before.",
}
describe_enum(EventKind, "What happened.", _KINDS, name="SecurityEventKind")
describe_enum(
    EventOutcome,
    "How it ended.",
    {
        "SUCCEEDED": "It was done.",
        "FAILED": "It was tried with something wrong.",
        "REFUSED": "It was not allowed.",
    },
    name="SecurityEventOutcome",
)


@strawberry.type(
    description="Something that happened to accounts, rights or data. It is never changed. It "
    "holds no address of a mailbox, no name and no secret. For ADMIN."
)
class SecurityEvent:
    row: strawberry.Private[EventRow]
    id: strawberry.ID = strawberry.field(description="Opaque id; use it as it is.")
    kind: EventKind = strawberry.field(description="What happened.")
    outcome: EventOutcome = strawberry.field(description="How it ended.")
    created_at: datetime = strawberry.field(description="When, in UTC.")
    actor_id: strawberry.ID | None = strawberry.field(
        description="The id of who did it; it stays when the account is deleted. Null: somebody "
        "without a login, the webhook, or the server itself."
    )
    api_key_id: strawberry.ID | None = strawberry.field(
        description="The id of the API key that was used; null: none."
    )
    concerns_id: strawberry.ID | None = strawberry.field(
        description="The id of the person to whom it was done, or who did it; null: nobody who is "
        "known, such as at a login with an unknown address."
    )
    object_id: strawberry.ID | None = strawberry.field(
        description="The id of the login, key, session, link, collection, group or document that "
        "it is about; null: none. The object may be gone."
    )
    detail: str = strawberry.field(
        description="More, in short words of the server's own, such as roles or scopes; may be "
        "empty. MORE_ARE_NOT_LISTED: others of the next hour are left out, as they were too many."
    )
    address: str = strawberry.field(
        description="The network address that it came from; empty: this machine's command line, or "
        "not known."
    )
    device: str = strawberry.field(
        description="What the device calls itself, its User-Agent, at most 300 characters; or the "
        "command. It may be empty."
    )
    request_id: str = strawberry.field(
        description="The id of the request, as in the server's log; may be empty."
    )

    @strawberry.field(description="Who did it; null as `actorId`, or if the account is deleted.")
    async def actor(self, info: Info) -> User | None:
        return await _user(info, self.row.actor_id)

    @strawberry.field(
        description="The person to whom it was done; null as `concernsId`, or if the account is "
        "deleted."
    )
    async def concerns(self, info: Info) -> User | None:
        return await _user(info, self.row.concerns_id)

    @classmethod
    def from_row(cls, row: EventRow) -> SecurityEvent:
        return cls(
            row=row,
            id=global_id("SecurityEvent", row.id),
            kind=EventKind(row.kind),
            outcome=EventOutcome(row.outcome),
            created_at=row.created_at,
            actor_id=_id("User", row.actor_id),
            api_key_id=_id("ApiKey", row.api_key_id),
            concerns_id=_id("User", row.concerns_id),
            object_id=_id(row.object_type or "", row.object_id),
            detail=row.detail,
            address=row.address,
            device=row.device,
            request_id=row.request_id,
        )


def _id(type_name: str, key: UUID | None) -> strawberry.ID | None:
    return None if key is None else global_id(type_name, key)


async def _user(info: Info, key: UUID | None) -> User | None:
    row: UserRow | None = None if key is None else await info.context.loaders.users.load(key)
    return None if row is None else User.from_row(row)


@strawberry.input(description="Which events; what is absent or null does not matter.")
class SecurityEventFilter:
    user_id: strawberry.ID | None = strawberry.field(
        default=UNSET, description="Only what this person did, or what was done to them."
    )
    kinds: list[EventKind] | None = strawberry.field(
        default=UNSET, description="Only of these kinds."
    )
    since: datetime | None = strawberry.field(
        default=UNSET, description="Only from this time on, with its zone."
    )
    until: datetime | None = strawberry.field(
        default=UNSET, description="Only before this time, with its zone."
    )


@strawberry.type
class SecurityEventQuery:
    @strawberry.field(
        description="What happened to accounts, rights and data, the newest first. For ADMIN; not "
        "for API keys."
    )
    async def security_events(
        self,
        info: Info,
        first: First = UNSET,
        after: After = UNSET,
        last: Last = UNSET,
        before: Before = UNSET,
        filter: Annotated[
            SecurityEventFilter | None, strawberry.argument(description="Which events.")
        ] = UNSET,
    ) -> Connection[SecurityEvent]:
        page = await security_events.list_events(
            info.context.app, _wanted(given(filter)), page_request(first, after, last, before)
        )
        return connection(page, SecurityEvent.from_row)


def _wanted(filter: SecurityEventFilter | None) -> Wanted:
    if filter is None:
        return Wanted()
    user_id = given(filter.user_id)
    return Wanted(
        # An id of another kind is nobody's: the nil id has no events.
        user_id=None if user_id is None else row_id("User", user_id) or UUID(int=0),
        kinds=given(filter.kinds),
        since=given(filter.since),
        until=given(filter.until),
    )
