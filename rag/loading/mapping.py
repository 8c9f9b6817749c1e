"""Which field of a JSON Lines record is what."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final

from rag.errors import LoadingError

MAX_NAME: Final = 200
MAX_NAMES: Final = 20


@dataclass(frozen=True, slots=True)
class FieldMapping:
    """For each property of a document the names of the fields that may hold it, the first present
    one counts. A dot goes into an object: "meta.language".

    `content` is the exception: of the names that are present, all are joined if `join` is set,
    each as a paragraph of its own; else the first counts there, too.
    """

    title: tuple[str, ...] = ("title", "name")
    content: tuple[str, ...] = ("content", "text", "body")
    type: tuple[str, ...] = ("type",)
    category: tuple[str, ...] = ("category",)
    language: tuple[str, ...] = ("language", "lang")
    key: tuple[str, ...] = ("key", "id", "_id")
    source: tuple[str, ...] = ("source", "url")
    join: bool = False

    @classmethod
    def from_json(cls, value: Any) -> FieldMapping:
        """The mapping of `{"title": "question", "content": ["question", "answer"]}`.

        What is not mentioned keeps its default names. Several names for `content` are joined.

        Raises:
            LoadingError: a sentence that says what is wrong.
        """
        if not isinstance(value, dict):
            raise LoadingError('a field mapping must be an object such as {"content": "answer"}.')
        known = [field.name for field in fields(cls) if field.name != "join"]
        names: dict[str, tuple[str, ...]] = {}
        for name, given in value.items():
            if name not in known:
                raise LoadingError(
                    f"a field mapping knows {', '.join(known)}, but not {str(name)[:40]!r}."
                )
            listed = given if isinstance(given, list) else [given]
            if not 1 <= len(listed) <= MAX_NAMES or not all(
                isinstance(one, str) and 0 < len(one) <= MAX_NAME for one in listed
            ):
                raise LoadingError(
                    f'"{name}" in the field mapping must be the name of a field, or a list of such.'
                )
            names[name] = tuple(listed)
        return cls(**names, join="content" in names)

    def to_json(self) -> dict[str, Any]:
        """All names, as the process that reads gets them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def restored(cls, value: dict[str, Any]) -> FieldMapping:
        """What `to_json` gave."""
        join = bool(value.pop("join"))
        return cls(**{name: tuple(names) for name, names in value.items()}, join=join)


DEFAULT_MAPPING: Final = FieldMapping()
