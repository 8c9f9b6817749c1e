"""Text of providers becomes storable."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rag.cleaning import TextCleaner

ANY_TEXT = st.text(st.characters() | st.sampled_from("\ud83d\ude00\0"), max_size=30)


def clean(*pieces: str) -> str:
    cleaner = TextCleaner()
    return "".join(cleaner.feed(piece) for piece in pieces) + cleaner.finish()


def test_a_split_emoji_is_joined() -> None:
    """Halves in two pieces become the character."""
    assert clean("smile \ud83d", "\ude00!") == "smile 😀!"


def test_what_cannot_be_stored_is_replaced() -> None:
    """NUL goes, a lone half becomes U+FFFD."""
    assert clean("a\0b", "\ude00c\ud83d") == "ab\ufffdc\ufffd"


@given(text=ANY_TEXT, data=st.data())
def test_pieces_do_not_matter(text: str, data: st.DataObject) -> None:
    """Any split gives the same text; it can always be encoded, and clean text is unchanged."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    cleaned = clean(*pieces)
    assert cleaned == clean(text)
    cleaned.encode()
    assert clean(cleaned) == cleaned
