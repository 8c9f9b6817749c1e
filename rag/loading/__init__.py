"""From a file to a `SourceDocument`.

`load_file` and `load_records` read in this process. `rag.loading.parser.DocumentParser` reads in
another one that is killed when a file takes too much.
"""

from rag.loading.files import RECORD_SUFFIXES, SUFFIXES, load_documents, load_file, load_records
from rag.loading.limits import MAX_BYTES, ParseLimits
from rag.loading.mapping import FieldMapping

__all__ = [
    "MAX_BYTES",
    "RECORD_SUFFIXES",
    "SUFFIXES",
    "FieldMapping",
    "ParseLimits",
    "load_documents",
    "load_file",
    "load_records",
]
