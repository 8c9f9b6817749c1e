"""How well and how recently a person must have signed in at a provider (OpenID Connect Core, 2 and
3.1.2.1: acr, amr, auth_time and max_age)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from resolvers.errors import SignInFailure
from resolvers.sign_in.configuration import ProviderSettings
from resolvers.sign_in.id_token import LEEWAY

_MAX_METHODS: Final = 50


class NotEnough(Exception):
    """The person has signed in at the provider, and not as the operator asks for."""

    def __init__(self, failure: SignInFailure) -> None:
        super().__init__(failure.value)
        self.failure = failure


def asked_of(rules: ProviderSettings, *, takes_claims: bool) -> dict[str, str]:
    """What the request to the provider says about it; `takes_claims`: it knows the parameter
    `claims` (Core, 5.5), by which a value is asked for that must be there."""
    asked: dict[str, str] = {}
    essential: dict[str, Any] = {}
    if rules.required_acr:
        asked["acr_values"] = " ".join(rules.required_acr)
        essential["acr"] = {"essential": True, "values": list(rules.required_acr)}
    if rules.required_amr:
        essential["amr"] = {"essential": True}
    if (seconds := rules.oldest_sign_in) is not None:
        asked["max_age"] = str(seconds)
        essential["auth_time"] = {"essential": True}
    if essential and takes_claims:
        asked["claims"] = json.dumps({"id_token": essential})
    return asked


def check(rules: ProviderSettings, claims: Mapping[str, Any], now: datetime) -> datetime | None:
    """When the login that is made now ends in any case; None: never. What the provider does not
    say does not count as said.

    Raises:
        NotEnough
    """
    if rules.required_acr and claims.get("acr") not in rules.required_acr:
        raise NotEnough(SignInFailure.NOT_STRONG_ENOUGH)
    methods = claims.get("amr")
    known = methods[:_MAX_METHODS] if isinstance(methods, list) else []
    if any(method not in known for method in rules.required_amr):
        raise NotEnough(SignInFailure.NOT_STRONG_ENOUGH)
    if rules.oldest_sign_in is None:
        return None
    moment = _moment(claims.get("auth_time"))
    if moment is None or moment > now + timedelta(seconds=LEEWAY):
        raise NotEnough(SignInFailure.TOO_LONG_AGO)
    if moment + timedelta(seconds=rules.oldest_sign_in + LEEWAY) < now:
        raise NotEnough(SignInFailure.TOO_LONG_AGO)
    if rules.login_seconds is None:
        return None
    # A login that is over before it begins helps nobody; the leeway is the provider's clock's.
    ends_at = moment + timedelta(seconds=rules.login_seconds)
    if ends_at <= now:
        raise NotEnough(SignInFailure.TOO_LONG_AGO)
    return ends_at


def _moment(value: Any) -> datetime | None:
    """A time in seconds since 1970; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return None
