from __future__ import annotations

import base64
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from models.base import new_id
from resolvers.public_links import link_token, read_link_token
from resolvers.tokens import TokenService
from tests.clock import RunningClock
from tests.resolvers.conftest import SECRET

TOKENS = TokenService(SECRET, RunningClock())


@given(st.uuids())
def test_a_token_leads_back_to_its_link(link_id: UUID) -> None:
    """43 characters that need no escaping in an address, the same each time."""
    token = link_token(TOKENS, link_id)
    assert len(token) == 43
    assert token.replace("-", "").replace("_", "").isalnum()
    assert token.isascii()
    assert read_link_token(TOKENS, token) == link_id
    assert link_token(TOKENS, link_id) == token


def test_no_other_text_is_a_token() -> None:
    """Not with any bit flipped, any character changed, added or left out, nor with padding."""
    token = link_token(TOKENS, new_id())
    raw = base64.urlsafe_b64decode(token + "=")
    for bit in range(len(raw) * 8):
        forged = bytearray(raw)
        forged[bit // 8] ^= 1 << (bit % 8)
        text = base64.urlsafe_b64encode(forged).decode().rstrip("=")
        assert read_link_token(TOKENS, text) is None, bit
    for place in range(len(token)):
        for char in "AQgwz09-_ =\n\u00e9":
            if token[place] != char:
                assert read_link_token(TOKENS, token[:place] + char + token[place + 1 :]) is None
            assert read_link_token(TOKENS, token[:place] + char + token[place:]) is None
        assert read_link_token(TOKENS, token[:place] + token[place + 1 :]) is None
    for other in (token + "=", token + "A", " " + token, token + "\n", "", "\ud800", "A" * 43):
        assert read_link_token(TOKENS, other) is None


@given(st.text())
def test_any_text_is_answered(text: str) -> None:
    """Nothing that a stranger sends raises an error."""
    assert read_link_token(TOKENS, text) is None


def test_another_server_makes_other_tokens() -> None:
    """The secret decides, and for another purpose it gives another signature."""
    link_id = new_id()
    other = TokenService("another secret of forty characters or so", RunningClock())
    assert read_link_token(other, link_token(TOKENS, link_id)) is None
    assert TOKENS.sign(b"one", b"data") != TOKENS.sign(b"another", b"data")
