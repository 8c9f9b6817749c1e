"""Which languages an embedding model was trained on, by its name."""

from __future__ import annotations

import re
from typing import Final

# Widely used models for English alone. Their cosines mean little in other languages.
_ENGLISH_ONLY: Final = re.compile(
    r"(?:^|/)(?:all-(?:minilm|mpnet|distilroberta|roberta)|multi-qa-|msmarco-|"
    r"paraphrase-(?!multilingual)|(?:bge|gte)-(?:micro|tiny|small|base|large)(?:-en|-v|$)|"
    r"e5-(?:small|base|large)|gtr-t5|sentence-t5|nomic-embed-text-v1|mxbai-embed-large|"
    r"snowflake-arctic-embed-(?:xs|s|m|l)$|granite-embedding-[0-9]+m-english)"
    r"|-(?:en|english)(?:-|$)",
    re.IGNORECASE,
)


def known_languages(model: str) -> frozenset[str] | None:
    """The languages (ISO 639-1) that the model named so knows; None: taken to know all."""
    return frozenset({"en"}) if _ENGLISH_ONLY.search(model) else None
