"""A store, a clock and a real SMTP server for jobs."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from models.store import Store
from tests.clock import SettableClock
from tests.stores import copied_store


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
async def store(anyio_backend: str, empty_sqlite: Path, tmp_path: Path) -> AsyncIterator[Store]:
    async with copied_store(empty_sqlite, tmp_path) as store:
        yield store


class Mailbox:
    """What the SMTP server does and what it got."""

    def __init__(self) -> None:
        self.received: list[Envelope] = []
        self.secure: list[bool] = []
        self.logins: list[tuple[bytes, bytes]] = []
        self.rcpt_answers: dict[str, str] = {}
        self.data_answer = "250 OK"
        self.silent = False

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self.rcpt_answers.get(address, "250 OK")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.silent:
            await asyncio.sleep(30)
        if self.data_answer.startswith("250"):
            self.received.append(envelope)
            self.secure.append(session.ssl is not None)
        return self.data_answer

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"p@ss/word", handled=False)


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail.example")])
    now = datetime.now(UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(alternative, critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("certificate")
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
async def server_tls(
    anyio_backend: str, certificate: tuple[Path, Path]
) -> AsyncIterator[ssl.SSLContext]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    yield context
    # The client says goodbye in TLS after the test; the loop must not end before.
    await asyncio.sleep(0.1)


@pytest.fixture
def client_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    """What trusts the server's certificate."""
    return ssl.create_default_context(cafile=str(certificate[0]))


class RememberingController(Controller):
    """Knows its connections."""

    def __init__(self, handler: Mailbox, **options: Any) -> None:
        super().__init__(handler, hostname="127.0.0.1", **options)
        self.sessions: list[SMTP] = []

    def factory(self) -> SMTP:
        session: SMTP = super().factory()  # type: ignore[no-untyped-call]
        self.sessions.append(session)
        return session


StartServer = Callable[..., int]


@pytest.fixture
def start_smtp(mailbox: Mailbox) -> Iterator[StartServer]:
    """Starts an SMTP server with these options for aiosmtpd; returns its port."""
    controllers: list[RememberingController] = []

    def start(**options: Any) -> int:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port: int = free.getsockname()[1]
        controller = RememberingController(mailbox, port=port, **options)
        controllers.append(controller)
        controller.start()
        return port

    yield start
    for controller in controllers:
        # stop() leaves connections open, which would be a warning; aiosmtpd itself forgets those
        # whose TLS handshake failed.
        for session in controller.sessions:
            transport: Any = session._original_transport or session.transport
            if transport is not None:
                controller.loop.call_soon_threadsafe(transport.abort)
        for _ in range(200):
            if not _connections(controller.server):
                break
            time.sleep(0.01)
        controller.stop()


def _connections(server: Any) -> int:
    """How many connections an asyncio.Server has (Python 3.11 counts, later ones keep a set)."""
    return server._active_count if hasattr(server, "_active_count") else len(server._clients)
