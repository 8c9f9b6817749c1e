"""Ways out for mails: an SMTP server, or files for development."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
import socket
import ssl
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime, parseaddr
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import unquote, urlsplit

import aiosmtplib
from email_validator import EmailNotValidError, validate_email

from jobs.ports import Delivery, DeliveryError
from models.outbox_mail import OutboxMail

log = logging.getLogger("groundql.mail")

_TOKEN = re.compile(r"\b(gq[a-z]_)[A-Za-z0-9_-]{16,}")


def mask_tokens(text: str) -> str:
    """The text with the values of our tokens left out."""
    return _TOKEN.sub(r"\1…", text)


def create_delivery(smtp_url: str, *, sender: str, folder: Path) -> Delivery:
    """SMTP where a URL is set, else files in `folder`."""
    if smtp_url:
        return SmtpDelivery(smtp_url, sender)
    return FileDelivery(folder, sender)


def build_message(mail: OutboxMail, sender: str) -> EmailMessage:
    """The mail as text and HTML, the same each time: its Message-ID and Date are the row's.

    Raises:
        DeliveryError: the recipient is not an address.
    """
    name, sender_address = parseaddr(sender)
    sender_user, sender_domain = _wire_address(sender_address)
    user, domain = _wire_address(mail.to)
    message = EmailMessage()
    message["From"] = Address(name, sender_user, sender_domain)
    message["To"] = Address("", user, domain)
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(mail.created_at)
    message["Message-ID"] = f"<{mail.id}@{sender_domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text)
    message.add_alternative(mail.html, subtype="html")
    return message


def _wire_address(address: str) -> tuple[str, str]:
    """Local part and domain of an address, the domain in ASCII."""
    local, _, domain = address.rpartition("@")
    if local and domain == "localhost":  # the default sender
        return local, domain
    try:
        valid = validate_email(address, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise DeliveryError(f"This is no email address: {error}", permanent=True) from None
    return valid.local_part, valid.ascii_domain


class SmtpDelivery:
    """Sends through the server of an `smtp://user:password@host:port` or `smtps://…` URL.

    smtp:// turns to TLS with STARTTLS where the server offers it, and certificates are checked.
    A password leaves only through TLS or to this machine: a server that suddenly offers no
    STARTTLS may be somebody in between. The default port is 465 for smtps://, else 587 with a
    password and 25 without.
    """

    def __init__(
        self,
        url: str,
        sender: str,
        *,
        timeout: float = 15,
        tls_context: ssl.SSLContext | None = None,
    ) -> None:
        """`timeout`, in seconds, holds for each step of the conversation."""
        parts = urlsplit(url)
        self._host = parts.hostname or "localhost"
        self._tls = parts.scheme == "smtps"
        self._user = unquote(parts.username or "")
        self._password = unquote(parts.password or "")
        self._port = parts.port or (465 if self._tls else 587 if self._user else 25)
        self._sender = sender
        self._timeout = timeout
        self._tls_context = tls_context or ssl.create_default_context()

    def __repr__(self) -> str:
        return f"<SmtpDelivery {self._host}:{self._port}>"

    async def deliver(self, mail: OutboxMail) -> None:
        message = build_message(mail, self._sender)
        client = aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            use_tls=self._tls,
            start_tls=False,
            tls_context=self._tls_context,
            timeout=self._timeout,
            # Else aiosmtplib asks the DNS for this machine's full name.
            local_hostname=socket.gethostname() or "localhost",
        )
        try:
            async with asyncio.timeout(4 * self._timeout):
                async with client:
                    await self._secure(client)
                    await client.send_message(message)
        except aiosmtplib.SMTPRecipientsRefused as error:
            refusal = error.recipients[0]
            raise self._error(refusal, permanent=refusal.code >= 500) from error
        except aiosmtplib.SMTPDataError as error:
            raise self._error(error, permanent=error.code >= 500) from error
        except aiosmtplib.SMTPNotSupported as error:
            raise self._error(error, permanent=True) from error
        except (aiosmtplib.SMTPException, OSError, TimeoutError, ValueError) as error:
            # The server's or our configuration's fault, which somebody may mend: try again.
            raise self._error(error) from error

    async def _secure(self, client: aiosmtplib.SMTP) -> None:
        await client.ehlo()
        secure = self._tls
        if not secure and client.supports_extension("starttls"):
            await client.starttls()
            secure = True
        if self._user:
            if not secure and not _is_this_machine(self._host):
                raise DeliveryError(
                    "The mail server does not offer STARTTLS, so the password was not sent; "
                    "use smtps:// if it can"
                )
            await client.login(self._user, self._password)

    def _error(self, error: Exception, *, permanent: bool = False) -> DeliveryError:
        if isinstance(error, aiosmtplib.SMTPResponseException):
            reason = f"{error.code} {error.message}"
        elif isinstance(error, TimeoutError):
            reason = "the mail server did not answer in time"
        else:
            reason = str(error) or type(error).__name__
        reason = mask_tokens(" ".join(reason.split()))
        if self._password:
            reason = reason.replace(self._password, "…")
        return DeliveryError(reason, permanent=permanent)


class FileDelivery:
    """Writes mails into a folder as .eml files, which mail programs open, and says so in the log.

    The log names the file alone: address and text are in it, and only its owner can read it.
    """

    def __init__(self, folder: Path, sender: str) -> None:
        self._folder = folder
        self._sender = sender

    async def deliver(self, mail: OutboxMail) -> None:
        message = build_message(mail, self._sender)
        path = self._folder / f"{mail.created_at:%Y%m%dT%H%M%SZ}-{mail.id}.eml"
        policy = SMTP if mail.to.isascii() else SMTPUTF8
        try:
            await asyncio.to_thread(_write_private, path, message.as_bytes(policy=policy))
        except OSError as error:
            raise DeliveryError(f"the mail cannot be written: {error}") from error
        log.info("A mail is in %s", path)


def _write_private(path: Path, content: bytes) -> None:
    """Write a file that appears complete or not at all, for its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
