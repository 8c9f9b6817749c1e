"""What the adapters of all vendors share: how one is built and used, and how its failures sound.

An adapter is a `VendorApi`, which talks through the vendor's SDK and says what its exceptions
mean, and the `VendorGenerator` that names it. `retrying` does the rest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from typing import ClassVar

from rag.errors import ProviderTimeout, ProviderUnavailable
from rag.generation.base import GenerationEvent, Prompt, RetryPolicy, Timeouts
from rag.generation.masking import checked_base_url, checked_key, with_cause, without_secret
from rag.generation.retrying import Failure, ProviderStream, stream_answer


@dataclass(frozen=True, slots=True)
class Access:
    """What a vendor's client is built from, checked."""

    key: str = field(repr=False)
    model: str
    base_url: str
    timeouts: Timeouts


class VendorApi(ABC):
    """A vendor's API behind its SDK, in the form of a `Provider`.

    The client it builds must try once and time nothing but connecting: `retrying` tries again and
    times the tokens, alike for all.
    """

    name: ClassVar[str]

    def __init__(self, access: Access) -> None:
        self._access = access

    @abstractmethod
    async def open(self, prompt: Prompt) -> ProviderStream:
        """See `Provider.open`."""

    @abstractmethod
    async def close(self) -> None:
        """Release the connections."""

    def explain(self, error: Exception) -> Failure:
        """See `Provider.explain`."""
        return with_cause(self._explain(error), error, self._access.key)

    @abstractmethod
    def _explain(self, error: Exception) -> Failure:
        """What the exception means. Its text may quote the key, so it goes through `_masked`."""

    def _masked(self, text: object) -> str:
        return without_secret(text, self._access.key)

    def _connecting_took_too_long(self) -> Failure:
        return Failure(ProviderTimeout(f"{self.name}: connecting took too long"), retry=True)

    def _unavailable(self, detail: str) -> Failure:
        return Failure(ProviderUnavailable(f"{self.name}: {detail}"), retry=True)

    def _malformed(self, error: Exception) -> Failure:
        """For exceptions that are not the SDK's: it lets through whatever its decoders throw."""
        return self._unavailable(f"malformed answer: {type(error).__name__}: {self._masked(error)}")


class VendorGenerator:
    """A `Generator` that asks a vendor.

    Raises (constructor):
        RagError: the key or the base URL cannot be one.
    """

    official_base_url: ClassVar[str]
    api_type: ClassVar[type[VendorApi]]

    def __init__(
        self,
        *,
        api_key: str,
        model: str,
        base_url: str | None = None,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        url = checked_base_url(base_url or self.official_base_url)
        self._access = Access(
            key=checked_key(api_key), model=model, base_url=url, timeouts=timeouts or Timeouts()
        )
        self._retry = retry or RetryPolicy()
        self._api = self.api_type(self._access)

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"{name}(model={self._access.model!r}, base_url={self._access.base_url!r})"

    @property
    def provider(self) -> str:
        return self.api_type.name

    @property
    def model(self) -> str:
        return self._access.model

    def generate(self, prompt: Prompt) -> AsyncGenerator[GenerationEvent, None]:
        retry = self._retry if prompt.retry else replace(self._retry, attempts=1)
        return stream_answer(self._api, prompt, timeouts=self._access.timeouts, retry=retry)

    async def close(self) -> None:
        await self._api.close()
