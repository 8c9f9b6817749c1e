"""The second factor: types, query and mutations."""

from __future__ import annotations

from typing import Annotated

import strawberry

from resolvers import second_factor
from schema.account import Acknowledged
from schema.context import Info
from schema.errors import (
    InvalidCredentials,
    InvalidInput,
    RateLimited,
    SecondFactorRequired,
    answers_problems,
)


@strawberry.type(description="Whether a login needs a code besides the password.")
class SecondFactorState:
    enabled: bool = strawberry.field(description="Whether it is switched on and confirmed.")
    required: bool = strawberry.field(
        description="Whether the viewer needs one here (SECOND_FACTOR_REQUIRED). Who needs one and "
        "has none can only set it up: everything else that needs a login is the error FORBIDDEN, "
        "whose extensions have the reason SECOND_FACTOR_NEEDED."
    )
    recovery_codes_left: int = strawberry.field(
        description="Recovery codes that were not used yet, of 10."
    )


@strawberry.type(
    description="What an authenticator app needs. It is shown once, and counts once a code of the "
    "app was given to confirmSecondFactor."
)
class SecondFactorSetup:
    secret: str = strawberry.field(description="The secret in base32, to type it into the app.")
    uri: str = strawberry.field(description="The same as an otpauth: address, for a QR code.")


@strawberry.type(description="Codes for when the app is lost. They are shown only this once.")
class RecoveryCodes:
    codes: list[str] = strawberry.field(
        description="10 codes; each works once, in place of a code of the app."
    )


BeginSecondFactorResult = Annotated[
    SecondFactorSetup | InvalidCredentials | InvalidInput | RateLimited,
    strawberry.union("BeginSecondFactorResult", description="The outcome of beginSecondFactor."),
]
ConfirmSecondFactorResult = Annotated[
    RecoveryCodes | InvalidInput | RateLimited,
    strawberry.union(
        "ConfirmSecondFactorResult", description="The outcome of confirmSecondFactor."
    ),
]
DisableSecondFactorResult = Annotated[
    Acknowledged | InvalidCredentials | SecondFactorRequired | RateLimited,
    strawberry.union(
        "DisableSecondFactorResult", description="The outcome of disableSecondFactor."
    ),
]

_Password = Annotated[str, strawberry.argument(description="The viewer's password.")]


@strawberry.type
class SecondFactorQuery:
    @strawberry.field(description="The viewer's second factor. Needs a login.")
    async def second_factor(self, info: Info) -> SecondFactorState:
        found = await second_factor.state(info.context.app)
        return SecondFactorState(
            enabled=found.enabled,
            required=found.required,
            recovery_codes_left=found.recovery_codes_left,
        )


@strawberry.type
class SecondFactorMutation:
    @strawberry.mutation(
        description="Make a secret for an authenticator app (TOTP). Nothing changes before "
        "confirmSecondFactor; called again, it makes another secret. Needs a login."
    )
    @answers_problems
    async def begin_second_factor(self, info: Info, password: _Password) -> BeginSecondFactorResult:
        setup = await second_factor.begin(info.context.app, password)
        return SecondFactorSetup(secret=setup.secret, uri=setup.uri)

    @strawberry.mutation(
        description="Switch the second factor on with a code that the app shows. From then on "
        "login needs a code, and the person's other logins end. Needs a login."
    )
    @answers_problems
    async def confirm_second_factor(
        self,
        info: Info,
        code: Annotated[str, strawberry.argument(description="6 digits that the app shows now.")],
    ) -> ConfirmSecondFactorResult:
        return RecoveryCodes(codes=await second_factor.confirm(info.context.app, code))

    @strawberry.mutation(
        description="Switch the second factor off; its secret and recovery codes are deleted. If "
        "the viewer needs one here, all their logins end, and the next one can set up another. "
        "Needs a login."
    )
    @answers_problems
    async def disable_second_factor(
        self,
        info: Info,
        password: _Password,
        code: Annotated[
            str, strawberry.argument(description="A code of the app, or a recovery code.")
        ],
    ) -> DisableSecondFactorResult:
        await second_factor.disable(info.context.app, password=password, code=code)
        return Acknowledged(ok=True)
