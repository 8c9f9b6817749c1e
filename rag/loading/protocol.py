"""What travels between the server and the process that reads files: frames of a length and bytes.

A request is two frames: an object of JSON with `name`, `mapping` and `limits`, and the file. The
answer is any number of frames with lists of documents, then one object: `{"done": true}` or
`{"error": "a sentence"}`, with `"exit": true` if the process ends after it. The first frame of all
is the process's own: which of the limits are in force.

It is JSON and not pickle, because the other side is not to be trusted: a file may have taken it
over.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from rag.types import SourceDocument

HEADER_BYTES: Final = 4
# One document of five million characters of four bytes each, escaped, with room to spare.
MAX_FRAME: Final = 64 * 1024 * 1024
# Characters in all documents of one file.
MAX_TEXT: Final = 20_000_000


def frame(data: bytes) -> bytes:
    """The bytes that announce and hold `data`."""
    return len(data).to_bytes(HEADER_BYTES, "big") + data


def frame_length(header: bytes) -> int:
    """The length that a header announces.

    Raises:
        ValueError: it is more than a frame may have.
    """
    length = int.from_bytes(header, "big")
    if length > MAX_FRAME:
        raise ValueError("the frame is too long")
    return length


def document_to_json(document: SourceDocument) -> dict[str, Any]:
    return asdict(document)


def document_from_json(value: Any) -> SourceDocument:
    """The document that the other side sent.

    Raises:
        ValueError: it is none.
    """
    try:
        document = SourceDocument(**(value | {"pages": tuple(value["pages"])}))
    except (TypeError, KeyError) as error:
        raise ValueError("not a document") from error
    texts = (document.title, document.content, document.type, document.category)
    optional = (document.language, document.key, document.source)
    if not (
        all(isinstance(text, str) for text in texts)
        and all(text is None or isinstance(text, str) for text in optional)
        and all(type(start) is int for start in document.pages)
    ):
        raise ValueError("not a document")
    return document
