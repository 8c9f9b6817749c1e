"""Running Strawberry's schema extensions with less preparation for each operation."""

import inspect
from collections.abc import Callable
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache, partial
from typing import Any

from strawberry.extensions import SchemaExtension
from strawberry.extensions.context import (
    ExecutingContextManager,
    ExtensionContextManagerBase,
    OperationContextManager,
    ParsingContextManager,
    ValidationContextManager,
    WrappedHook,
)
from strawberry.extensions.runner import SchemaExtensionsRunner


class KnownHooks(SchemaExtensionsRunner):
    """Strawberry's runner, which knows the hooks of a class of extensions after the first time.

    Strawberry looks at each class again, four times in every operation, to find out which hooks it
    has and of what kind they are; together that takes as long as a small query.
    """

    def operation(self) -> OperationContextManager:
        return _Operation(self.extensions)

    def parsing(self) -> ParsingContextManager:
        return _Parsing(self.extensions)

    def validation(self) -> ValidationContextManager:
        return _Validation(self.extensions)

    def executing(self) -> ExecutingContextManager:
        return _Executing(self.extensions)


class _Known(ExtensionContextManagerBase):
    def get_hook(self, extension: SchemaExtension) -> WrappedHook | None:
        kind: Any = type(extension)
        made = _hook(kind, self.HOOK_NAME)
        if made is None:
            return None
        make, is_async = made
        if make is None:
            return super().get_hook(extension)
        return WrappedHook(extension, partial(make, extension), is_async)


class _Operation(_Known, OperationContextManager):
    pass


class _Parsing(_Known, ParsingContextManager):
    pass


class _Validation(_Known, ValidationContextManager):
    pass


class _Executing(_Known, ExecutingContextManager):
    pass


@lru_cache(maxsize=256)
def _hook(kind: type[SchemaExtension], name: str) -> tuple[Callable[..., Any] | None, bool] | None:
    """What makes the context manager of a class's hook, and whether that is asynchronous. Nothing
    makes it for a hook that is no generator: Strawberry wraps these. None without a hook."""
    hook = getattr(kind, name)
    if hook is getattr(SchemaExtension, name):
        return None
    if inspect.isgeneratorfunction(hook):
        return contextmanager(hook), False
    if inspect.isasyncgenfunction(hook):
        return asynccontextmanager(hook), True
    return None, False
