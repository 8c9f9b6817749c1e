"""Which new passwords this server accepts: the rules for all, and what its operator adds."""

from __future__ import annotations

import asyncio
import logging

from resolvers.breached_passwords import BreachedFileError, BreachedPasswords
from resolvers.errors import InvalidInput, Unavailable
from resolvers.forbidden_words import ForbiddenWords
from resolvers.passwords import MIN_LENGTH, check_password, normal_form

log = logging.getLogger("groundql.accounts")


class PasswordRules:
    """Passwords are looked at when they are chosen, never at a login."""

    def __init__(
        self, words: ForbiddenWords | None = None, breached: BreachedPasswords | None = None
    ) -> None:
        self._words = words if words is not None else ForbiddenWords(())
        self._breached = breached

    def close(self) -> None:
        if self._breached is not None:
            self._breached.close()

    async def check(
        self, password: str, email: str, *, name: str = "", field: str = "password"
    ) -> None:
        """Refuse what `check_password` refuses; what is, but for fewer than 8 letters and digits,
        made of the service's own words; and what was stolen somewhere, if the operator has a file
        of those.

        Raises:
            InvalidInput: with a sentence that says what to change.
            Unavailable: the file cannot be read.
        """
        check_password(password, email, name=name, field=field)
        normal = normal_form(password) or ""
        rest = self._words.rest(normal)
        if rest is not None and len(rest) < MIN_LENGTH:
            raise InvalidInput(
                field,
                "The password is little more than a name of this service or its company; please "
                "choose another.",
            )
        if self._breached is not None and await self._is_breached(self._breached, normal):
            raise InvalidInput(
                field,
                "This password was stolen somewhere and is on lists that attackers try; please "
                "choose another.",
            )

    async def _is_breached(self, breached: BreachedPasswords, password: str) -> bool:
        try:
            # The disk may be slow; the event loop does not wait for it.
            return await asyncio.to_thread(breached.__contains__, password)
        except BreachedFileError as error:
            log.error("BREACHED_PASSWORDS cannot be read: %s", error)
            raise Unavailable(
                "Passwords cannot be checked at the moment; please try again later."
            ) from None
