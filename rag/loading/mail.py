"""E-mail (.eml) as text, by the standard library."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage, MIMEPart
from typing import Any

from rag.errors import LoadingError
from rag.loading.html import load_html
from rag.loading.layout import language_code, one_line
from rag.loading.limits import ParseLimits
from rag.types import SourceDocument

_HEADERS = ("From", "To", "Cc", "Date")


def load_eml(data: bytes, stem: str, limits: ParseLimits) -> SourceDocument:
    """The title is the subject, else the file's name. The text is sender, recipients and date, then
    the body: the plain one if there is one, else that in HTML. Of attachments only the names are
    given; upload them as files of their own.

    Raises:
        LoadingError: it is no e-mail, or is encrypted.
    """
    try:
        message = email.message_from_bytes(data, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        if not any(message[name] for name in ("From", "Subject", "Date")):
            raise LoadingError(
                "this is not an e-mail, whatever its name says; save it anew as an .eml file."
            )
        if message.get_content_type() in ("multipart/encrypted", "application/pkcs7-mime"):
            raise LoadingError("the e-mail is encrypted; save it decrypted.")
        head = [f"{name}: {value}" for name in _HEADERS if (value := _header(message, name))]
        body = _body(message.get_body(preferencelist=("plain", "html")), stem)
        names = [one_line(part.get_filename() or "") for part in message.iter_attachments()]
        language = _header(message, "Content-Language")
        title = _header(message, "Subject")
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        # The parser is lenient about the form of a mail, but not about its encodings.
        raise LoadingError("the e-mail is damaged; save it anew.") from error
    blocks = ["\n".join(head), body]
    if listed := ", ".join(filter(None, names)):
        blocks.append(f"Attachments: {listed}")
    return SourceDocument(
        title=title or stem,
        content="\n\n".join(block for block in blocks if block) + "\n",
        language=language_code(language),
    )


def _header(message: EmailMessage, name: str) -> str:
    value: Any = message[name]
    return one_line(str(value)) if value is not None else ""


def _body(part: MIMEPart | None, stem: str) -> str:
    if part is None:
        return ""
    text = str(part.get_content()).replace("\r\n", "\n").replace("\r", "\n")
    if part.get_content_type() == "text/html":
        return load_html(text.replace("\0", ""), stem).content.strip("\n")
    return text.strip("\n")
