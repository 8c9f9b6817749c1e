"""The providers that this server knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from resolvers.clock import Clock
from resolvers.sign_in.configuration import ProviderSettings
from resolvers.sign_in.provider import Provider

# Seconds that a provider may take for one answer.
PATIENCE: Final = 10.0


class Providers:
    """All of them by name, and the addresses that people may come back to."""

    def __init__(
        self,
        settings: Sequence[ProviderSettings],
        redirect_uris: Sequence[str],
        clock: Clock,
        *,
        production: bool = False,
        timeout: float = PATIENCE,
    ) -> None:
        self._by_name = {
            one.name: Provider(one, clock, production=production, timeout=timeout)
            for one in settings
        }
        self.redirect_uris = frozenset(redirect_uris)

    @property
    def settings(self) -> list[ProviderSettings]:
        """In the operator's order."""
        return [one.settings for one in self._by_name.values()]

    @property
    def issuers(self) -> list[str]:
        """Whose identities can sign in."""
        return [one.issuer for one in self.settings]

    def find(self, name: str) -> Provider | None:
        """The provider of this name."""
        return self._by_name.get(name)

    async def close(self) -> None:
        """Close what is open to them."""
        for one in self._by_name.values():
            await one.close()
