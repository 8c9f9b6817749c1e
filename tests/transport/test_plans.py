"""How a list is completed is known by its type, too, not only by what is selected."""

from __future__ import annotations

import pytest
import strawberry

from transport.breadth import BreadthFirstExecution
from transport.documents import DocumentCache

pytestmark = pytest.mark.anyio


@strawberry.type
class Part:
    name: str


@strawberry.interface
class Whole:
    parts: list[Part | None]


@strawberry.type
class Loose(Whole):
    parts: list[Part | None]


@strawberry.type
class Firm(Whole):
    parts: list[Part]  # type: ignore[assignment]


GAP = [Part(name="a"), None, Part(name="b")]


@strawberry.type
class Query:
    @strawberry.field
    def loose(self) -> Loose:
        return Loose(parts=[*GAP])

    @strawberry.field
    def firm(self) -> Firm | None:
        return Firm(parts=GAP)  # type: ignore[arg-type]


QUERY = "fragment F on Whole { parts { name } } query { loose { ...F } firm { ...F } }"


async def test_one_fragment_on_two_types() -> None:
    """Where one type allows gaps and the other does not, a gap is an error in the other alone."""
    schema = strawberry.Schema(
        Query, execution_context_class=BreadthFirstExecution, extensions=[DocumentCache().extension]
    )
    for _ in range(2):
        result = await schema.execute(QUERY)
        assert result.data == {
            "loose": {"parts": [{"name": "a"}, None, {"name": "b"}]},
            "firm": None,
        }
        assert [error.path for error in result.errors or ()] == [["firm", "parts", 1]]
