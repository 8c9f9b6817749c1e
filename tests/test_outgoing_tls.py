"""Whoever the server calls must show a certificate for its name by an authority that is trusted."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from jobs.mail_delivery import SmtpDelivery
from jobs.ports import DeliveryError
from models.base import new_id
from models.outbox_mail import OutboxMail
from rag.generation.base import RetryPolicy
from resolvers.clock import SystemClock
from resolvers.sign_in import bounded
from resolvers.sign_in.configuration import ProviderSettings
from resolvers.sign_in.provider import Provider, ProviderFailed
from tests.rag.generation.vendors import GEMINI, OPENAI, Vendor, outcome

pytestmark = pytest.mark.anyio

HOST = "localhost"


@lru_cache(maxsize=1)
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@lru_cache(maxsize=1)
def authority_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def certificate(name: str, *, by: ec.EllipticCurvePrivateKey, is_authority: bool = False) -> bytes:
    """One for a host, or that of the authority, in PEM."""
    now = datetime.now(UTC)
    own = authority_key() if is_authority else key()
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    issued_by = subject if by is own else authority_name()
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issued_by)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .sign(by, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


def authority_name() -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority.example")])


SHOWN: dict[str, Callable[[], bytes]] = {
    "self-signed": lambda: certificate(HOST, by=key()),
    "for another name": lambda: certificate("other.example", by=authority_key()),
    "right": lambda: certificate(HOST, by=authority_key()),
}


@pytest.fixture
def trusting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine trusts the authority, as an operator may tell it by the environment."""
    file = tmp_path / "authority.pem"
    file.write_bytes(certificate("authority.example", by=authority_key(), is_authority=True))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    bounded._tls.cache_clear()


@pytest.fixture(autouse=True)
def forget_contexts() -> Any:
    yield
    bounded._tls.cache_clear()


@asynccontextmanager
async def listening(shown: str, tmp_path: Path) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server behind this certificate: its port, and what clients have told it."""
    (tmp_path / "cert.pem").write_bytes(SHOWN[shown]())
    (tmp_path / "key.pem").write_bytes(
        key().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    told: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(b"220 mail.example\r\n")  # for SMTP; nonsense for HTTP
            told.append(await reader.read(4))
        except (OSError, ssl.SSLError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1], told
    finally:
        server.close()
        await asyncio.sleep(0.05)  # TLS says goodbye after the connection's end


async def send_mail(port: int) -> None:
    mail = OutboxMail(id=new_id(), to="a@example.com", subject="S", text="t", html="h")
    mail.created_at = datetime.now(UTC)
    with pytest.raises(DeliveryError):
        await SmtpDelivery(f"smtps://{HOST}:{port}", "G <g@example.com>", timeout=5).deliver(mail)


async def ask_provider(port: int) -> None:
    settings = ProviderSettings("p", f"https://{HOST}:{port}", "groundql")
    provider = Provider(settings, SystemClock(), production=True, timeout=5)
    try:
        with pytest.raises(ProviderFailed):
            await provider.metadata()
    finally:
        await provider.close()


def ask_model(vendor: Vendor) -> Callable[[int], Awaitable[None]]:
    async def ask(port: int) -> None:
        once = RetryPolicy(attempts=1, base_delay=0.01, max_delay=0.05, max_retry_after=0.5)

        class _Server:
            base_url = f"https://{HOST}:{port}"

        async with vendor.connected(_Server(), retry=once) as generator:  # type: ignore[arg-type]
            assert (await outcome(generator)).error is not None

    return ask


CALLERS: dict[str, Callable[[int], Awaitable[None]]] = {
    "mail": send_mail,
    "provider": ask_provider,
    "openai": ask_model(OPENAI),
    "gemini": ask_model(GEMINI),
}


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("shown", ["self-signed", "for another name"])
async def test_it_tells_nothing_to_the_wrong_one(caller: str, shown: str, tmp_path: Path) -> None:
    """Neither to one that vouches for itself, nor to one with a certificate of another name, though
    its authority is trusted: the call fails, and not a byte of it has left."""
    async with listening(shown, tmp_path) as (port, told):
        await CALLERS[caller](port)
        assert [one for one in told if one] == []


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize("caller", CALLERS)
async def test_it_speaks_to_the_right_one(caller: str, tmp_path: Path) -> None:
    """With the right certificate the same call goes out, so that the tests above mean something."""
    async with listening("right", tmp_path) as (port, told):
        await CALLERS[caller](port)
        assert [one for one in told if one]
