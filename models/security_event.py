"""What happened to accounts, rights and data, for administrators to look up."""

from __future__ import annotations

from enum import StrEnum
from typing import Final
from uuid import UUID

from tortoise import fields
from tortoise.indexes import Index

from models.base import Row

# For so long the database itself refuses to delete an event, whoever asks.
KEPT_DAYS: Final = 30


class EventKind(StrEnum):
    REGISTERED = "REGISTERED"
    EMAIL_VERIFIED = "EMAIL_VERIFIED"
    LOGGED_IN = "LOGGED_IN"
    LOGIN_FAILED = "LOGIN_FAILED"
    LOGIN_BLOCKED = "LOGIN_BLOCKED"
    PASSWORD_REFUSED = "PASSWORD_REFUSED"  # noqa: S105 (a name)
    SECOND_FACTOR_ENABLED = "SECOND_FACTOR_ENABLED"
    SECOND_FACTOR_DISABLED = "SECOND_FACTOR_DISABLED"
    SECOND_FACTOR_FAILED = "SECOND_FACTOR_FAILED"
    RECOVERY_CODE_USED = "RECOVERY_CODE_USED"
    LOGGED_OUT = "LOGGED_OUT"
    LOGGED_OUT_EVERYWHERE = "LOGGED_OUT_EVERYWHERE"
    LOGIN_REVOKED = "LOGIN_REVOKED"
    SIGN_IN_FAILED = "SIGN_IN_FAILED"
    PROVIDER_LOGGED_OUT = "PROVIDER_LOGGED_OUT"
    TOKEN_REFUSED = "TOKEN_REFUSED"  # noqa: S105
    ACCESS_REFUSED = "ACCESS_REFUSED"
    LIMIT_REFUSED = "LIMIT_REFUSED"
    CALL_REFUSED = "CALL_REFUSED"
    REFRESH_REPLAYED = "REFRESH_REPLAYED"
    PASSWORD_RESET_REQUESTED = "PASSWORD_RESET_REQUESTED"  # noqa: S105
    PASSWORD_RESET = "PASSWORD_RESET"  # noqa: S105
    PASSWORD_CHANGED = "PASSWORD_CHANGED"  # noqa: S105
    EMAIL_CHANGE_REQUESTED = "EMAIL_CHANGE_REQUESTED"
    EMAIL_CHANGED = "EMAIL_CHANGED"
    ACCOUNT_DELETED = "ACCOUNT_DELETED"
    DATA_EXPORTED = "DATA_EXPORTED"
    API_KEY_CREATED = "API_KEY_CREATED"
    API_KEY_REVOKED = "API_KEY_REVOKED"
    IDENTITY_LINKED = "IDENTITY_LINKED"
    IDENTITY_UNLINKED = "IDENTITY_UNLINKED"
    ROLE_CHANGED = "ROLE_CHANGED"
    USER_SUSPENDED = "USER_SUSPENDED"
    SUSPENSION_LIFTED = "SUSPENSION_LIFTED"
    SESSION_SHARED = "SESSION_SHARED"
    SESSION_UNSHARED = "SESSION_UNSHARED"
    PUBLIC_LINK_CREATED = "PUBLIC_LINK_CREATED"
    PUBLIC_LINK_REVOKED = "PUBLIC_LINK_REVOKED"
    COLLECTION_CHANGED = "COLLECTION_CHANGED"
    COLLECTION_DELETED = "COLLECTION_DELETED"
    GROUP_CHANGED = "GROUP_CHANGED"
    GROUP_DELETED = "GROUP_DELETED"
    DOCUMENT_ADDED = "DOCUMENT_ADDED"
    DOCUMENT_CHANGED = "DOCUMENT_CHANGED"
    DOCUMENT_MOVED = "DOCUMENT_MOVED"
    DOCUMENT_DELETED = "DOCUMENT_DELETED"
    BACKUP_MADE = "BACKUP_MADE"
    BACKUP_RESTORED = "BACKUP_RESTORED"
    SIGNING_KEY_CHANGED = "SIGNING_KEY_CHANGED"


class EventOutcome(StrEnum):
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    REFUSED = "REFUSED"


class SecurityEvent(Row):
    """One event. Rows are only added: triggers refuse to change one, and to delete one that is
    younger than `KEPT_DAYS`.

    No column refers to another table, so that an event outlives its person. There is no address of
    a mailbox, no name and no secret in it. `detail` holds words of our own: a role, scopes, an
    audience.
    """

    # Texts, so that a new kind needs no migration.
    kind = fields.CharField(max_length=40)
    outcome = fields.CharField(max_length=10)
    actor_id: UUID | None = fields.UUIDField(null=True)
    api_key_id: UUID | None = fields.UUIDField(null=True)
    concerns_id: UUID | None = fields.UUIDField(null=True)
    object_type = fields.CharField(max_length=20, null=True)
    object_id: UUID | None = fields.UUIDField(null=True)
    detail = fields.CharField(max_length=200, default="")
    address = fields.CharField(max_length=45, default="")
    device = fields.CharField(max_length=300, default="")
    request_id = fields.CharField(max_length=100, default="")

    class Meta:
        table = "security_event"
        indexes = (
            Index(fields=("actor_id",)),
            Index(fields=("concerns_id",)),
            Index(fields=("created_at",)),
        )
