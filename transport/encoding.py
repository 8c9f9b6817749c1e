"""Strict JSON in, safe JSON out."""

import json
from typing import Any, NoReturn

import orjson

from transport.errors import InvalidJSON


def parse_json(data: bytes | str) -> object:
    """Parse UTF-8 JSON as RFC 8259 defines it; raises InvalidJSON and nothing else.

    The standard library parses instead of orjson because integers beyond 64 bits must stay exact
    and escaped lone surrogates must reach the application, which refuses them in its own words.
    """
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        return _decoder.decode(text)
    except InvalidJSON:
        raise
    except UnicodeDecodeError:
        raise InvalidJSON("The text is not valid UTF-8.") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InvalidJSON(f"The text is not valid JSON ({where}).") from None
    except RecursionError:
        raise InvalidJSON("The JSON is nested too deeply.") from None
    except ValueError:
        # CPython refuses integers of more than sys.get_int_max_str_digits() digits.
        raise InvalidJSON("The JSON holds a number with too many digits.") from None


def encode_json(value: object) -> bytes:
    """Encode as JSON that is always valid UTF-8.

    orjson refuses lone surrogates, integers beyond 64 bits and nesting beyond 254 levels; those
    take the standard library's way, which escapes everything outside ASCII. Raises TypeError,
    ValueError or RecursionError for what JSON cannot carry.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
        return text.encode("ascii")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise InvalidJSON("A JSON object has the same key twice.")
    return result


def _constant(name: str) -> NoReturn:
    raise InvalidJSON(f"{name} is not JSON.")


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
