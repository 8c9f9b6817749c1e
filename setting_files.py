"""Files that settings name, or stand for them."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from pathlib import Path

from settings import Settings, SettingsError


def load_trusted_documents(settings: Settings) -> dict[str, str] | None:
    """What TRUSTED_DOCUMENTS holds; None if it is not set.

    Raises:
        SettingsError: it cannot be read, or a hash is not that of its document.
    """
    path = settings.trusted_documents
    if path is None:
        return None
    try:
        documents = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise SettingsError(f"TRUSTED_DOCUMENTS {path} cannot be read as JSON.") from None
    if not isinstance(documents, dict):
        raise SettingsError(f"TRUSTED_DOCUMENTS {path} must be an object of hash to document.")
    for key, text in documents.items():
        if not isinstance(text, str) or hashlib.sha256(text.encode()).hexdigest() != key:
            raise SettingsError(f"TRUSTED_DOCUMENTS {path}: {key} is not its document's SHA-256.")
    return documents


def load_secret_key(settings: Settings) -> str:
    """SECRET_KEY, or the random one in DATA_DIR/secret_key, made now if there is none.

    The file is created with mode 0600 and linked into place, so that of two servers that start at
    once both use the same key.

    Raises:
        SettingsError: the file is unreadable or too short.
    """
    if key := settings.secret_key.get_secret_value():
        return key
    path = settings.data_dir / "secret_key"
    try:
        _make_secret_key(path)
        key = path.read_text().strip()
    except OSError as error:
        raise SettingsError(
            f"DATA_DIR {settings.data_dir} cannot be used: {error.strerror or error}."
        ) from None
    if len(key) < 32:
        raise SettingsError(f"The key in {path} is too short; delete the file or set SECRET_KEY.")
    return key


def _make_secret_key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        draft = path.with_name(f"secret_key.{secrets.token_hex(4)}")
        with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # the other server was first: its key counts
        finally:
            draft.unlink()
