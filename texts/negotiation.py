"""Which of our languages a browser asks for."""

from __future__ import annotations

from typing import Final

from texts.catalogue import Language

_MAX_RANGES: Final = 20


def preferred_language(header: str) -> Language | None:
    """The language of ours that an Accept-Language header (RFC 9110, 12.5.4) wants most; None if it
    wants none of them. "de-CH" counts as "de"; a malformed part is skipped."""
    best: Language | None = None
    best_quality = 0.0
    for part in header.split(",")[:_MAX_RANGES]:
        tag, _, parameter = part.partition(";")
        name, _, value = parameter.strip().partition("=")
        try:
            quality = float(value) if name.strip().lower() == "q" else 1.0
            language = Language(tag.strip().lower().partition("-")[0])
        except ValueError:
            continue
        if best_quality < quality <= 1.0:
            best, best_quality = language, quality
    return best
