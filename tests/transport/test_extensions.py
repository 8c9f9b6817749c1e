"""Extensions of the schema run as Strawberry runs them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import strawberry
from strawberry.extensions import SchemaExtension
from strawberry.extensions.runner import SchemaExtensionsRunner
from strawberry.types import ExecutionContext

from transport.extensions import KnownHooks

pytestmark = pytest.mark.anyio


class Told(SchemaExtension):
    """Says what it does, into a list in the operation's context."""

    def say(self, what: str) -> None:
        self.execution_context.context.append(f"{type(self).__name__} {what}")


class Generators(Told):
    def on_operation(self) -> Iterator[None]:
        self.say("operation")
        yield
        self.say("operation ends")

    async def on_execute(self) -> AsyncIterator[None]:
        self.say("execute")
        try:
            yield
        finally:
            self.say("execute ends")


class Functions(Told):
    def on_parse(self) -> None:  # type: ignore[override]
        self.say("parse")

    async def on_validate(self) -> None:  # type: ignore[override]
        self.say("validate")

    def on_execute(self) -> Iterator[None]:
        self.say("execute")
        yield
        self.say("execute ends")


class Plain(Told):
    pass


@strawberry.type
class Query:
    @strawberry.field
    def value(self, fails: bool = False) -> int:
        if fails:
            raise ValueError("no value")
        return 1


class Known(strawberry.Schema):
    def create_extensions_runner(
        self, execution_context: ExecutionContext, extensions: list[SchemaExtension]
    ) -> SchemaExtensionsRunner:
        return KnownHooks(execution_context, extensions)

    def process_errors(self, errors: Any, execution_context: Any = None) -> None:
        return


EXTENSIONS = [Generators, Functions, Plain]
SCHEMAS = [kind(Query, extensions=EXTENSIONS) for kind in (strawberry.Schema, Known)]


@pytest.mark.parametrize("query", ["{ value }", "{ value(fails: true) }", "{ value", "{ other }"])
async def test_hooks_run_as_strawberry_runs_them(
    query: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The same ones in the same order, twice, whether the operation fits or not."""
    for _ in range(2):
        told: list[list[str]] = [[], []]
        results = [
            await schema.execute(query, context_value=said)
            for schema, said in zip(SCHEMAS, told, strict=True)
        ]
        assert told[0] == told[1]
        assert told[0][:2] == ["Generators operation", "Functions parse"]
        assert told[0][-1] == "Generators operation ends"
        assert results[0].data == results[1].data
        errors = [[str(error) for error in result.errors or ()] for result in results]
        assert errors[0] == errors[1]
