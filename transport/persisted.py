"""Operations that are sent by their hash.

Automatic persisted queries, as Apollo's clients speak them: a client sends the SHA-256 of its
document alone; if it is not known here, it sends both, and from then on the hash is enough.
https://www.apollographql.com/docs/graphos/routing/performance/caching/apq

With trusted documents, only those that were registered run, by hash or by their exact text.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from transport.body import Parameters
from transport.errors import RequestError

NOT_FOUND: Final = "PERSISTED_QUERY_NOT_FOUND"
NOT_TRUSTED: Final = "OPERATION_NOT_TRUSTED"
_MOST: Final = 1_000
_MOST_CHARACTERS: Final = 16 * 1024


class PersistedQueries:
    """Documents by their SHA-256, in hexadecimal. At most 1,000 of 16 KB, the least used one goes;
    a longer one runs and is not kept."""

    def __init__(self, trusted: Mapping[str, str] | None = None) -> None:
        self._trusted = trusted
        self._known: OrderedDict[str, str] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def complete(self, parameters: Parameters) -> Parameters:
        """The parameters with their document.

        Raises:
            RequestError: it is not known, not trusted, or not that of the hash.
        """
        sent = (parameters.extensions or {}).get("persistedQuery")
        if sent is None and self._trusted is None:
            return parameters
        if sent is None:
            digest = _digest(parameters.query)
        else:
            digest = _hash_in(sent)
            if parameters.query and digest != _digest(parameters.query):
                raise RequestError(400, "persistedQuery.sha256Hash is not the query's SHA-256.")
        return replace(parameters, query=self._find(digest, parameters.query))

    def _find(self, digest: str, text: str) -> str:
        if self._trusted is not None:
            if digest not in self._trusted:
                raise RequestError(
                    400,
                    "Only registered operations run here. Register this one first.",
                    code=NOT_TRUSTED,
                )
            return self._trusted[digest]
        if text:
            if len(text) <= _MOST_CHARACTERS:
                self._known[digest] = text
                self._known.move_to_end(digest)
                if len(self._known) > _MOST:
                    self._known.popitem(last=False)
            return text
        known = self._known.get(digest)
        if known is None:
            # The status and the words that Apollo's clients look for.
            raise RequestError(200, "PersistedQueryNotFound", code=NOT_FOUND)
        self._known.move_to_end(digest)
        return known


def _hash_in(sent: object) -> str:
    if isinstance(sent, dict) and sent.get("version") == 1:
        digest = sent.get("sha256Hash")
        if isinstance(digest, str):
            return digest.lower()
    raise RequestError(400, "persistedQuery must have version 1 and a sha256Hash.")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
