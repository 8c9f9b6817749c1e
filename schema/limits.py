"""What one operation may ask for and how long it may take, checked before anything of it runs."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Final

from graphql import DocumentNode, GraphQLError, get_operation_ast, validate
from strawberry.extensions import SchemaExtension
from strawberry.types.graphql import OperationType

from resolvers.context import Context
from schema.cost import Measure, measure

QUERY_TOO_COMPLEX: Final = "QUERY_TOO_COMPLEX"
OPERATION_TIMEOUT: Final = "OPERATION_TIMEOUT"


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """The most of everything. The standard introspection query has 15 levels and 230 tokens."""

    tokens: int = 2_000
    depth: int = 20
    aliases: int = 50
    # Ten aliased logins in one request are no use that we know of.
    roots: int = 20
    directives: int = 50
    # 200 fields of one name. Comparing them takes about a tenth of a second.
    duplicates: int = 40_000
    # 100 sessions with 100 messages and the session of each are possible, a level below is not.
    cost: int = 25_000
    subscriptions: int = 0
    """Open at once for one user, or for one address without a login; 0: no limit."""
    introspection_for_all: bool = True
    """Else it needs a login, and who has none does not learn what an operation costs that does not
    fit the schema: fields that are there cost something, others nothing."""
    seconds: float = 0.0
    """Time for a query or a mutation; 0: no limit. Subscriptions have none."""


class OperationLimits(SchemaExtension):
    """Refuses operations that ask for too much, as QUERY_TOO_COMPLEX, and says what was asked for
    in `extensions.cost`.

    Comes behind the cache of documents, whose validation it prevents.
    """

    def __init__(self, limits: QueryLimits, subscribed: Counter[str] | None = None) -> None:
        """`subscribed` counts the open subscriptions of everybody."""
        super().__init__()
        self._limits = limits
        self._subscribed = Counter() if subscribed is None else subscribed
        self._subscriber: str | None = None
        self._cost: int | None = None

    def on_operation(self) -> Iterator[None]:
        self.execution_context.parse_options["max_tokens"] = self._limits.tokens
        try:
            yield
        finally:
            if self._subscriber is not None:
                self._subscribed[self._subscriber] -= 1
                if not self._subscribed[self._subscriber]:
                    del self._subscribed[self._subscriber]

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        document = context.graphql_document
        operation = (
            None if document is None else get_operation_ast(document, context.operation_name)
        )
        if document is not None and operation is not None:
            measured = measure(context.schema._schema, document, operation)
            self._cost = measured.value(context.variables)
            found = (
                self._refused(measured)
                or self._too_dear(self._cost, document)
                or self._introspection(measured)
                or self._subscribe()
            )
            if found is not None:
                # Before validation, which takes long for some of what is refused here.
                context.pre_execution_errors = [found]
        yield

    async def on_execute(self) -> AsyncIterator[None]:
        if not self._limits.seconds or self._is_subscription:
            yield
            return
        limit = asyncio.timeout(self._limits.seconds)
        try:
            async with limit:
                yield
        except TimeoutError:
            if not limit.expired():
                raise
            raise GraphQLError(
                f"The operation took longer than {self._limits.seconds:g} seconds. Ask for less at "
                "once. A change may have been made: look, or repeat it with its clientKey.",
                extensions={"code": OPERATION_TIMEOUT},
            ) from None

    def get_results(self) -> dict[str, Any]:
        if self._cost is None or self._is_subscription:
            return {}
        if self._is_stranger and self.execution_context.pre_execution_errors:
            return {}
        limit = self._limits.cost
        left = max(limit - self._cost, 0)
        return {"cost": {"requested": self._cost, "limit": limit, "left": left}}

    def _introspection(self, measured: Measure) -> GraphQLError | None:
        if not measured.introspects or not self._is_stranger:
            return None
        return GraphQLError(
            "Log in first: the schema is not shown to strangers here.",
            extensions={"code": "UNAUTHENTICATED"},
        )

    def _subscribe(self) -> GraphQLError | None:
        """Count a subscription, until the operation has ended."""
        app: Context | None = getattr(self.execution_context.context, "app", None)
        if app is None or not self._limits.subscriptions or not self._is_subscription:
            return None
        who = str(app.viewer.id) if app.viewer else app.address
        if self._subscribed[who] >= self._limits.subscriptions:
            return GraphQLError(
                f"{self._limits.subscriptions} subscriptions are open already. End one first.",
                extensions={"code": "RATE_LIMITED", "retryAfterSeconds": 1},
            )
        self._subscribed[who] += 1
        self._subscriber = who
        return None

    @property
    def _is_stranger(self) -> bool:
        """Whether this is somebody who is told nothing about the schema."""
        if self._limits.introspection_for_all:
            return False
        app: Context | None = getattr(self.execution_context.context, "app", None)
        return app is None or app.viewer is None

    @property
    def _is_subscription(self) -> bool:
        return self.execution_context.operation_type is OperationType.SUBSCRIPTION

    def _too_dear(self, cost: int, document: DocumentNode) -> GraphQLError | None:
        if cost <= self._limits.cost:
            return None
        if self._is_stranger and validate(self.execution_context.schema._schema, document):
            return None  # validation says so again, and nothing of what is there
        return _too_much(
            cost, self._limits.cost, "objects, as its page sizes say", "Ask for smaller pages."
        )

    def _refused(self, measured: Measure) -> GraphQLError | None:
        limits = self._limits
        for value, limit, what, advice in (
            (measured.roots, limits.roots, "fields at its root", "Send several operations."),
            (measured.aliases, limits.aliases, "aliases", "Send several operations."),
            (measured.depth, limits.depth, "levels", "Ask for less below each other."),
            (measured.directives, limits.directives, "directives", "Leave some out."),
            (
                measured.duplicates,
                limits.duplicates,
                "comparisons of fields of the same name",
                "Repeat fewer fields.",
            ),
        ):
            if value > limit:
                return _too_much(value, limit, what, advice)
        return None


def _too_much(value: int, limit: int, what: str, advice: str) -> GraphQLError:
    # A number of a fragment bomb may have more digits than Python turns into text.
    asked = str(value) if value < 10**9 else "a thousand million or more"
    return GraphQLError(
        f"The operation asks for {asked} {what}; at most {limit} are allowed. {advice}",
        extensions={"code": QUERY_TOO_COMPLEX},
    )
