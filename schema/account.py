"""Accounts: types, queries and mutations."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Annotated

import strawberry
from strawberry import UNSET

from models import user as user_table
from resolvers import account, email_verification, registration, roles
from resolvers.errors import Unauthenticated
from schema.absent import given
from schema.context import Info
from schema.enums import describe_enum
from schema.errors import (
    EmailNotVerified,
    InvalidCredentials,
    InvalidInput,
    InvalidToken,
    RateLimited,
    SecondFactorRequired,
    answers_problems,
    answers_problems_but_limits,
)
from schema.node import Node, global_id, row_id
from texts import Language

describe_enum(
    Language,
    "A language of mails, problems and failures. Answers are in the language of the question.",
    {"EN": "English.", "DE": "German.", "ES": "Spanish.", "FR": "French."},
)


@strawberry.enum(description="What a person may do.")
class Role(Enum):
    USER = strawberry.enum_value("USER", description="Asks questions; sees their own sessions.")
    EDITOR = strawberry.enum_value(
        "EDITOR", description="May also add, change and delete documents of the knowledge base."
    )
    ADMIN = strawberry.enum_value("ADMIN", description="May also change the roles of others.")


@strawberry.type(description="A person with an account.")
class User(Node):
    email: str = strawberry.field(
        description="The address they log in with, in lower case. People who share a session with "
        "this person see it, too."
    )
    display_name: str = strawberry.field(
        description="The name that others see: 1 to 100 characters."
    )
    role: Role = strawberry.field(description="What this person may do.")
    email_verified: bool = strawberry.field(
        description="Whether the person has confirmed the address by the link in our mail."
    )
    created_at: datetime = strawberry.field(description="When the account was made, in UTC.")
    language: Language | None = strawberry.field(
        description="The language that they have chosen for mails and messages; null: as their "
        "browser says in Accept-Language, else English."
    )

    @classmethod
    def from_row(cls, row: user_table.User) -> User:
        return cls(
            id=global_id("User", row.id),
            email=row.email,
            display_name=row.display_name,
            role=Role(row.role.value),
            email_verified=row.email_verified_at is not None,
            created_at=row.created_at,
            language=Language(row.language) if row.language else None,
        )


@strawberry.type(description="A login on one device: what its client sends, and for how long.")
class AuthTokens:
    access_token: str = strawberry.field(
        description="Send it as `Authorization: Bearer …`, or as `authorization` in the "
        "connection_init payload of a WebSocket. It works for 15 minutes."
    )
    access_token_expires_at: datetime = strawberry.field(
        description="When the access token stops working, in UTC."
    )
    refresh_token: str = strawberry.field(
        description="Gets the next pair of tokens from refreshTokens, once. Store it safely: who "
        "has it, has the login."
    )
    refresh_token_expires_at: datetime = strawberry.field(
        description="When the login ends unless it is refreshed, in UTC: 30 days from now "
        "(LOGIN_IDLE_DAYS), and not later than 90 days after it was made (LOGIN_DAYS)."
    )
    user: User = strawberry.field(description="Who is logged in.")

    @classmethod
    def from_data(cls, data: account.AuthTokensData) -> AuthTokens:
        return cls(
            access_token=data.access_token,
            access_token_expires_at=data.access_token_expires_at,
            refresh_token=data.refresh_token,
            refresh_token_expires_at=data.refresh_token_expires_at,
            user=User.from_row(data.user),
        )


@strawberry.type(
    description="The registration was taken. The answer is the same whether or not the address "
    "was known: only its mailbox learns the difference."
)
class Registration:
    email: str = strawberry.field(description="The address in the form in which it was stored.")
    verification_required: bool = strawberry.field(
        description="Whether login is refused until the link in the mail was opened."
    )


@strawberry.type(description="The request was taken. It tells nothing about who has an account.")
class Acknowledged:
    ok: bool = strawberry.field(description="Always true.")


@strawberry.input(description="A new account.")
class RegisterInput:
    email: str = strawberry.field(
        description="The address to log in with; case does not matter. At most 254 characters."
    )
    password: str = strawberry.field(
        description="8 to 128 characters of any kind: not among the most common passwords, not the "
        "address or the name, not little more than a name of the service, and not a stolen one, if "
        "the server has a list of those."
    )
    display_name: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="The name that others see, 1 to 100 characters. Left out or null: the part of "
        "the address before the @.",
    )


@strawberry.input(description="Who logs in.")
class LoginInput:
    email: str = strawberry.field(description="The address of the account; case does not matter.")
    password: str = strawberry.field(description="The password.")
    code: str | None = strawberry.field(
        default=UNSET,
        description="For who has a second factor: the code that the authenticator app shows, or a "
        "recovery code. Without it the answer is SecondFactorRequired.",
    )


Code = Annotated[
    str | None,
    strawberry.argument(
        description="For who has a second factor: a code of the app, or a recovery code. "
        "Without it the answer is SecondFactorRequired."
    ),
]
RegisterResult = Annotated[
    Registration | InvalidInput | RateLimited,
    strawberry.union("RegisterResult", description="The outcome of register."),
]
LoginResult = Annotated[
    AuthTokens | InvalidCredentials | EmailNotVerified | SecondFactorRequired | RateLimited,
    strawberry.union("LoginResult", description="The outcome of login."),
]
RefreshResult = Annotated[
    AuthTokens | InvalidToken,
    strawberry.union("RefreshResult", description="The outcome of refreshTokens."),
]
VerifyEmailResult = Annotated[
    User | InvalidToken | InvalidInput,
    strawberry.union("VerifyEmailResult", description="The outcome of verifyEmail."),
]


@strawberry.type
class AccountQuery:
    @strawberry.field(
        description="The person whose access token was sent; null without a token. A token that "
        "has expired or was ended gives the error UNAUTHENTICATED."
    )
    async def me(self, info: Info) -> User | None:
        context = info.context.app
        if context.viewer is None:
            if context.token_problem:
                raise Unauthenticated(context.token_problem)
            return None
        return User.from_row(context.viewer.user)


@strawberry.type
class AccountMutation:
    @strawberry.mutation(
        description="Make an account. A mail with a link to confirm the address follows; if the "
        "address has an account, the mail says so instead."
    )
    @answers_problems
    async def register(
        self,
        info: Info,
        input: Annotated[RegisterInput, strawberry.argument(description="The new account.")],
    ) -> RegisterResult:
        taken = await registration.register(
            info.context.app,
            email=input.email,
            password=input.password,
            display_name=None if input.display_name is strawberry.UNSET else input.display_name,
        )
        return Registration(email=taken.email, verification_required=taken.verification_required)

    @strawberry.mutation(
        description="Confirm an address with the token from the link in our mail. Valid for 48 "
        "hours; sent twice, it answers the same. Whoever opens the link need not be who "
        "registered: without `password` it works only from the network of the registration, or "
        "with a login of the account, and is InvalidInput elsewhere. While too many people log in, "
        "it is the error RATE_LIMITED."
    )
    @answers_problems_but_limits
    async def verify_email(
        self,
        info: Info,
        token: Annotated[
            str, strawberry.argument(description="The value of `token` in the mail's link.")
        ],
        password: Annotated[
            str | None,
            strawberry.argument(
                description="The password of the registration. Another one is InvalidInput, and "
                "the link goes on to work."
            ),
        ] = UNSET,
    ) -> VerifyEmailResult:
        return User.from_row(
            await email_verification.verify_email(info.context.app, token, given(password))
        )

    @strawberry.mutation(
        description="Send the link to confirm an address again, if the address waits for it."
    )
    async def resend_verification(
        self,
        info: Info,
        email: Annotated[str, strawberry.argument(description="The address of the account.")],
    ) -> Acknowledged:
        await registration.resend_verification(info.context.app, email)
        return Acknowledged(ok=True)

    @strawberry.mutation(
        description="Log in on this device. From one network, an address may be tried ten times in "
        "15 minutes; after the third wrong password, only after a wait that grows."
    )
    @answers_problems
    async def login(
        self,
        info: Info,
        input: Annotated[LoginInput, strawberry.argument(description="Who logs in.")],
    ) -> LoginResult:
        return AuthTokens.from_data(
            await account.login(
                info.context.app,
                email=input.email,
                password=input.password,
                code=given(input.code),
            )
        )

    @strawberry.mutation(
        description="Exchange a refresh token for a new pair of tokens; the login lives on, up to "
        "90 days (LOGIN_DAYS) after it was made. Each refresh token works once. For ten seconds "
        "(REFRESH_GRACE) it gives the same pair again, if the new one was not used: for a client "
        "that lost the answer. One that comes back otherwise ends the login, since one of its two "
        "holders is a thief."
    )
    @answers_problems
    async def refresh_tokens(
        self,
        info: Info,
        refresh_token: Annotated[
            str, strawberry.argument(description="The refresh token of the latest pair.")
        ],
    ) -> RefreshResult:
        return AuthTokens.from_data(await account.refresh_tokens(info.context.app, refresh_token))

    @strawberry.mutation(
        description="Give a person another role; it counts from their next operation on. Null if "
        "there is no such person. The last ADMIN cannot give the role up. For ADMIN."
    )
    async def set_user_role(
        self,
        info: Info,
        user_id: Annotated[strawberry.ID, strawberry.argument(description="The person's id.")],
        role: Annotated[Role, strawberry.argument(description="What the person may do from now.")],
    ) -> User | None:
        user = await roles.set_user_role(
            info.context.app, row_id("User", user_id), user_table.Role[role.name]
        )
        return None if user is None else User.from_row(user)

    @strawberry.mutation(
        description="End this login: its access and refresh tokens stop working at once. To end "
        "all needs a login that is new enough, if the server says so (SIGN_IN_AGAIN_MINUTES): else "
        "it is the error FORBIDDEN, whose extensions have the reason SIGN_IN_AGAIN. Needs an "
        "access token."
    )
    async def logout(
        self,
        info: Info,
        everywhere: Annotated[
            bool | None,
            strawberry.argument(description="End all of the person's logins, on every device."),
        ] = False,
    ) -> Acknowledged:
        await account.logout(info.context.app, everywhere=bool(everywhere))
        return Acknowledged(ok=True)

    @strawberry.mutation(
        description="Choose the language of mails, problems and failures for the viewer. Needs a "
        "login."
    )
    async def set_language(
        self,
        info: Info,
        language: Annotated[
            Language | None,
            strawberry.argument(description="Null or absent: as the browser says."),
        ] = UNSET,
    ) -> User:
        return User.from_row(await account.set_language(info.context.app, given(language)))
