"""The words of our mails, as plain text and as HTML.

A token stands behind the # of a link: a browser keeps that to itself, so that it is in no log of a
server or proxy.

Each is said in English here, and translated by the catalogue. They hold nothing that a person typed
but the address they go to: whoever registers a stranger's address must not be able to put words
into the mail that the stranger gets.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from urllib.parse import quote

from texts import ENGLISH, Language, fill, translate

COPY = "Or copy this address into your browser:"


@dataclass(frozen=True, slots=True)
class MailText:
    subject: str
    text: str
    html: str


def verification(base_url: str, email: str, token: str, language: Language = ENGLISH) -> MailText:
    """Asks the owner of an address to confirm it. The link opens a page that asks for the
    password, since whoever opens it need not be who registered."""
    link = f"{base_url}/verify-email#token={quote(token, safe='')}"
    return _mail(
        language,
        "Please confirm your email address",
        [
            fill(
                "Someone, hopefully you, registered at GroundQL with the address {email}.",
                email=email,
            ),
            "Open this link and give your password to confirm that the address is yours:",
        ],
        link,
        "Confirm this address",
        [
            "The link works for 48 hours.",
            "If it was not you, do nothing: without the password of the registration nothing is "
            "confirmed.",
        ],
    )


def account_exists(base_url: str, email: str, language: Language = ENGLISH) -> MailText:
    """Tells the owner of an account that someone tried to register with its address."""
    return _mail(
        language,
        "You already have an account",
        [
            fill(
                "Someone, perhaps you, tried to register at GroundQL with the address {email}.",
                email=email,
            ),
            "You already have an account, so nothing was changed. Log in with your password:",
        ],
        base_url,
        "Go to GroundQL",
        ["If it was not you, you need not do anything: your account is safe."],
    )


def shared(base_url: str, email: str, language: Language = ENGLISH) -> MailText:
    """Tells the owner of an account that a session was shared with it."""
    return _mail(
        language,
        "A conversation was shared with you",
        [
            "Someone who uses GroundQL has shared a conversation with you.",
            fill("Log in with the address {email} to see it in your list:", email=email),
        ],
        base_url,
        "Go to GroundQL",
        ["If you did not expect this, you need not do anything; you can leave it at any time."],
    )


def invitation(base_url: str, email: str, language: Language = ENGLISH) -> MailText:
    """Tells an address without an account that a session waits for it."""
    return _mail(
        language,
        "A conversation was shared with you",
        [
            "Someone who uses GroundQL has shared a conversation with you.",
            fill(
                "To see it, register with exactly this address, {email}, and open the link in the "
                "mail that follows; the conversation is in your list then:",
                email=email,
            ),
        ],
        base_url,
        "Go to GroundQL",
        ["If you did not expect this, do nothing: without you nobody can use your address."],
    )


def password_reset(base_url: str, email: str, token: str, language: Language = ENGLISH) -> MailText:
    """Lets the owner of an account set a new password. The link opens a page with a form."""
    return _mail(
        language,
        "Set a new password",
        [
            fill(
                "Someone, hopefully you, has forgotten the password of the account {email}.",
                email=email,
            ),
            "Open this link to set a new one; you will be logged out everywhere:",
        ],
        f"{base_url}/reset-password#token={quote(token, safe='')}",
        "Set a new password",
        [
            "The link works for one hour.",
            "If it was not you, you need not do anything: your account is safe.",
        ],
    )


def password_changed(base_url: str, email: str, language: Language = ENGLISH) -> MailText:
    """Tells the owner of an account that it has another password."""
    return _mail(
        language,
        "Your password was changed",
        [
            fill("The password of the account {email} was changed just now.", email=email),
            "If it was you, all is well. If not, open GroundQL and set a new password at once, "
            'with "forgotten password":',
        ],
        base_url,
        "Go to GroundQL",
        [],
    )


def email_change(
    base_url: str, new_email: str, token: str, language: Language = ENGLISH
) -> MailText:
    """Asks one of two mailboxes to agree to another address. The link opens a page with a button.

    Both mails name the new address, which is the one text here that somebody has typed.
    """
    return _mail(
        language,
        "Please confirm the change of your address",
        [
            fill(
                "Someone, hopefully you, wants a GroundQL account to have the address {email} from "
                "now on.",
                email=new_email,
            ),
            "It happens once the link in this mail and the one in the mail to the other address "
            "were opened:",
        ],
        f"{base_url}/confirm-email-change#token={quote(token, safe='')}",
        "Confirm the change",
        [
            "The link works for 48 hours.",
            "If it was not you, do not open the link, and set a new password.",
        ],
    )


def email_changed(base_url: str, new_email: str, language: Language = ENGLISH) -> MailText:
    """Tells the mailbox of before that the account has another address now."""
    return _mail(
        language,
        "Your address was changed",
        [fill("Your GroundQL account has the address {email} from now on.", email=new_email)],
        base_url,
        "Go to GroundQL",
        [],
    )


def identity_linked(
    base_url: str, email: str, provider: str, language: Language = ENGLISH
) -> MailText:
    """Tells the owner of an account of another way in. `provider` is the operator's label."""
    return _mail(
        language,
        "Another way to sign in was added",
        [
            fill(
                "From now on, an identity at {provider} signs in to the GroundQL account {email}.",
                provider=provider,
                email=email,
            ),
            "If it was you, all is well. If not, open GroundQL, set a new password at once, with "
            '"forgotten password", and remove that identity from your account:',
        ],
        base_url,
        "Go to GroundQL",
        [],
    )


