"""Keys stay out of texts and causes; what cannot be a key or URL is refused."""

from __future__ import annotations

import pytest

from rag.errors import GenerationError, RagError
from rag.generation.masking import checked_base_url, checked_key, with_cause, without_secret
from rag.generation.retrying import Failure

SECRET = "sk-0123456789"


def test_texts_are_masked_and_shortened() -> None:
    """A vendor's text becomes one short line, with the key replaced before it is cut."""
    assert without_secret(f"bad\n key {SECRET}!", SECRET) == "bad key ***!"
    long = without_secret("x" * 295 + SECRET + "y" * 50, SECRET)
    assert long == "x" * 295 + "***y…"
    assert len(long) == 300


def test_a_cause_without_the_key_is_kept() -> None:
    """A vendor's exception that does not quote the key becomes the cause."""
    cause = ValueError("harmless")
    assert with_cause(_failure(), cause, SECRET).error.__cause__ is cause


@pytest.mark.parametrize("link", ["itself", "cause", "context"])
def test_a_cause_with_the_key_is_dropped(link: str) -> None:
    """An exception whose traceback would show the key, at any depth, is no cause of ours."""
    leaking = ValueError(f"key {SECRET}")
    cause = leaking if link == "itself" else ValueError("harmless")
    if link == "cause":
        cause.__cause__ = leaking
    if link == "context":
        cause.__context__ = leaking
    assert with_cause(_failure(), cause, SECRET).error.__cause__ is None


def _failure() -> Failure:
    return Failure(GenerationError("detail"), retry=False)


def test_keys() -> None:
    """Whitespace around a key, as from a file, is cut off."""
    assert checked_key(f" {SECRET}\n") == SECRET


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://example.com/v1/", "https://example.com/v1"),
        (" http://127.0.0.1:9999 ", "http://127.0.0.1:9999"),
        ("http://[::1]:8080/v1", "http://[::1]:8080/v1"),
    ],
)
def test_base_urls(given: str, kept: str) -> None:
    """A base URL is kept without its closing slash."""
    assert checked_base_url(given) == kept


def test_a_port_that_is_none() -> None:
    """A base URL with an impossible port is refused."""
    with pytest.raises(RagError):
        checked_base_url("http://127.0.0.1:99999")
