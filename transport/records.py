"""Dictionaries of the same keys, made many times."""

from collections.abc import Callable
from typing import Any, Final

Make = Callable[..., dict[str, Any]]
# By the number of keys.
_MAKERS: Final[tuple[Callable[..., Make], ...]] = (
    lambda a: lambda s: {a: s},
    lambda a, b: lambda s, t: {a: s, b: t},
    lambda a, b, c: lambda s, t, u: {a: s, b: t, c: u},
    lambda a, b, c, d: lambda s, t, u, v: {a: s, b: t, c: u, d: v},
    lambda a, b, c, d, e: lambda s, t, u, v, w: {a: s, b: t, c: u, d: v, e: w},
    lambda a, b, c, d, e, f: lambda s, t, u, v, w, x: {a: s, b: t, c: u, d: v, e: w, f: x},
    lambda a, b, c, d, e, f, g: (
        lambda s, t, u, v, w, x, y: {a: s, b: t, c: u, d: v, e: w, f: x, g: y}
    ),
    lambda a, b, c, d, e, f, g, h: (
        lambda s, t, u, v, w, x, y, z: {a: s, b: t, c: u, d: v, e: w, f: x, g: y, h: z}
    ),
)


def maker(keys: tuple[str, ...]) -> Make:
    """A function that takes the values of these keys and returns the dictionary of them.

    Written out it takes half the time of `dict(zip(keys, values))`, and a page has hundreds.
    """
    if len(keys) <= len(_MAKERS):
        return _MAKERS[len(keys) - 1](*keys)
    return lambda *values: dict(zip(keys, values, strict=True))
