from __future__ import annotations

import pytest

from models.outbox_mail import OutboxMail
from models.store import Store
from resolvers import mail_texts
from resolvers.mail import Mailer
from tests.clock import RunningClock


@pytest.fixture
def mailer(store: Store, clock: RunningClock) -> Mailer:
    return Mailer(clock, base_url="https://chat.example")


@pytest.mark.anyio
async def test_enqueue(mailer: Mailer, clock: RunningClock) -> None:
    """A mail is due at once; the job hears of it when the caller says so, after the commit."""
    await mailer.enqueue("a@example.com", "Hello", "text", "<p>html</p>")
    assert not mailer.waiting.is_set()
    mailer.wake()
    assert mailer.waiting.is_set()
    mail = await OutboxMail.get()
    assert (mail.to, mail.subject, mail.text, mail.html, mail.attempts) == (
        "a@example.com",
        "Hello",
        "text",
        "<p>html</p>",
        0,
    )
    assert mail.next_attempt_at is not None
    assert mail.next_attempt_at < clock.now()


@pytest.mark.anyio
async def test_undone_with_the_transaction(mailer: Mailer, store: Store) -> None:
    """A mail of a transaction that is undone was never there."""

    async def fail() -> None:
        async with store.transaction():
            await mailer.enqueue("a@example.com", "Hello", "text", "html")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert await OutboxMail.all().count() == 0


@pytest.mark.anyio
@pytest.mark.parametrize("bad", ["", "a@example.com\r\nBcc: b@example.com", "a\0", "a\u2028b"])
async def test_header_injection(mailer: Mailer, bad: str) -> None:
    """Neither a recipient nor a subject can add a header line."""
    with pytest.raises(ValueError, match="one line"):
        await mailer.enqueue(bad, "Hello", "text", "html")
    with pytest.raises(ValueError, match="one line"):
        await mailer.enqueue("a@example.com", bad, "text", "html")
    assert await OutboxMail.all().count() == 0


def test_verification_text() -> None:
    """Both parts carry the whole link, once to click and once to copy."""
    mail = mail_texts.verification("https://chat.example", "a@example.com", "gqe_AZ-09_x")
    link = "https://chat.example/verify-email#token=gqe_AZ-09_x"
    assert f"\n{link}\n" in mail.text
    assert mail.html.count(f'href="{link}"') == 1
    assert mail.html.count(link) == 2
    assert "48 hours" in mail.text


def test_texts_are_escaped() -> None:
    """What an address or a link contains stays text in the HTML part."""
    email = "<b>&x@example.com"
    for mail in (
        mail_texts.verification('https://chat.example/"><script>', email, '"<&'),
        mail_texts.account_exists('https://chat.example/"><script>', email),
        mail_texts.shared('https://chat.example/"><script>', email),
        mail_texts.invitation('https://chat.example/"><script>', email),
    ):
        assert "<script" not in mail.html
        assert "<b>" not in mail.html
        assert "&lt;b&gt;&amp;x@example.com" in mail.html


def test_texts_about_a_shared_session() -> None:
    """They say that someone shared something, lead to the server, and name only the address that
    they go to; one without an account is told to register with exactly that."""
    shared = mail_texts.shared("https://chat.example", "a@example.com")
    invited = mail_texts.invitation("https://chat.example", "a@example.com")
    for mail in (shared, invited):
        assert mail.subject == "A conversation was shared with you"
        for body in (mail.text, mail.html):
            assert "Someone who uses GroundQL has shared a conversation with you." in body
            assert "https://chat.example" in body
            assert "a@example.com" in body
    assert "register with exactly this address, a@example.com," in invited.text
    assert "register" not in shared.text
