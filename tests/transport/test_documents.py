"""The cache of parsed and validated documents."""

from collections.abc import Iterator

import pytest
from graphql import ExecutableDefinitionsRule, parse
from strawberry.extensions import AddValidationRules, MaxTokensLimiter, SchemaExtension

from tests.transport.app import Mutation, Query, QuietSchema, Subscription
from transport.documents import MAX_TEXT_CHARACTERS, DocumentCache

pytestmark = pytest.mark.anyio


class Counts(SchemaExtension):
    """Counts how often Strawberry itself parsed and validated."""

    parsed = 0
    validated = 0

    def on_parse(self) -> Iterator[None]:
        found = self.execution_context.graphql_document is not None
        yield
        Counts.parsed += not found

    def on_validate(self) -> Iterator[None]:
        found = self.execution_context.pre_execution_errors is not None
        yield
        Counts.validated += not found


@pytest.fixture
def counts() -> type[Counts]:
    Counts.parsed = Counts.validated = 0
    return Counts


async def test_a_document_is_parsed_and_validated_once(counts: type[Counts]) -> None:
    """For execute and stream together."""
    cache = DocumentCache()
    schema = QuietSchema(Query, Mutation, Subscription, extensions=[cache.extension, Counts])
    for _ in range(3):
        assert (await schema.execute("{ hello }")).data == {"hello": "Hello world"}
        stream = await schema.stream("{ hello }")
        assert [result.data async for result in stream] == [{"hello": "Hello world"}]  # type: ignore[union-attr]
    assert (counts.parsed, counts.validated) == (1, 1)
    assert len(cache) == 1


async def test_wrong_documents_are_never_remembered_as_right(counts: type[Counts]) -> None:
    """A syntax error leaves nothing; an invalid document is validated each time."""
    cache = DocumentCache()
    schema = QuietSchema(Query, extensions=[cache.extension, Counts])
    for _ in range(2):
        assert (await schema.execute("{")).errors
        stream = await schema.stream("{")
        assert [bool(result.errors) async for result in stream] == [True]  # type: ignore[union-attr]
    assert len(cache) == 0
    for number in range(2):
        result = await schema.execute("{ unknown }")
        assert result.errors is not None
        assert [e.message for e in result.errors] == [
            "Cannot query field 'unknown' on type 'Query'."
        ]
        assert counts.validated == number + 1


async def test_other_rules_and_schemas_validate_again() -> None:
    """Valid under one set of rules says nothing about another."""
    cache = DocumentCache()
    text = "mutation { write }"
    full = QuietSchema(Query, Mutation, extensions=[cache.extension])
    queries = QuietSchema(Query, extensions=[cache.extension])
    assert (await queries.execute(text)).errors
    await full.execute("{ hello }")
    assert not (await queries.execute("{ hello }")).errors
    strict = QuietSchema(
        Query,
        extensions=[lambda: AddValidationRules([ExecutableDefinitionsRule]), cache.extension],
    )
    assert not (await strict.execute("{ hello }")).errors
    assert (await queries.execute(text)).errors


async def test_a_token_limit_holds_for_cached_documents() -> None:
    """A document parsed under a higher limit is not taken for one under a lower."""
    cache = DocumentCache()
    text = "{ hello hello hello }"
    plain = QuietSchema(Query, extensions=[cache.extension])
    limited = QuietSchema(
        Query, extensions=[lambda: MaxTokensLimiter(max_token_count=3), cache.extension]
    )
    assert not (await plain.execute(text)).errors
    assert (await limited.execute(text)).errors


async def test_the_cache_is_bounded_by_documents_tokens_and_length() -> None:
    """The least recently used goes first; a long text is never kept."""
    cache = DocumentCache(documents=3, tokens=100)
    for name in "abc":
        cache.put(name, None, parse("{ hello }"))
    assert cache.get("a", None) is not None
    cache.put("d", None, parse("{ hello }"))
    assert [cache.get(name, None) is None for name in "abcd"] == [False, True, False, False]
    cache.put("e", None, parse("{" + " hello" * 96 + "}"))
    assert len(cache) == 1
    cache.put("x" * (MAX_TEXT_CHARACTERS + 1), None, parse("{ hello }"))
    assert len(cache) == 1


async def test_the_same_text_is_kept_once() -> None:
    """Two requests may parse it at the same time."""
    cache = DocumentCache(tokens=10)
    for _ in range(5):
        cache.put("{ hello }", None, parse("{ hello }"))
    assert len(cache) == 1
