"""What the operator decides about accounts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class AccountRules:
    """`refresh_grace`: how long a used refresh token gives the same pair again, if its successor
    was not used. Mails are counted per hour, by the mailbox they go to and the network that asks.
    """

    refresh_grace: timedelta = timedelta(seconds=10)
    mails_per_mailbox: int = 10
    mails_per_network: int = 300
