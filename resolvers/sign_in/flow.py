"""The way to a provider and back, for a sign-in and for a link."""

from __future__ import annotations

import hmac
import logging
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from models.security_event import EventKind
from models.sign_in import SignInFlow
from models.user import User
from resolvers.attempts import network_of
from resolvers.audit import note_stranger
from resolvers.context import Context
from resolvers.errors import InvalidInput, InvalidToken, SignInFailed, SignInFailure
from resolvers.sign_in.provider import CodeRefused, Person, Provider, ProviderFailed
from resolvers.sign_in.strength import NotEnough
from resolvers.tokens import (
    FLOW_PREFIX,
    MAX_OPAQUE_LENGTH,
    hash_opaque_token,
    new_opaque_token,
)

log = logging.getLogger("groundql.accounts")

FLOW_LIFETIME: Final = timedelta(minutes=10)
_NOT_ENOUGH: Final = {
    SignInFailure.NOT_STRONG_ENOUGH: "This needs a stronger sign-in at the provider, such as with "
    "a second factor; use it there, and begin anew.",
    SignInFailure.TOO_LONG_AGO: "Your sign-in at the provider is too old, or the provider does not "
    "say when it was; sign in there again, and begin anew.",
}
# RFC 6749, A.11; and a length.
_CODE: Final = re.compile(r"[\x20-\x7e]{1,4096}")


@dataclass(frozen=True, slots=True)
class FlowStart:
    """Where the person goes, and what the client needs when they come back. `flow_token` never
    leaves the client, so that what stands in an address is not enough to sign in."""

    authorization_url: str
    state: str
    flow_token: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Arrival:
    """What the client brings back: the flow's own token, and what stands in the address. `provider`
    is where it believes that the person was."""

    flow_token: str
    state: str
    code: str
    iss: str | None = None
    provider: str | None = None


async def begin_flow(
    context: Context, *, provider: str, redirect_uri: str, linking: User | None = None
) -> FlowStart:
    """Begin a sign-in, or a link for `linking`.

    Raises:
        InvalidInput: provider or redirectUri.
        RateLimited: too many were begun from this network.
        SignInFailed: the provider cannot be used now.
    """
    services = context.services
    await services.rates.take_sign_in(network_of(context.address))
    found = services.providers.find(provider)
    if found is None:
        raise InvalidInput("provider", "There is no such provider.")
    if redirect_uri not in services.providers.redirect_uris:
        raise InvalidInput("redirectUri", "People may not be sent back to this address.")
    flow_token, flow_hash = new_opaque_token(FLOW_PREFIX)
    state, nonce = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    verifier = secrets.token_urlsafe(64)  # 86 characters of the 128 that PKCE allows
    try:
        url = await found.authorization_url(
            redirect_uri=redirect_uri, state=state, nonce=nonce, verifier=verifier
        )
    except ProviderFailed as error:
        raise _failed(found, error) from None
    expires_at = services.clock.now() + FLOW_LIFETIME
    await SignInFlow.create(
        flow_hash=flow_hash,
        state_hash=hash_opaque_token(state),
        provider=provider,
        issuer=found.settings.issuer,
        redirect_uri=redirect_uri,
        verifier=verifier,
        nonce=nonce,
        linking_user=linking,
        expires_at=expires_at,
    )
    return FlowStart(
        authorization_url=url, state=state, flow_token=flow_token, expires_at=expires_at
    )


async def find_flow(context: Context, flow_token: str) -> SignInFlow | None:
    """The flow of a token, if it has not expired."""
    if len(flow_token) > MAX_OPAQUE_LENGTH:
        return None
    return await SignInFlow.get_or_none(
        flow_hash=hash_opaque_token(flow_token.strip()),
        expires_at__gt=context.services.clock.now(),
    )


async def end_flow(
    context: Context, arrival: Arrival, *, linking: User | None = None
) -> tuple[SignInFlow, Provider, Person]:
    """Who has come back, as the provider says. The flow counts once, whatever comes of it.

    Raises:
        InvalidToken: there is no such flow, it was used or has expired, or it is somebody else's.
        SignInFailed: the provider cannot be used now, cannot be trusted, or the person has not
            signed in there as the operator asks for.
    """
    services = context.services
    row = await find_flow(context, arrival.flow_token)
    if (
        row is None
        or row.used_at is not None
        or row.linking_user_id != (None if linking is None else linking.id)
        or not hmac.compare_digest(row.state_hash, hash_opaque_token(arrival.state))
        or arrival.provider not in (None, row.provider)
        or not _CODE.fullmatch(arrival.code)
    ):
        raise unusable_flow()
    found = services.providers.find(row.provider)
    if found is None or found.settings.issuer != row.issuer:
        raise unusable_flow()
    # The write comes first: of several that come at once, only one finds the flow unused.
    if not await SignInFlow.filter(id=row.id, used_at__isnull=True).update(
        used_at=services.clock.now(), verifier="", nonce=""
    ):
        raise unusable_flow()
    try:
        person = await found.exchange(
            code=arrival.code,
            redirect_uri=row.redirect_uri,
            nonce=row.nonce,
            verifier=row.verifier,
            iss=arrival.iss,
        )
    except CodeRefused as error:
        log.warning("Sign-in by %s: %s", row.provider, error)
        await note_failure(context, found, "CODE_REFUSED")
        raise unusable_flow() from None
    except ProviderFailed as error:
        await note_failure(context, found, SignInFailure.PROVIDER_FAILED)
        raise _failed(found, error) from None
    except NotEnough as error:
        log.warning("Sign-in by %s: %s", row.provider, error)
        await note_failure(context, found, error.failure)
        raise SignInFailed(_NOT_ENOUGH[error.failure], error.failure) from None
    return row, found, person


def unusable_flow() -> InvalidToken:
    """What whoever comes back hears, whatever is wrong with the flow."""
    return InvalidToken("This sign-in is invalid, used or expired; begin anew.")


def _failed(provider: Provider, error: ProviderFailed) -> SignInFailed:
    log.warning("Sign-in by %s: %s", provider.settings.name, error)
    return SignInFailed(
        "The provider does not answer as it should; try again later.",
        SignInFailure.PROVIDER_FAILED,
    )


async def note_failure(context: Context, provider: Provider, why: str) -> None:
    """A person came back from a provider, and there is no sign-in all the same."""
    detail = f"{provider.settings.name} {why}"
    viewer = None if context.viewer is None else context.viewer.id
    await note_stranger(context, EventKind.SIGN_IN_FAILED, concerns=viewer, detail=detail)
