"""Chooses and builds a generator; imports a vendor's SDK only if it is the chosen one's."""

from __future__ import annotations

import contextlib
import importlib
from dataclasses import dataclass, field
from typing import Literal

from rag.errors import RagError
from rag.generation.base import Generator, RetryPolicy, Timeouts
from rag.generation.vendor import VendorGenerator

Kind = Literal["offline", "openai", "gemini", "gemini-legacy"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where and as whom to ask for which model. Without `base_url`, the vendor's own address."""

    api_key: str = field(repr=False)
    model: str
    base_url: str | None = None


def choose(kind: str = "auto", *, has_openai_key: bool, has_gemini_key: bool) -> Kind:
    """`kind` itself, or for "auto" the first provider that there is a key for, else "offline".

    Raises:
        RagError: there is no such kind, or its key is missing.
    """
    match kind:
        case "auto":
            if has_openai_key:
                return "openai"
            return "gemini" if has_gemini_key else "offline"
        case "offline":
            return "offline"
        case "openai":
            if not has_openai_key:
                raise RagError("The generator openai needs an OpenAI API key.")
            return "openai"
        case "gemini" | "gemini-legacy":
            if not has_gemini_key:
                raise RagError(f"The generator {kind} needs a Gemini API key.")
            return kind
    raise RagError(
        f"There is no generator {kind!r}; choose auto, offline, openai, gemini or gemini-legacy."
    )


def import_sdk(kind: Kind) -> None:
    """Import what `create_generator` needs for this kind: seconds of work, fit for a thread.

    A package that is missing is left for `create_generator` to report.
    """
    with contextlib.suppress(ImportError):
        importlib.import_module(f"rag.generation.{kind.replace('-', '_')}")


def create_generator(
    kind: str = "auto",
    *,
    openai: Endpoint | None = None,
    gemini: Endpoint | None = None,
    timeouts: Timeouts | None = None,
    retry: RetryPolicy | None = None,
) -> Generator:
    """Build the generator that `choose` names. Importing an SDK takes up to some seconds.

    Raises:
        RagError: as `choose`; or the key or base URL cannot be one; or an optional package is
            missing.
    """
    chosen = choose(kind, has_openai_key=openai is not None, has_gemini_key=gemini is not None)
    endpoint = openai if chosen == "openai" else gemini
    if chosen == "offline" or endpoint is None:
        from rag.generation.offline import OfflineGenerator

        return OfflineGenerator()
    return _adapter(chosen)(
        api_key=endpoint.api_key,
        model=endpoint.model,
        base_url=endpoint.base_url,
        timeouts=timeouts,
        retry=retry,
    )


def _adapter(kind: Literal["openai", "gemini", "gemini-legacy"]) -> type[VendorGenerator]:
    if kind == "openai":
        from rag.generation.openai import OpenAIGenerator

        return OpenAIGenerator
    if kind == "gemini":
        from rag.generation.gemini import GeminiGenerator

        return GeminiGenerator
    try:
        from rag.generation.gemini_legacy import GeminiLegacyGenerator
    except ModuleNotFoundError as error:
        raise RagError(
            "The generator gemini-legacy needs the optional extra gemini-legacy;"
            " install it with: pip install '.[gemini-legacy]'"
        ) from error
    return GeminiLegacyGenerator
