"""Relay connections over keyset pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Generic, TypeAlias, TypeVar

import strawberry

from resolvers.paging import Page, PageRequest
from schema.absent import given

T = TypeVar("T")
R = TypeVar("R")

First: TypeAlias = Annotated[
    int | None,
    strawberry.argument(description="How many from the start, 1 to 100; 20 if nothing is said."),
]
After: TypeAlias = Annotated[
    str | None, strawberry.argument(description="Only what comes after this cursor.")
]
Last: TypeAlias = Annotated[
    int | None, strawberry.argument(description="How many from the end, 1 to 100; not with first.")
]
Before: TypeAlias = Annotated[
    str | None, strawberry.argument(description="Only what comes before this cursor.")
]


@strawberry.type(description="Where a page lies in its connection.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether more follows behind this page.")
    has_previous_page: bool = strawberry.field(description="Whether more lies before this page.")
    start_cursor: str | None = strawberry.field(
        description="Cursor of the first edge; null on an empty page."
    )
    end_cursor: str | None = strawberry.field(
        description="Cursor of the last edge; null on an empty page."
    )


@strawberry.type(description="One element of a connection.")
class Edge(Generic[T]):
    cursor: str = strawberry.field(description="Opaque; give it as after or before.")
    node: T = strawberry.field(description="The element itself.")


@strawberry.type(description="One page of a list that can grow; at most 100 elements.")
class Connection(Generic[T]):
    page_info: PageInfo = strawberry.field(description="Where this page lies.")
    edges: list[Edge[T]] = strawberry.field(description="The elements with their cursors.")


def page_request(
    first: int | None, after: str | None, last: int | None, before: str | None
) -> PageRequest:
    """The pagination arguments as the use cases take them."""
    return PageRequest(
        first=given(first), after=given(after), last=given(last), before=given(before)
    )


def page_info(page: Page[R]) -> PageInfo:
    return PageInfo(
        has_next_page=page.has_next,
        has_previous_page=page.has_previous,
        start_cursor=page.cursors[0] if page.cursors else None,
        end_cursor=page.cursors[-1] if page.cursors else None,
    )


def connection(page: Page[R], node: Callable[[R], T]) -> Connection[T]:
    """The connection of a page, with each row turned into its GraphQL type."""
    return Connection(
        page_info=page_info(page),
        edges=[
            Edge(cursor=cursor, node=node(row))
            for row, cursor in zip(page.rows, page.cursors, strict=True)
        ],
    )
