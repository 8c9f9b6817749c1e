"""From a file to a `SourceDocument`."""

from rag.loading.files import MAX_BYTES, load_file

__all__ = ["MAX_BYTES", "load_file"]
