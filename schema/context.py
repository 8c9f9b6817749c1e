"""The context that Strawberry hands to every field."""

from __future__ import annotations

from dataclasses import dataclass

import strawberry

from resolvers.context import Context
from schema.loaders import Loaders


@dataclass(frozen=True, slots=True)
class GraphQLContext:
    """One operation's use-case context and its batch loaders."""

    app: Context
    loaders: Loaders


Info = strawberry.Info[GraphQLContext, None]
