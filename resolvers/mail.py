"""Mails that use cases send: they go to the outbox, and a job delivers them."""

from __future__ import annotations

import asyncio
import unicodedata

from models.outbox_mail import OutboxMail
from resolvers import mail_texts
from resolvers.clock import Clock
from texts import ENGLISH, Language


class Mailer:
    """Writes mails into the outbox, within the caller's transaction.

    `waiting` is set by `wake`, after the commit, for the job that delivers; the job clears it. A
    forgotten `wake` costs a few seconds, since the job also looks by itself.
    """

    def __init__(self, clock: Clock, *, base_url: str) -> None:
        """`base_url` is where people reach the server, without a slash at the end."""
        self._clock = clock
        self.base_url = base_url
        self.waiting = asyncio.Event()

    async def enqueue(self, to: str, subject: str, text: str, html: str) -> None:
        """Put a mail into the outbox.

        Raises:
            ValueError: `to` or `subject` could break out of its header line. Addresses come here
                in normal form and subjects are ours, so this is a bug.
        """
        for header in (to, subject):
            if not header or any(
                unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in header
            ):
                raise ValueError("a mail's recipient and subject are one line of printable text")
        await OutboxMail.create(
            to=to, subject=subject, text=text, html=html, next_attempt_at=self._clock.now()
        )

    async def send_verification(self, to: str, token: str, language: Language = ENGLISH) -> None:
        """The link that proves an address."""
        await self._enqueue(to, mail_texts.verification(self.base_url, to, token, language))

    async def send_account_exists(self, to: str, language: Language = ENGLISH) -> None:
        """The answer to a registration with an address that already has an account."""
        await self._enqueue(to, mail_texts.account_exists(self.base_url, to, language))

    async def send_shared(self, to: str, language: Language = ENGLISH) -> None:
        """Tells a person with an account of a session that was shared with them."""
        await self._enqueue(to, mail_texts.shared(self.base_url, to, language))

    async def send_invitation(self, to: str, language: Language = ENGLISH) -> None:
        """Tells an address without an account of a session that waits for it."""
        await self._enqueue(to, mail_texts.invitation(self.base_url, to, language))

    async def send_password_reset(self, to: str, token: str, language: Language = ENGLISH) -> None:
        """The link with which a person who forgot their password sets a new one."""
        await self._enqueue(to, mail_texts.password_reset(self.base_url, to, token, language))

    async def send_password_changed(self, to: str, language: Language = ENGLISH) -> None:
        """Tells a person that their password is another one now."""
        await self._enqueue(to, mail_texts.password_changed(self.base_url, to, language))

    async def send_email_change(
        self, to: str, new_email: str, token: str, language: Language = ENGLISH
    ) -> None:
        """The link with which one of two mailboxes agrees to another address."""
        await self._enqueue(to, mail_texts.email_change(self.base_url, new_email, token, language))

    async def send_email_changed(
        self, to: str, new_email: str, language: Language = ENGLISH
    ) -> None:
        """Tells the mailbox of before that the account has another address now."""
        await self._enqueue(to, mail_texts.email_changed(self.base_url, new_email, language))

    async def send_identity_linked(
        self, to: str, provider: str, language: Language = ENGLISH
    ) -> None:
        """Tells a person that somebody can sign in by another provider from now on."""
        await self._enqueue(to, mail_texts.identity_linked(self.base_url, to, provider, language))

    async def send_identity_unlinked(
        self, to: str, provider: str, language: Language = ENGLISH
    ) -> None:
        """Tells a person that a provider signs them in no more."""
        await self._enqueue(to, mail_texts.identity_unlinked(self.base_url, to, provider, language))

    async def send_account_deleted(self, to: str, language: Language = ENGLISH) -> None:
        """The last mail to a person."""
        await self._enqueue(to, mail_texts.account_deleted(self.base_url, to, language))

    async def send_nothing(self) -> None:
        """The work of a mail without one: whoever measures the time must not learn whether there
        was one. What it leaves is never sent, and goes as other mails do."""
        now = self._clock.now()
        await OutboxMail.create(
            to="", subject="", text="", html="", next_attempt_at=None, failed_at=now
        )

    async def _enqueue(self, to: str, mail: mail_texts.MailText) -> None:
        await self.enqueue(to, mail.subject, mail.text, mail.html)

    def wake(self) -> None:
        """Tell the delivering job that a mail waits; call it after the commit."""
        self.waiting.set()
