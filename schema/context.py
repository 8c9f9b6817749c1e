"""The context that Strawberry hands to every field."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import strawberry

from resolvers.context import Context
from schema.loaders import Loaders


@dataclass(frozen=True)
class GraphQLContext:
    """One operation's use-case context and its batch loaders."""

    app: Context

    @cached_property
    def loaders(self) -> Loaders:
        viewer = self.app.viewer
        return Loaders(self.app.services, None if viewer is None else viewer.id)


Info = strawberry.Info[GraphQLContext, None]
