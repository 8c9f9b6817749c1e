"""What the operator decides about accounts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from models.user import EDITORS, Role

LOGIN_LIFETIME: Final = timedelta(days=90)


class SecondFactorFor(StrEnum):
    """Who needs a second factor."""

    NOBODY = "nobody"
    EDITORS = "editors"
    EVERYONE = "everyone"

    def includes(self, role: Role) -> bool:
        match self:
            case SecondFactorFor.NOBODY:
                return False
            case SecondFactorFor.EDITORS:
                return role in EDITORS
            case SecondFactorFor.EVERYONE:
                return True


@dataclass(frozen=True, slots=True)
class AccountRules:
    """`refresh_grace`: how long a used refresh token gives the same pair again, if its successor
    was not used. Mails are counted per hour, by the mailbox they go to and the network that asks.

    A login ends `login_lifetime` after it was made, and when it was not used for `login_idle`.
    For `fresh_login` after that it may do what a stolen device must not; None: for ever.
    """

    refresh_grace: timedelta = timedelta(seconds=10)
    mails_per_mailbox: int = 10
    mails_per_network: int = 300
    login_lifetime: timedelta = LOGIN_LIFETIME
    login_idle: timedelta = timedelta(days=30)
    fresh_login: timedelta | None = None
    second_factor_for: SecondFactorFor = SecondFactorFor.NOBODY
    strict_totp: bool = False
