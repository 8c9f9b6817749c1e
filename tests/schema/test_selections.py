"""Random selections of the real schema, answered breadth first and as graphql-core does alone."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from graphql import (
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLUnionType,
    get_named_type,
    is_leaf_type,
)

from schema import message_columns
from schema.root import build_schema
from tests.application import Running
from tests.schema.operations import ASK
from transport.breadth import BreadthFirstExecution, _with_list

pytestmark = pytest.mark.anyio

QUESTION = "Within how many days of delivery can I return an item?"
# What the selections leave out: files, and places in lists.
_SKIPPED = {"exportSession", "cursor"}


class Selections:
    """Makes selections of a schema: aliases, fragments, directives and repetitions."""

    def __init__(self, schema: Any, seed: int) -> None:
        self._schema = schema
        self._random = random.Random(seed)
        self._fragments: dict[str, str] = {}
        self._names = 0

    def query(self, roots: list[str]) -> str:
        self._fragments = {}
        self._names = 0
        chosen = self._random.choice(roots)
        head, _, name = chosen.partition("|")
        field = self._schema.query_type.fields[name]
        query = f"{head} {self._selection(field.type, 4)}"
        variables = [("id", "ID"), ("yes", "Boolean"), ("no", "Boolean")]
        body = " ".join([query, *self._fragments.values()])
        used = ", ".join(f"${key}: {kind}!" for key, kind in variables if f"${key}" in body)
        start = f"query({used})" if used else "query"
        return f"{start} {{ {query} }} {' '.join(self._fragments.values())}"

    def _selection(self, kind: Any, depth: int) -> str:
        named = get_named_type(kind)
        if is_leaf_type(named):
            return ""
        if isinstance(named, GraphQLInterfaceType | GraphQLUnionType):
            members = [
                one
                for one in self._schema.get_possible_types(named)
                if one.name in ("ChatMessage", "ChatSession", "User")
            ]
            parts = [self._spread(one, depth) for one in members]
            return f"{{ __typename {' '.join(parts)} }}"
        return f"{{ {self._fields(named, depth)} }}"

    def _fields(self, kind: Any, depth: int) -> str:
        fields = [
            (name, field)
            for name, field in kind.fields.items()
            if name not in _SKIPPED
            and not any(isinstance(one.type, GraphQLNonNull) for one in field.args.values())
            and (depth > 0 or is_leaf_type(get_named_type(field.type)))
        ]
        parts = ["__typename"] if not fields or self._random.random() < 0.3 else []
        objects = [one for one in fields if not is_leaf_type(get_named_type(one[1].type))]
        leaves = [one for one in fields if one not in objects]
        chosen = self._random.choices(leaves, k=self._random.randint(0, 5)) if leaves else []
        few = 1 if depth < 3 else 2
        chosen += self._random.choices(objects, k=self._random.randint(0, few)) if objects else []
        if objects and kind.name.endswith(("Connection", "Edge")):
            chosen += [one for one in objects if one[0] in ("edges", "node")]
        for name, field in chosen:
            parts.append(self._field(name, field, depth))
        if self._random.random() < 0.25 and depth > 0:
            parts.append(self._spread(kind, depth - 1))
        self._random.shuffle(parts)
        return " ".join(parts) or "__typename"

    def _field(self, name: str, field: Any, depth: int) -> str:
        arguments = ""
        if "first" in field.args:
            arguments = self._random.choice(["(first: 2)", "(last: 3)"])
            if "last" not in field.args:
                arguments = "(first: 2)"
        alias = ""
        if arguments or self._random.random() < 0.2:
            self._names += 1
            alias = f"a{self._names}: "
        return (
            f"{alias}{name}{arguments} {self._directive()} {self._selection(field.type, depth - 1)}"
        )

    def _directive(self) -> str:
        if self._random.random() < 0.85:
            return ""
        return self._random.choice(
            ["@skip(if: $yes)", "@skip(if: $no)", "@include(if: $yes)", "@include(if: $no)"]
        )

    def _spread(self, kind: Any, depth: int) -> str:
        selected = f"{{ {self._fields(kind, depth)} }}"
        condition = self._random.choice([f"on {kind.name}", "on Node", ""])
        if condition == "on Node" and not any(one.name == "Node" for one in kind.interfaces):
            condition = f"on {kind.name}"
        if condition == "on Node":
            return f"... on Node {{ id ... on {kind.name} {self._directive()} {selected} }}"
        if condition == "" or self._random.random() < 0.5:
            return f"... on {kind.name} {self._directive()} {selected}"
        name = f"F{len(self._fragments)}"
        self._fragments[name] = f"fragment {name} on {kind.name} {selected}"
        return f"...{name} {self._directive()}"


@contextmanager
def general() -> Iterator[None]:
    """graphql-core alone, and whole rows."""
    ours = BreadthFirstExecution.complete_list_value

    def complete(self: Any, *arguments: Any) -> Any:
        return super(BreadthFirstExecution, self).complete_list_value(*_with_list(arguments))

    brief = set(message_columns.BRIEF_FIELDS)
    BreadthFirstExecution.complete_list_value = complete  # type: ignore[assignment,method-assign]
    message_columns.BRIEF_FIELDS.clear()
    try:
        yield
    finally:
        BreadthFirstExecution.complete_list_value = ours  # type: ignore[method-assign]
        message_columns.BRIEF_FIELDS.update(brief)


ROOTS = [
    "session(id: $id)|session",
    "sessions(first: 3)|sessions",
    "node(id: $id)|node",
    "node(id: $mid)|node",
    'searchMessages(query: "days", first: 4)|searchMessages',
    "publicConversation(token: $link)|publicConversation",
    "documents(first: 3)|documents",
    "collections|collections",
    'searchKnowledge(query: "kettle", first: 3)|searchKnowledge',
    "me|me",
]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
async def test_any_selection_is_answered_as_graphql_core_answers_it(
    offline: Running, seed: int
) -> None:
    """The same data, errors and paths for whatever is selected, asked once and again."""
    rounds = 40
    token = await offline.login()
    asked = (await offline.data(ASK, {"i": {"content": QUESTION}}, token))["ask"]
    session, reply = asked["session"]["id"], asked["reply"]["id"]
    for content in ("How much is shipping?", "What is the meaning of life, the days?"):
        await offline.data(ASK, {"i": {"content": content, "sessionId": session}}, token)
    rate = 'mutation($id: ID!) { rateReply(id: $id, rating: UP, comment: "So.") { __typename } }'
    await offline.data(rate, {"id": reply}, token)
    made = await offline.data(
        "mutation($id: ID!) { createPublicLink(sessionId: $id) "
        "{ __typename ... on PublicLink { token } } }",
        {"id": session},
        token,
    )
    link = made["createPublicLink"]["token"]
    roots = [
        one.replace("$mid", json.dumps(reply)).replace("$link", json.dumps(link)) for one in ROOTS
    ]
    selections = Selections(build_schema()._schema, seed)
    answered = 0
    for _ in range(rounds):
        query = selections.query(roots)
        for yes in (True, False):
            variables = {"id": session, "yes": yes, "no": not yes}
            variables = {key: value for key, value in variables.items() if f"${key}" in query}
            ours = await offline.post(query, variables, token)
            with general():
                theirs = await offline.post(query, variables, token)
            assert json.dumps(ours) == json.dumps(theirs), (query, variables)
            answered += ours.get("data") is not None
    assert answered > rounds
