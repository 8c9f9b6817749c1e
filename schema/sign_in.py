"""Sign-in by other providers: types, queries and mutations."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry import UNSET

from models import sign_in as sign_in_table
from resolvers.sign_in import linking, signing_in
from resolvers.sign_in.flow import Arrival, FlowStart
from schema.absent import given
from schema.account import AuthTokens, Code
from schema.chat import Deleted
from schema.context import Info
from schema.errors import (
    EmailNotVerified,
    InvalidCredentials,
    InvalidInput,
    InvalidToken,
    LinkRequired,
    NotFound,
    RateLimited,
    SecondFactorRequired,
    SignInFailed,
    answers_problems,
)
from schema.node import global_id, row_id


@strawberry.type(description="A provider of OpenID Connect that people may sign in by.")
class SignInProvider:
    name: str = strawberry.field(description="What beginSignIn and linkSignIn take.")
    label: str = strawberry.field(description="What to write on the button.")


@strawberry.type(description="The way to a provider. It works once, for ten minutes.")
class SignInStart:
    authorization_url: str = strawberry.field(
        description="Send the person there. They come back to the redirectUri, with `code`, "
        "`state` and perhaps `iss`; or with `error`, if they did not sign in."
    )
    state: str = strawberry.field(
        description="The `state` that comes back. With another one, somebody else has begun."
    )
    flow_token: str = strawberry.field(
        description="What completeSignIn or completeLink needs. Keep it where only this tab can "
        "read it, such as sessionStorage; it stands in no address."
    )
    expires_at: datetime = strawberry.field(description="Until when it works, in UTC.")

    @classmethod
    def from_data(cls, data: FlowStart) -> SignInStart:
        return cls(
            authorization_url=data.authorization_url,
            state=data.state,
            flow_token=data.flow_token,
            expires_at=data.expires_at,
        )


@strawberry.type(
    description="The viewer as a provider knows them. Only its person sees it, and signs in by it."
)
class SignInIdentity:
    id: strawberry.ID = strawberry.field(description="Opaque id; use it as it is.")
    provider: str = strawberry.field(description="The provider's name.")
    email: str | None = strawberry.field(
        description="The address that the provider told last; null: none. It may differ from the "
        "account's."
    )
    created_at: datetime = strawberry.field(description="When it was linked, in UTC.")
    last_used_at: datetime | None = strawberry.field(
        description="When it last signed in, in UTC; null: never."
    )

    @classmethod
    def from_row(cls, row: sign_in_table.SignInIdentity) -> SignInIdentity:
        return cls(
            id=global_id("SignInIdentity", row.id),
            provider=row.provider,
            email=row.email,
            created_at=row.created_at,
            last_used_at=row.last_used_at,
        )


BeginSignInResult = Annotated[
    SignInStart | InvalidInput | SignInFailed | RateLimited,
    strawberry.union("BeginSignInResult", description="The outcome of beginSignIn."),
]
CompleteSignInResult = Annotated[
    AuthTokens
    | InvalidToken
    | SignInFailed
    | LinkRequired
    | InvalidCredentials
    | EmailNotVerified
    | SecondFactorRequired
    | RateLimited,
    strawberry.union(
        "CompleteSignInResult", description="The outcome of completeSignIn and confirmSignIn."
    ),
]
LinkSignInResult = Annotated[
    SignInStart
    | InvalidInput
    | InvalidCredentials
    | SecondFactorRequired
    | EmailNotVerified
    | SignInFailed
    | RateLimited,
    strawberry.union("LinkSignInResult", description="The outcome of linkSignIn."),
]
CompleteLinkResult = Annotated[
    SignInIdentity | InvalidToken | SignInFailed | InvalidInput | EmailNotVerified,
    strawberry.union("CompleteLinkResult", description="The outcome of completeLink."),
]
UnlinkSignInResult = Annotated[
    Deleted | NotFound | InvalidInput,
    strawberry.union("UnlinkSignInResult", description="The outcome of unlinkSignIn."),
]

_Provider = Annotated[
    str, strawberry.argument(description="The provider's name, as signInProviders lists it.")
]
_RedirectUri = Annotated[
    str,
    strawberry.argument(
        description="Where the person comes back to: one of OIDC_REDIRECT_URIS, exactly."
    ),
]
_FlowToken = Annotated[str, strawberry.argument(description="The flowToken of the beginning.")]
_State = Annotated[str, strawberry.argument(description="The `state` that came back.")]
_Code = Annotated[str, strawberry.argument(description="The `code` that came back.")]
_Iss = Annotated[
    str | None,
    strawberry.argument(
        description="The `iss` that came back, if any: it shows which provider it was (RFC 9207)."
    ),
]
_Whence = Annotated[
    str | None,
    strawberry.argument(
        description="The provider's name, if each has a redirectUri of its own: another one than "
        "was begun with is refused."
    ),
]


@strawberry.type
class SignInQuery:
    @strawberry.field(
        description="The providers that people may sign in by, in the operator's order."
    )
    async def sign_in_providers(self, info: Info) -> list[SignInProvider]:
        return [
            SignInProvider(name=one.name, label=one.label)
            for one in info.context.app.services.providers.settings
        ]

    @strawberry.field(
        description="The viewer's identities at providers, the first linked first: 20 at most. "
        "Needs a login."
    )
    async def sign_in_identities(self, info: Info) -> list[SignInIdentity]:
        rows = await linking.list_identities(info.context.app)
        return [SignInIdentity.from_row(row) for row in rows]


@strawberry.type
class SignInMutation:
    @strawberry.mutation(
        description="Begin to sign in by a provider, with the authorization code flow and PKCE. "
        "From one network, 60 may begin in a minute (ADDRESS_SIGN_INS_PER_MINUTE)."
    )
    @answers_problems
    async def begin_sign_in(
        self, info: Info, provider: _Provider, redirect_uri: _RedirectUri
    ) -> BeginSignInResult:
        return SignInStart.from_data(
            await signing_in.begin_sign_in(
                info.context.app, provider=provider, redirect_uri=redirect_uri
            )
        )

    @strawberry.mutation(
        description="Log in who comes back from a provider. An identity that was never here gets a "
        "new account, if the provider has verified its address and no account here has it. It "
        "works once; after SecondFactorRequired, go on with confirmSignIn."
    )
    @answers_problems
    async def complete_sign_in(
        self,
        info: Info,
        flow_token: _FlowToken,
        state: _State,
        code: _Code,
        iss: _Iss = UNSET,
        provider: _Whence = UNSET,
    ) -> CompleteSignInResult:
        arrival = Arrival(flow_token, state, code, given(iss), given(provider))
        return AuthTokens.from_data(await signing_in.complete_sign_in(info.context.app, arrival))

    @strawberry.mutation(
        description="Log in who was asked for a second factor by completeSignIn, within the ten "
        "minutes of the beginning."
    )
    @answers_problems
    async def confirm_sign_in(
        self,
        info: Info,
        flow_token: _FlowToken,
        code: Annotated[
            str,
            strawberry.argument(
                description="The code that the authenticator app shows, or a recovery code."
            ),
        ],
    ) -> CompleteSignInResult:
        return AuthTokens.from_data(
            await signing_in.confirm_sign_in(info.context.app, flow_token, code)
        )

    @strawberry.mutation(
        description="Begin to link an identity at a provider to the viewer's account, to sign in "
        "by it from then on. Needs a login."
    )
    @answers_problems
    async def link_sign_in(
        self,
        info: Info,
        provider: _Provider,
        redirect_uri: _RedirectUri,
        password: Annotated[
            str | None,
            strawberry.argument(
                description="The viewer's password; absent only for who has none yet."
            ),
        ] = UNSET,
        code: Code = UNSET,
    ) -> LinkSignInResult:
        return SignInStart.from_data(
            await linking.link_sign_in(
                info.context.app,
                provider=provider,
                redirect_uri=redirect_uri,
                password=given(password),
                code=given(code),
            )
        )

    @strawberry.mutation(
        description="Link the identity of who comes back from a provider. Only the person who has "
        "begun with linkSignIn can. Needs a login."
    )
    @answers_problems
    async def complete_link(
        self,
        info: Info,
        flow_token: _FlowToken,
        state: _State,
        code: _Code,
        iss: _Iss = UNSET,
        provider: _Whence = UNSET,
    ) -> CompleteLinkResult:
        arrival = Arrival(flow_token, state, code, given(iss), given(provider))
        return SignInIdentity.from_row(await linking.complete_link(info.context.app, arrival))

    @strawberry.mutation(
        description="Take one of the viewer's identities away: nobody signs in by it any more, and "
        "the logins that it has made end, this one included if it is one of them. A mail tells of "
        "it. Refused if it is the only way to sign in, and, as with revokeLogin, after a "
        "login that is too old. Needs a login."
    )
    @answers_problems
    async def unlink_sign_in(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The identity's id.")],
    ) -> UnlinkSignInResult:
        identity_id = await linking.unlink_sign_in(info.context.app, row_id("SignInIdentity", id))
        return Deleted(id=global_id("SignInIdentity", identity_id))