def identity_unlinked(
    base_url: str, email: str, provider: str, language: Language = ENGLISH
) -> MailText:
    """Tells the owner of an account that a way in is gone."""
    return _mail(
        language,
        "A way to sign in was removed",
        [
            fill(
                "An identity at {provider} does not sign in to the GroundQL account {email} any "
                "more, and the logins that it had made were ended.",
                provider=provider,
                email=email,
            ),
            "If it was you, all is well. If not, open GroundQL and set a new password at once, "
            'with "forgotten password":',
        ],
        base_url,
        "Go to GroundQL",
        [],
    )


def account_deleted(base_url: str, email: str, language: Language = ENGLISH) -> MailText:
    """The last mail to a person."""
    return _mail(
        language,
        "Your account was deleted",
        [
            fill("The GroundQL account {email} was deleted, as you asked.", email=email),
            "You are always welcome to make a new one:",
        ],
        base_url,
        "Go to GroundQL",
        [],
    )


def _mail(
    language: Language, subject: str, before: list[str], link: str, label: str, after: list[str]
) -> MailText:
    def say(english: str) -> str:
        return translate(english, language)

    subject, label = say(subject), say(label)
    before, after = [say("Hello,"), *map(say, before)], [say(line) for line in after]
    text = "\n\n".join([*before, link, *after]) + "\n"
    paragraphs = "".join(f"<p>{escape(line)}</p>\n" for line in before)
    footer = "".join(f'<p style="color:#555">{escape(line)}</p>\n' for line in after)
    href = escape(link, quote=True)
    html = (
        f'<!doctype html>\n<html lang="{language}">\n<head><meta charset="utf-8">'
        f"<title>{escape(subject)}</title></head>\n"
        '<body style="font:16px/1.5 sans-serif;color:#222;max-width:36em;margin:2em auto">\n'
        f"{paragraphs}"
        f'<p><a href="{href}" style="display:inline-block;padding:.6em 1.2em;background:#1f5f4a;'
        f'color:#fff;border-radius:4px;text-decoration:none">{escape(label)}</a></p>\n'
        f'<p style="color:#555">{escape(say(COPY))}<br>{href}</p>\n'
        f"{footer}</body>\n</html>\n"
    )
    return MailText(subject, text, html)
