"""Log lines for people and for collectors."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from transport.endpoint import request_id
from web.logs import configure_logging


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    logging.getLogger("groundql").setLevel(logging.NOTSET)


def test_json_lines_can_be_parsed(capsys: pytest.CaptureFixture[str]) -> None:
    """Each message is one JSON object with its request id, also with a line break or an error."""
    configure_logging("json", "info")
    token = request_id.set("abc12345")
    try:
        raise ValueError("inner")
    except ValueError:
        logging.getLogger("groundql.test").exception("two\nlines")
    finally:
        request_id.reset(token)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    value = json.loads(lines[0])
    assert value["message"] == "two\nlines"
    assert value["level"] == "error"
    assert value["logger"] == "groundql.test"
    assert value["request_id"] == "abc12345"
    assert "ValueError: inner" in value["exception"]


def test_text_lines_name_level_and_logger(capsys: pytest.CaptureFixture[str]) -> None:
    """The text form has time, level, logger, request id and message."""
    configure_logging("text", "warning")
    logging.getLogger("groundql.test").info("not shown")
    logging.getLogger("groundql.test").warning("shown")
    error = capsys.readouterr().err
    assert "WARNING groundql.test [-] shown" in error
    assert "not shown" not in error


def test_libraries_do_not_print_what_they_bind() -> None:
    """Even at LOG_LEVEL=debug the database's logger stays silent: it would print mail tokens."""
    configure_logging("text", "debug")
    assert not logging.getLogger("tortoise.db_client").isEnabledFor(logging.DEBUG)
