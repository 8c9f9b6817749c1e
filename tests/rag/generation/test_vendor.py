"""What the adapters share and no answer shows; `test_contract.py` has the rest."""

from __future__ import annotations

from rag.generation.base import Timeouts
from rag.generation.vendor import Access

KEY = "sk-secret-0123456789"


def test_an_access_shows_no_key() -> None:
    """What a client is built from may be printed, as in a traceback with locals."""
    access = Access(key=KEY, model="m", base_url="http://127.0.0.1:9", timeouts=Timeouts())
    assert (
        repr(access) == f"Access(model='m', base_url='http://127.0.0.1:9', timeouts={Timeouts()})"
    )
