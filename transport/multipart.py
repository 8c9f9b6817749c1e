"""Uploads: a GraphQL request as multipart/form-data.

https://github.com/jaydenseric/graphql-multipart-request-spec
"""

import re
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope

from transport.body import Parameters, parse_parameters
from transport.encoding import parse_json
from transport.errors import InvalidJSON, RequestError
from transport.limits import Limits

_INDEX = re.compile(r"[0-9]{1,6}")
_FIELDS = 2
"""`operations` and `map`; everything else in the form is a file."""


async def read_form(scope: Scope, receive: Receive, limits: Limits) -> FormData:
    """Parse the form; raises RequestError(400). `receive` counts the bytes and the time.

    The caller closes the form, and with it its files, after the operation.
    """
    # Starlette's answer to a bad form depends on whether an app is in the scope.
    request = Request({key: value for key, value in scope.items() if key != "app"}, receive)
    try:
        return await request.form(
            max_files=limits.upload_files, max_fields=_FIELDS, max_part_size=limits.body_bytes
        )
    except MultiPartException as error:
        raise RequestError(400, f"The multipart body is wrong: {error.message}") from None
    except (RequestError, ClientDisconnect, TimeoutError):
        raise
    except (ValueError, LookupError, AssertionError):  # pragma: no cover
        # No input is known to reach this; older python-multipart raised them for odd headers.
        raise RequestError(400, "The multipart body is wrong.") from None


def parse_form(form: FormData) -> Parameters:
    """Put each file where `map` says; raises RequestError(400)."""
    operations = _json_field(form, "operations")
    parameters = parse_parameters(operations)
    targets = _json_field(form, "map")
    if not isinstance(targets, dict):
        raise RequestError(400, "The field 'map' must be a JSON object.")
    for name, paths in targets.items():
        file = form.get(name)
        if not isinstance(file, UploadFile):
            raise RequestError(400, "The field 'map' names a file that is not in the form.")
        if not isinstance(paths, list) or not paths:
            raise RequestError(400, "The field 'map' must give each file a list of paths.")
        for path in paths:
            _place(parameters.variables, path, file)
    names = {name for name, value in form.multi_items() if isinstance(value, UploadFile)}
    if names != set(targets):
        raise RequestError(400, "The form holds a file that 'map' does not name.")
    return parameters


def _json_field(form: FormData, name: str) -> object:
    values = form.getlist(name)
    if len(values) != 1 or not isinstance(values[0], str):
        raise RequestError(400, f"The form needs one text field '{name}'.")
    try:
        return parse_json(values[0])
    except InvalidJSON as error:
        raise RequestError(400, f"The field '{name}' is wrong: {error}") from None


def _place(variables: dict[str, Any] | None, path: object, file: UploadFile) -> None:
    """Replace the null at `path`, e.g. `variables.files.0`; nothing but a null is replaced."""
    wrong = RequestError(400, "A path in 'map' does not lead to a null in 'variables'.")
    if not isinstance(path, str) or variables is None:
        raise wrong
    root, *keys = path.split(".")
    if root != "variables" or not keys:
        raise wrong
    container: Any = variables
    for key in keys[:-1]:
        container = container[_step(container, key, wrong)]
    last = _step(container, keys[-1], wrong)
    if container[last] is not None:
        raise wrong
    container[last] = file


def _step(container: object, key: str, wrong: RequestError) -> str | int:
    if isinstance(container, Mapping) and key in container:
        return key
    if isinstance(container, list) and _INDEX.fullmatch(key) and int(key) < len(container):
        return int(key)
    raise wrong
