"""The rules of waiting and giving up, without a provider."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import ProviderRateLimited, ProviderRejected, ProviderUnavailable
from rag.generation.base import RetryPolicy
from rag.generation.gemini_words import parse_retry_delay
from rag.generation.retrying import (
    delay_before,
    estimated_tokens,
    failure_of_status,
    parse_retry_after,
)

POLICY = RetryPolicy(attempts=9, base_delay=0.5, max_delay=8.0, max_retry_after=20.0)
NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(("number", "seconds"), [(2, 0.5), (3, 1), (4, 2), (5, 4), (6, 8), (7, 8)])
def test_waits_double_up_to_the_limit(number: int, seconds: float) -> None:
    """Without jitter the waits are base, 2 base, 4 base …, at most `max_delay`."""
    assert delay_before(number, POLICY, retry_after=None, jitter=0) == seconds


@given(st.integers(2, 50), st.floats(0, 1))
def test_jitter_adds_at_most_a_quarter(number: int, jitter: float) -> None:
    """Jitter only lengthens a wait, by up to 25 %, and never beyond `max_delay`."""
    plain = delay_before(number, POLICY, retry_after=None, jitter=0)
    wait = delay_before(number, POLICY, retry_after=None, jitter=jitter)
    assert plain is not None
    assert wait is not None
    assert wait == min(plain * (1 + jitter / 4), POLICY.max_delay)


@given(st.integers(2, 50), st.floats(0, 1), st.floats(0, 1e9))
def test_the_provider_s_wait_goes_first(number: int, jitter: float, seconds: float) -> None:
    """A Retry-After replaces the wait exactly, or ends the tries if it is too long."""
    wait = delay_before(number, POLICY, retry_after=seconds, jitter=jitter)
    assert wait == (seconds if seconds <= 20 else None)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0),
        (" 12 ", 12),
        ("1.5", 1.5),
        ("Sun, 01 Mar 2026 12:00:07 GMT", 7),
        ("Sunday, 01-Mar-26 12:00:07 GMT", 7),
        ("Sun Mar  1 12:00:07 2026", 7),
        ("Sun, 01 Mar 2026 12:00:07 -0000", 7),
        ("Sun, 01 Mar 2026 11:59:00 GMT", 0),
        ("", None),
        ("-1", None),
        ("inf", None),
        ("nan", None),
        ("1e3", None),
        ("٣", None),
        ("soon", None),
        ("Sun, 99 Mar 2026 12:00:07 GMT", None),
        ("9" * 400, None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    """Retry-After is a number of seconds or a date in one of HTTP's three forms, or noise."""
    assert parse_retry_after(value, now=NOW) == seconds


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_retry_after_never_fails(value: str) -> None:
    """Whatever a provider sends as Retry-After gives a wait of 0 s or more, or none."""
    seconds = parse_retry_after(value, now=NOW)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("34s", 34), ("1.5s", 1.5), ("34", None), ("-1s", None), (34, None), (None, None)],
)
def test_retry_delay(value: object, seconds: float | None) -> None:
    """Google writes a duration as seconds with an s."""
    assert parse_retry_delay(value) == seconds


@pytest.mark.parametrize(
    ("status", "kind", "retry"),
    [
        (204, ProviderUnavailable, True),
        (302, ProviderRejected, False),
        (400, ProviderRejected, False),
        (401, ProviderRejected, False),
        (403, ProviderRejected, False),
        (404, ProviderRejected, False),
        (408, ProviderUnavailable, True),
        (409, ProviderUnavailable, True),
        (425, ProviderUnavailable, True),
        (429, ProviderRateLimited, True),
        (500, ProviderUnavailable, True),
        (529, ProviderUnavailable, True),
    ],
)
def test_statuses(status: int, kind: type[Exception], retry: bool) -> None:
    """Each HTTP status has one meaning, and says whether another try makes sense."""
    failure = failure_of_status(status, "detail", retry_after=3)
    assert (type(failure.error), failure.retry, str(failure)) == (kind, retry, "detail")
    assert failure.retry_after == (3 if retry and status != 204 else None)


def test_estimated_tokens() -> None:
    """Four bytes of UTF-8 count as one token; lone surrogates do no harm."""
    assert estimated_tokens("abcd") == 1
    assert estimated_tokens("äöü") == 1.5
    assert estimated_tokens("\ud800") == 0.75
