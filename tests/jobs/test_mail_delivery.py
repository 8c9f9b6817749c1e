from __future__ import annotations

import asyncio
import email
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest

from jobs.mail_delivery import (
    FileDelivery,
    SmtpDelivery,
    build_message,
    create_delivery,
    mask_tokens,
)
from jobs.ports import DeliveryError
from models.outbox_mail import OutboxMail
from tests.jobs.conftest import Mailbox, StartServer

SENDER = "GroundQL Büro <noreply@chat.example>"
TOKEN = "gqe_" + "Ab-_" * 10 + "xyz"

pytestmark = pytest.mark.anyio


def mail(to: str = "anna@example.com", subject: str = "Grüße an Jörg") -> OutboxMail:
    return OutboxMail(
        to=to,
        subject=subject,
        text=f"Bestätigen:\n\nhttps://chat.example/verify-email?token={TOKEN}\n",
        html=f'<p>Bestätigen: <a href="https://chat.example/verify-email?token={TOKEN}">ja</a></p>',
        created_at=datetime(2030, 1, 1, 12, 0, tzinfo=UTC),
    )


def parse(content: bytes | str | None) -> EmailMessage:
    assert isinstance(content, bytes)
    message = email.message_from_bytes(content, policy=default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


async def failure(delivery: SmtpDelivery | FileDelivery, row: OutboxMail) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await delivery.deliver(row)
    return caught.value


# ---- SMTP ----------------------------------------------------------------------------------------


async def test_delivers(mailbox: Mailbox, start_smtp: StartServer) -> None:
    """The mail arrives with its headers and with a text and an HTML part."""
    row = mail()
    await SmtpDelivery(f"smtp://127.0.0.1:{start_smtp()}", SENDER).deliver(row)
    (envelope,) = mailbox.received
    assert (envelope.mail_from, envelope.rcpt_tos) == ("noreply@chat.example", [row.to])
    message = parse(envelope.content)
    assert message["From"] == SENDER
    assert message["To"] == "anna@example.com"
    assert message["Subject"] == "Grüße an Jörg"
    assert message["Date"].datetime == row.created_at
    assert message["Message-ID"] == f"<{row.id}@chat.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "multipart/alternative"
    text, html = message.iter_parts()
    assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    assert text.get_content().replace("\r\n", "\n") == row.text
    assert html.get_content().strip() == row.html


async def test_sends_again_the_same(mailbox: Mailbox, start_smtp: StartServer) -> None:
    """A mail that is sent twice can be recognised by its Message-ID."""
    delivery, row = SmtpDelivery(f"smtp://127.0.0.1:{start_smtp()}", SENDER), mail()
    await delivery.deliver(row)
    await delivery.deliver(row)
    first, second = (parse(envelope.content)["Message-ID"] for envelope in mailbox.received)
    assert first == second


async def test_starttls_and_login(
    mailbox: Mailbox,
    start_smtp: StartServer,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
) -> None:
    """Where STARTTLS is offered the mail and the password go through it."""
    port = start_smtp(
        tls_context=server_tls,
        require_starttls=True,
        auth_required=True,
        authenticator=mailbox.authenticate,
    )
    url = f"smtp://anna%40example.com:p%40ss%2Fword@127.0.0.1:{port}"
    await SmtpDelivery(url, SENDER, tls_context=client_tls).deliver(mail())
    assert mailbox.secure == [True]
    assert mailbox.logins == [(b"anna@example.com", b"p@ss/word")]


async def test_smtps(
    mailbox: Mailbox,
    start_smtp: StartServer,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
) -> None:
    """smtps:// speaks TLS from the first byte."""
    port = start_smtp(ssl_context=server_tls)
    await SmtpDelivery(f"smtps://127.0.0.1:{port}", SENDER, tls_context=client_tls).deliver(mail())
    assert len(mailbox.received) == 1


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_certificates_are_checked(
    mailbox: Mailbox, start_smtp: StartServer, server_tls: ssl.SSLContext, scheme: str
) -> None:
    """A server with a certificate that nobody vouches for gets no mail."""
    port = start_smtp(**{"tls_context" if scheme == "smtp" else "ssl_context": server_tls})
    error = await failure(SmtpDelivery(f"{scheme}://127.0.0.1:{port}", SENDER), mail())
    assert not error.permanent
    assert "certificate" in str(error).lower()
    assert mailbox.received == []


async def test_wrong_password(
    mailbox: Mailbox,
    start_smtp: StartServer,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
) -> None:
    """A refused login is tried again, as the setting may be mended, and shows no password."""
    port = start_smtp(
        tls_context=server_tls, auth_required=True, authenticator=mailbox.authenticate
    )
    delivery = SmtpDelivery(
        f"smtp://anna:s3cret-word@127.0.0.1:{port}", SENDER, tls_context=client_tls
    )
    error = await failure(delivery, mail())
    assert not error.permanent
    assert str(error).startswith("535 ")
    assert "s3cret" not in f"{error} {delivery!r}"


async def test_password_to_this_machine(mailbox: Mailbox, start_smtp: StartServer) -> None:
    """Without TLS a password goes to this machine only."""
    port = start_smtp(auth_require_tls=False, authenticator=mailbox.authenticate)
    url = f"smtp://anna:p%40ss%2Fword@127.0.0.1:{port}"
    await SmtpDelivery(url, SENDER).deliver(mail())
    assert len(mailbox.logins) == len(mailbox.received) == 1


async def test_password_needs_tls(
    mailbox: Mailbox, start_smtp: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without TLS a password goes to no other machine, even if that means no mail."""
    port = start_smtp(auth_require_tls=False, authenticator=mailbox.authenticate)
    resolve = socket.getaddrinfo

    def as_mail_example(host: str | None, *args: object, **options: object) -> object:
        return resolve("127.0.0.1" if host == "mail.example" else host, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", as_mail_example)
    error = await failure(SmtpDelivery(f"smtp://a:b@mail.example:{port}", SENDER), mail())
    assert "STARTTLS" in str(error)
    assert not error.permanent
    assert mailbox.logins == []
    assert mailbox.received == []


@pytest.mark.parametrize(
    ("answer", "permanent"),
    [("550 5.1.1 No such user", True), ("450 4.2.0 Greylisted, come back", False)],
)
async def test_refused_recipient(
    mailbox: Mailbox, start_smtp: StartServer, answer: str, permanent: bool
) -> None:
    """A 5xx for the recipient is final, a 4xx is not."""
    mailbox.rcpt_answers["anna@example.com"] = answer
    error = await failure(SmtpDelivery(f"smtp://127.0.0.1:{start_smtp()}", SENDER), mail())
    assert (str(error), error.permanent) == (answer, permanent)


@pytest.mark.parametrize(("code", "permanent"), [(554, True), (451, False)])
async def test_refused_content(
    mailbox: Mailbox, start_smtp: StartServer, code: int, permanent: bool
) -> None:
    """The same holds for the content, and a server that quotes it does not leak our token."""
    mailbox.data_answer = f"{code} Bad link: https://chat.example/verify-email?token={TOKEN}"
    error = await failure(SmtpDelivery(f"smtp://127.0.0.1:{start_smtp()}", SENDER), mail())
    assert error.permanent is permanent
    assert str(error) == f"{code} Bad link: https://chat.example/verify-email?token=gqe_…"


async def test_slow_server(mailbox: Mailbox, start_smtp: StartServer) -> None:
    """A server that stops answering is given up after the time-out."""
    mailbox.silent = True
    delivery = SmtpDelivery(f"smtp://127.0.0.1:{start_smtp()}", SENDER, timeout=0.3)
    error = await failure(delivery, mail())
    assert (str(error), error.permanent) == ("the mail server did not answer in time", False)


@pytest.fixture
async def drip_port(anyio_backend: str) -> AsyncIterator[int]:
    """A server that sends a line of its greeting every 0.1 s and never comes to an end."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(b"220-wait\r\n")
                await writer.drain()
                await asyncio.sleep(0.1)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def test_dripping_server(drip_port: int) -> None:
    """A server that keeps talking is given up, too."""
    async with asyncio.timeout(5):
        error = await failure(
            SmtpDelivery(f"smtp://127.0.0.1:{drip_port}", SENDER, timeout=0.3), mail()
        )
    assert not error.permanent


async def test_no_server() -> None:
    """Without a server the mail waits."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    error = await failure(SmtpDelivery(f"smtp://127.0.0.1:{port}", SENDER), mail())
    assert not error.permanent
    assert str(port) in str(error)


async def test_international_addresses(mailbox: Mailbox, start_smtp: StartServer) -> None:
    """A domain goes out in ASCII, a local part with SMTPUTF8 where the server has it."""
    port = start_smtp(enable_SMTPUTF8=True)
    delivery = SmtpDelivery(f"smtp://127.0.0.1:{port}", SENDER)
    await delivery.deliver(mail("anna@bücher.example"))
    await delivery.deliver(mail("jörg@bücher.example"))
    recipients = [envelope.rcpt_tos for envelope in mailbox.received]
    assert recipients == [["anna@xn--bcher-kva.example"], ["jörg@xn--bcher-kva.example"]]


async def test_no_smtputf8(mailbox: Mailbox, start_smtp: StartServer) -> None:
    """A local part that the server cannot take is final."""
    port = start_smtp(enable_SMTPUTF8=False)
    error = await failure(
        SmtpDelivery(f"smtp://127.0.0.1:{port}", SENDER), mail("jörg@bücher.example")
    )
    assert error.permanent


@pytest.mark.parametrize("to", ["nobody", "a@example.com, b@example.com", "a@b.example\r\nX: y"])
async def test_damaged_recipient(to: str, tmp_path: Path) -> None:
    """A row whose recipient is not one address is never sent."""
    assert (await failure(SmtpDelivery("smtp://127.0.0.1:1", SENDER), mail(to))).permanent
    assert (await failure(FileDelivery(tmp_path, SENDER), mail(to))).permanent


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("smtp://mail.example", "mail.example:25"),
        ("smtp://a:b@mail.example", "mail.example:587"),
        ("smtps://a:b@mail.example", "mail.example:465"),
        ("smtp://[::1]:2525", "::1:2525"),
    ],
)
async def test_default_ports(url: str, where: str) -> None:
    """The port follows the scheme: 465 for smtps, 587 with a password, else 25."""
    assert repr(SmtpDelivery(url, SENDER)) == f"<SmtpDelivery {where}>"


# ---- files ---------------------------------------------------------------------------------------


async def test_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The mail becomes a private .eml file; the log names it, and nothing that is in it."""
    row, folder = mail(), tmp_path / "outbox"
    with caplog.at_level(logging.INFO, logger="groundql.mail"):
        await FileDelivery(folder, SENDER).deliver(row)
        await FileDelivery(folder, SENDER).deliver(row)  # after a crash
    (path,) = await asyncio.to_thread(lambda: list(folder.iterdir()))
    assert path.name == f"20300101T120000Z-{row.id}.eml"
    assert path.stat().st_mode & 0o777 == 0o600
    message = parse(await asyncio.to_thread(path.read_bytes))
    assert message["Message-ID"] == f"<{row.id}@chat.example>"
    text = message.get_body(("plain",))
    assert text is not None
    assert TOKEN in text.get_content()
    assert TOKEN not in caplog.text
    assert "anna@example.com" not in caplog.text
    assert "Grüße" not in caplog.text
    assert str(path) in caplog.text


async def test_file_with_international_address(tmp_path: Path) -> None:
    """An address that is not ASCII is written as UTF-8."""
    await FileDelivery(tmp_path, SENDER).deliver(mail("jörg@bücher.example"))
    (path,) = await asyncio.to_thread(lambda: list(tmp_path.iterdir()))
    content = await asyncio.to_thread(path.read_bytes)
    assert "To: jörg@xn--bcher-kva.example".encode() in content


async def test_full_disk(tmp_path: Path) -> None:
    """A folder that cannot be written lets the mail wait."""
    (tmp_path / "file").touch()
    error = await failure(FileDelivery(tmp_path / "file" / "outbox", SENDER), mail())
    assert not error.permanent


async def test_default_sender() -> None:
    """The default sender, on localhost, is accepted."""
    message = build_message(mail(), "GroundQL <noreply@localhost>")
    assert message["From"] == "GroundQL <noreply@localhost>"


async def test_create_delivery(tmp_path: Path) -> None:
    """SMTP where there is a URL, else files."""
    assert isinstance(create_delivery("", sender=SENDER, folder=tmp_path), FileDelivery)
    smtp = create_delivery("smtp://mail.example", sender=SENDER, folder=tmp_path)
    assert isinstance(smtp, SmtpDelivery)


async def test_mask_tokens() -> None:
    """All our kinds of opaque tokens are masked, and nothing else."""
    text = f"a {TOKEN} b gqr_{'x' * 43}, gq_x gqe_short /gqe"
    assert mask_tokens(text) == "a gqe_… b gqr_…, gq_x gqe_short /gqe"
