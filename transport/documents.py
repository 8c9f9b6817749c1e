"""Parsed and validated documents, kept between requests within a fixed memory."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from graphql import DocumentNode
from strawberry.extensions import SchemaExtension

MAX_TEXT_CHARACTERS = 16 * 1024


@dataclass(slots=True)
class _Entry:
    document: DocumentNode
    validated_with: tuple[object, tuple[Any, ...]] | None = None
    """The schema and the rules under which the document proved valid."""


class DocumentCache:
    """A least-recently-used cache of the documents of one schema.

    Give `cache.extension` to `strawberry.Schema(extensions=[...])`; queries, mutations and
    subscriptions then share it. Only documents that parsed are kept, and only a validation without
    errors is remembered, so error objects are never shared between requests. The total of lexical
    tokens bounds the memory: a parsed token takes about 0.6 KB, 100,000 tokens about 60 MB.

    Validation is skipped only under the same rule classes. An extension that makes a rule class
    per request (Strawberry's QueryDepthLimiter does) therefore defeats the second half.
    """

    def __init__(self, *, documents: int = 256, tokens: int = 100_000) -> None:
        self._documents = documents
        self._tokens = tokens
        self._held = 0
        self._entries: OrderedDict[tuple[str, int | None], _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def extension(self) -> SchemaExtension:
        """Make one request's extension; the method itself is the factory that Strawberry wants."""
        return _CachedDocument(self)

    def get(self, text: str, max_tokens: int | None) -> _Entry | None:
        entry = self._entries.get((text, max_tokens))
        if entry is not None:
            self._entries.move_to_end((text, max_tokens))
        return entry

    def put(self, text: str, max_tokens: int | None, document: DocumentNode) -> _Entry:
        entry = _Entry(document)
        key = (text, max_tokens)
        if len(text) <= MAX_TEXT_CHARACTERS and key not in self._entries:
            self._entries[key] = entry
            self._held += document.token_count
            while len(self._entries) > self._documents or self._held > self._tokens:
                _, dropped = self._entries.popitem(last=False)
                self._held -= dropped.document.token_count
        return entry


class _CachedDocument(SchemaExtension):
    def __init__(self, cache: DocumentCache) -> None:
        super().__init__()
        self._cache = cache
        self._entry: _Entry | None = None

    def on_parse(self) -> Iterator[None]:
        context = self.execution_context
        text, max_tokens = context.query or "", context.parse_options.get("max_tokens")
        self._entry = self._cache.get(text, max_tokens)
        if self._entry is not None:
            context.graphql_document = self._entry.document
            yield
            return
        yield
        # A syntax error was raised to Strawberry, which left no document here.
        if context.graphql_document is not None:
            self._entry = self._cache.put(text, max_tokens, context.graphql_document)

    def on_validate(self) -> Iterator[None]:
        context, entry = self.execution_context, self._entry
        conditions = (context.schema, context.validation_rules)
        if entry is not None and entry.validated_with == conditions:
            # Strawberry validates only while this is None.
            context.pre_execution_errors = []
        yield
        if entry is not None and context.pre_execution_errors == []:
            entry.validated_with = conditions
