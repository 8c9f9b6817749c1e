"""What jobs need from outside; server.py plugs in the real ones, tests their own."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from models.outbox_mail import OutboxMail


class Clock(Protocol):
    def now(self) -> datetime:
        """The current time, aware, in UTC."""


class Delivery(Protocol):
    """Takes a mail out of the house."""

    async def deliver(self, mail: OutboxMail) -> None:
        """Hand the mail over; on return somebody else is responsible for it.

        Delivering the same mail again, after a crash, is harmless and recognisable by its
        Message-ID.

        Raises:
            DeliveryError: it was not handed over, and why.
        """


class DeliveryError(Exception):
    """A mail was not handed over. The message holds no secrets and is kept with the mail.

    `permanent`: another try would fail in the same way.
    """

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent
