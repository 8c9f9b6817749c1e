"""Reading messages and headers: properties that hold for any input."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transport.body import Parameters, parse_json_body, parse_url
from transport.encoding import encode_json, parse_json
from transport.errors import InvalidJSON, RequestError
from transport.messages import (
    MAX_REASON_BYTES,
    Complete,
    Init,
    InvalidMessage,
    Ping,
    Pong,
    Subscribe,
    close_reason,
    parse_message,
    too_large,
)
from transport.negotiation import Form, json_form, negotiate, parse_content_type

any_text = st.text(st.characters(exclude_categories=()))
any_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=12,
)
names = ("type", "id", "payload", "query", "variables", "operationName", "extensions")
types = ("connection_init", "ping", "pong", "subscribe", "complete", "next")
objects: st.SearchStrategy[Any] = st.dictionaries(
    st.sampled_from(names),
    st.sampled_from(types) | any_json | st.fixed_dictionaries({"query": any_json}),
    max_size=5,
)


def outcome(read: Callable[[Any], object], value: object) -> object:
    """The type of what was read, or the refusal's status or reason."""
    try:
        return type(read(value))
    except RequestError as error:
        return error.status
    except InvalidMessage as error:
        return str(error)


@given(any_json.filter(lambda value: value not in (float("inf"), float("-inf"))))
def test_json_survives_a_round_trip(value: Any) -> None:
    """What was read is written as it was, surrogates and large integers included."""
    try:
        text = json.dumps(value, allow_nan=False)
    except ValueError:
        return
    assert parse_json(text) == value
    assert parse_json(encode_json(value)) == value


@given(st.binary() | any_json.map(lambda value: json.dumps(value).encode()))
def test_any_body_gives_parameters_or_a_request_error(body: bytes) -> None:
    """Nothing else is ever raised."""
    assert outcome(parse_json_body, body) in (Parameters, 400)


@given(st.binary())
def test_any_url_gives_parameters_or_a_request_error(query_string: bytes) -> None:
    """Nothing else is ever raised."""
    assert outcome(parse_url, query_string) in (Parameters, 400)


@given(any_text | any_json.map(json.dumps) | objects.map(json.dumps))
def test_any_text_gives_a_message_or_a_reason(text: str) -> None:
    """A reason quotes nothing of the client's text and fits into a close frame."""
    found = outcome(parse_message, text)
    if isinstance(found, str):
        assert 0 < len(found.encode("utf-8")) <= MAX_REASON_BYTES
    else:
        assert found in (Init, Ping, Pong, Subscribe, Complete)


@given(any_text)
def test_any_reason_fits_into_a_close_frame(text: str) -> None:
    """Cut between characters, never within one."""
    assert len(close_reason(text).encode("utf-8")) <= MAX_REASON_BYTES


@given(any_text, st.integers(0, 60))
def test_sizes_are_those_of_utf8(text: str, limit: int) -> None:
    """The shortcut for short texts changes no answer."""
    assert too_large(text, limit) == (len(text.encode("utf-8", "surrogatepass")) > limit)


@given(any_text)
def test_any_header_is_read(text: str) -> None:
    """A header gives a form or 406, and never an exception."""
    assert json_form(text) in (Form.JSON, Form.RESPONSE)
    parse_content_type(text)
    assert outcome(negotiate, text) in (Form, 406)


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ('multipart/mixed;subscriptionSpec="1.0"', Form.MULTIPART),
        ("multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/json", Form.MULTIPART),
        ("application/json;q=0.9, text/event-stream", Form.EVENTS),
        ("text/event-stream;q=0, application/json", Form.JSON),
        ('multipart/mixed;boundary="a,b;c";subscriptionSpec=1.0', Form.MULTIPART),
        ("multipart/mixed, application/json", Form.JSON),
    ],
)
def test_streams_are_negotiated(accept: str, form: Form) -> None:
    """By name; the parameter tells Apollo's subscriptions from its deferred queries."""
    assert negotiate(accept) is form


def test_refused_json_never_quotes_its_input() -> None:
    """An error may be logged or shown elsewhere."""
    for text in ('{"secret": secret}', '{"secret": 1, "secret": 2}', '["secret", NaN]'):
        with pytest.raises(InvalidJSON) as caught:
            parse_json(text)
        assert "secret" not in str(caught.value)
