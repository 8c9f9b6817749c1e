"""Other passwords, and the devices that a person is logged in on."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

import strawberry
from strawberry import UNSET

from models import login as login_table
from resolvers import logins, password_changes
from schema.absent import given
from schema.account import Acknowledged, AuthTokens, Code
from schema.chat import Deleted, DeleteResult
from schema.context import Info
from schema.errors import (
    InvalidCredentials,
    InvalidInput,
    InvalidToken,
    SecondFactorRequired,
    answers_problems,
    answers_problems_but_limits,
)
from schema.node import global_id, row_id

ResetPasswordResult = Annotated[
    Acknowledged | InvalidToken | InvalidInput,
    strawberry.union("ResetPasswordResult", description="The outcome of resetPassword."),
]
ChangePasswordResult = Annotated[
    AuthTokens | InvalidCredentials | InvalidInput | SecondFactorRequired,
    strawberry.union("ChangePasswordResult", description="The outcome of changePassword."),
]


@strawberry.type(description="A device that the viewer is logged in on. Only its person sees it.")
class Login:
    id: strawberry.ID = strawberry.field(description="Opaque id; use it as it is.")
    device: str = strawberry.field(
        description="What the device called itself when it logged in: its User-Agent, at most 300 "
        "characters; it may be empty."
    )
    address: str = strawberry.field(description="The network address that it logged in from.")
    created_at: datetime = strawberry.field(description="When it logged in, in UTC.")
    last_used_at: datetime = strawberry.field(
        description="When it last logged in or refreshed its tokens, in UTC. A device in use does "
        "so every 15 minutes."
    )
    expires_at: datetime = strawberry.field(
        description="When it ends unless it is refreshed, in UTC. It never ends later than 90 days "
        "(LOGIN_DAYS) after createdAt."
    )
    current: bool = strawberry.field(description="Whether this request comes from it.")

    @classmethod
    def from_row(cls, row: login_table.Login, current: UUID) -> Login:
        return cls(
            id=global_id("Login", row.id),
            device=row.user_agent,
            address=row.address,
            created_at=row.created_at,
            last_used_at=row.last_used_at,
            expires_at=row.expires_at,
            current=row.id == current,
        )


@strawberry.type
class LoginsQuery:
    @strawberry.field(
        description="The devices that the viewer is logged in on, the last used first: 100 at "
        "most, since another login ends the one that was not used for longest. Needs a login."
    )
    async def logins(self, info: Info) -> list[Login]:
        context = info.context.app
        found = await logins.list_logins(context)
        return [Login.from_row(row, context.require_viewer().login.id) for row in found]


@strawberry.type
class PasswordMutation:
    @strawberry.mutation(
        description="Send a link to set a new password, if the address has an account. The answer "
        "is the same for every address. Too many in an hour are the error RATE_LIMITED."
    )
    async def request_password_reset(
        self,
        info: Info,
        email: Annotated[str, strawberry.argument(description="The address of the account.")],
    ) -> Acknowledged:
        await password_changes.request_password_reset(info.context.app, email)
        return Acknowledged(ok=True)

    @strawberry.mutation(
        description="Set a new password with the token from the link in our mail, which works once "
        "and for one hour. All logins of the account end. While too many people log in, it is the "
        "error RATE_LIMITED."
    )
    @answers_problems_but_limits
    async def reset_password(
        self,
        info: Info,
        token: Annotated[
            str, strawberry.argument(description="The value of `token` in the mail's link.")
        ],
        new_password: Annotated[
            str, strawberry.argument(description="The new password, as in RegisterInput.")
        ],
    ) -> ResetPasswordResult:
        await password_changes.reset_password(info.context.app, token, new_password)
        return Acknowledged(ok=True)

    @strawberry.mutation(
        description="Set another password. All other logins end, and this one gets a new pair of "
        "tokens; its refresh token of before works no more. Ten wrong passwords in 15 minutes are "
        "the error RATE_LIMITED. Needs a login."
    )
    @answers_problems_but_limits
    async def change_password(
        self,
        info: Info,
        current_password: Annotated[
            str, strawberry.argument(description="The password of before.")
        ],
        new_password: Annotated[
            str, strawberry.argument(description="The new password, as in RegisterInput.")
        ],
        code: Code = UNSET,
    ) -> ChangePasswordResult:
        return AuthTokens.from_data(
            await password_changes.change_password(
                info.context.app,
                current_password=current_password,
                new_password=new_password,
                code=given(code),
            )
        )

    @strawberry.mutation(
        description="End one of the viewer's logins: its tokens stop working at once, and what is "
        "open with it is closed. For another one than this, this one must be new enough, if the "
        "server says so (SIGN_IN_AGAIN_MINUTES): else it is the error FORBIDDEN, whose extensions "
        "have the reason SIGN_IN_AGAIN. Needs a login."
    )
    @answers_problems
    async def revoke_login(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The login's id.")],
    ) -> DeleteResult:
        login_id = await logins.revoke_login(info.context.app, row_id("Login", id))
        return Deleted(id=global_id("Login", login_id))
