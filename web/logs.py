"""Logging: one line a message, for people or for collectors."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, Literal

from transport.endpoint import request_id


class _RequestId(logging.Filter):
    """Gives every record the id of the request that it was logged for."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not hasattr(record, "request_id"):
            record.request_id = request_id.get()
        return True


class TextFormatter(logging.Formatter):
    """`12:30:01 WARNING groundql.replies [request id] message`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s [%(request_id)s] %(message)s")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, request_id, message, exception if any, and for a
    request what web/requests.py gives as `fields`."""

    def format(self, record: logging.LogRecord) -> str:
        value: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "request_id": getattr(record, "request_id", "-"),
            "message": record.getMessage(),
        }
        value |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[1] is not None:
            value["exception"] = "".join(traceback.format_exception(record.exc_info[1]))
        return json.dumps(value, ensure_ascii=False)


def configure_logging(form: Literal["text", "json"], level: str) -> None:
    """Send everything to standard error in one form; uvicorn's own lines included."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_RequestId())
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("groundql").setLevel(level.upper())
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    # At DEBUG it prints what is written, mails with their tokens included.
    logging.getLogger("tortoise").setLevel(logging.WARNING)
    # Its pool warns with a traceback at each try while the database is away; we say so ourselves.
    logging.getLogger("asyncpg").setLevel(logging.ERROR)
    # "Job … missed": worth a line; "Added job": not.
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
