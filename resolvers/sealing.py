"""Encrypting the few secrets that must be read again: they are useless without the server's key.

A sealed text is `v1.KID.DATA`: the id of the key, and in base64url a nonce of 96 random bits with
what AES-256-GCM (NIST SP 800-38D) makes of the text. Its key is derived from the server's secret by
HKDF-SHA-256 (RFC 5869) for this purpose alone. The owner is authenticated along with it, so a
sealed text that was copied to another row does not open there.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_VERSION: Final = "v1"
_NONCE: Final = 12  # bytes
_INFO: Final = b"groundql sealed secrets v1"


class Unreadable(Exception):
    """A sealed text whose key is not there, or that was changed."""


class Seal:
    """Seals with the present key, and opens what former keys have sealed, too."""

    def __init__(self, keys: Sequence[tuple[str, str]]) -> None:
        """`keys` are (id, secret), the present one first."""
        self._present = keys[0][0]
        self._ciphers = {kid: AESGCM(_derived(secret)) for kid, secret in reversed(keys)}

    def __repr__(self) -> str:
        return f"<Seal {self._present}>"

    @property
    def prefix(self) -> str:
        """What texts begin with that the present key has sealed."""
        return f"{_VERSION}.{self._present}."

    def seal(self, text: str, owner: UUID) -> str:
        """The text, sealed for this owner."""
        nonce = secrets.token_bytes(_NONCE)
        data = self._ciphers[self._present].encrypt(nonce, text.encode(), owner.bytes)
        return self.prefix + base64.urlsafe_b64encode(nonce + data).decode()

    def open(self, sealed: str, owner: UUID) -> str:
        """The text that was sealed for this owner. One without a seal, of an old version, is given
        back as it is.

        Raises:
            Unreadable
        """
        version, kid, data = [*sealed.split(".", 2), "", ""][:3]
        if version != _VERSION:
            return sealed
        cipher = self._ciphers.get(kid)
        if cipher is None:
            raise Unreadable(f"its key {kid} is not among SECRET_KEY and FORMER_SECRET_KEYS")
        try:
            raw = base64.b64decode(data, altchars=b"-_", validate=True)
            return cipher.decrypt(raw[:_NONCE], raw[_NONCE:], owner.bytes).decode()
        except (InvalidTag, ValueError, binascii.Error):
            raise Unreadable("it was changed, or belongs to somebody else") from None


def _derived(secret: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=_INFO).derive(secret.encode())
