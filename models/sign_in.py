"""Sign-ins by other providers (OpenID Connect): who somebody is there, and what is under way."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from tortoise import fields
from tortoise.indexes import Index

from models.base import Row
from models.login import Login
from models.user import User


class SignInIdentity(Row):
    """A person as a provider knows them. `issuer` and `subject` together say who it is, for ever.

    `email` is the address that the provider told last, for the person to recognise the identity.
    Nothing is looked up by it.
    """

    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField(
        "models.User", related_name="identities", on_delete=fields.CASCADE
    )
    user_id: UUID
    provider = fields.CharField(max_length=40)  # its name in the settings when it was linked
    issuer = fields.CharField(max_length=500)
    subject = fields.CharField(max_length=255)
    email = fields.CharField(max_length=320, null=True)
    last_used_at: datetime | None = fields.DatetimeField(null=True)

    class Meta:
        table = "sign_in_identity"
        unique_together = (("issuer", "subject"),)
        indexes = (Index(fields=("user_id",)),)

    def __repr__(self) -> str:
        return f"<SignInIdentity {self.id}>"


class SignInFlow(Row):
    """A person who was sent to a provider and is expected back.

    `flow_hash` and `state_hash` are the SHA-256 of what the client keeps and of what goes through
    the provider. `verifier` (PKCE) and `nonce` are emptied once they were used. `linking_user` is
    who links another identity, null for a sign-in. `verified_user` is who still has to show a
    second factor; `identity_id`, `sid` and `login_ends_at` then say what the login will be made
    with. `used_at` is set before the provider is asked, so that a flow counts once, and `done_at`
    when a second factor was right, or the provider has ended the session meanwhile.
    """

    flow_hash = fields.CharField(max_length=64, unique=True)
    state_hash = fields.CharField(max_length=64)
    provider = fields.CharField(max_length=40)
    issuer = fields.CharField(max_length=500)
    redirect_uri = fields.CharField(max_length=2000)
    verifier = fields.CharField(max_length=128)
    nonce = fields.CharField(max_length=64)
    linking_user: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "models.User", related_name="sign_in_links", on_delete=fields.CASCADE, null=True
    )
    linking_user_id: UUID | None
    verified_user: fields.ForeignKeyNullableRelation[User] = fields.ForeignKeyField(
        "models.User", related_name="sign_in_flows", on_delete=fields.CASCADE, null=True
    )
    verified_user_id: UUID | None
    identity_id: UUID | None = fields.UUIDField(null=True)
    sid = fields.CharField(max_length=255, null=True)
    login_ends_at: datetime | None = fields.DatetimeField(null=True)
    used_at: datetime | None = fields.DatetimeField(null=True)
    done_at: datetime | None = fields.DatetimeField(null=True)
    expires_at: datetime = fields.DatetimeField(db_index=True)

    class Meta:
        table = "sign_in_flow"
        indexes = (Index(fields=("linking_user_id",)), Index(fields=("verified_user_id",)))

    def __repr__(self) -> str:
        return f"<SignInFlow {self.id}>"


class SignInLogin(Row):
    """Which identity has made a login, so that it ends with it and when the provider says so.

    `sid` is the provider's session. `ends_at` is when the login ends however much it is used, if
    the operator has set such a time.
    """

    login: fields.OneToOneRelation[Login] = fields.OneToOneField(
        "models.Login", related_name="sign_in", on_delete=fields.CASCADE
    )
    login_id: UUID
    identity: fields.ForeignKeyRelation[SignInIdentity] = fields.ForeignKeyField(
        "models.SignInIdentity", related_name="logins", on_delete=fields.CASCADE
    )
    identity_id: UUID
    sid = fields.CharField(max_length=255, null=True)
    ends_at: datetime | None = fields.DatetimeField(null=True)

    class Meta:
        table = "sign_in_login"
        indexes = (Index(fields=("identity_id",)), Index(fields=("sid",)))


class SpentLogout(Row):
    """A logout token that has come, so that it does not count again.

    Only its hash is kept, until it would be refused as too old.
    """

    token_hash = fields.CharField(max_length=64, unique=True)
    expires_at: datetime = fields.DatetimeField(db_index=True)

    class Meta:
        table = "spent_logout"
