"""Refusals before anything is started."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

import commands
from models.store import StoreError
from server import listen, transport_limits
from setting_files import load_secret_key
from settings import Settings, SettingsError
from tests.application import test_settings


def test_a_port_in_use_is_told_in_a_sentence() -> None:
    """The sentence names HOST and PORT."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"HOST 127.0.0.1 with PORT {port}"):
            listen("127.0.0.1", port)


def test_a_free_port_is_listened_on() -> None:
    """The socket has no Nagle delay on the connections it accepts: it names its protocol."""
    listener = listen("localhost", 0)
    with listener:
        assert listener.getsockname()[1] > 0
        assert listener.proto == socket.IPPROTO_TCP


@pytest.mark.anyio
async def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    """A damaged or foreign file stops the start in a sentence, and is not touched."""
    path = tmp_path / "notes.txt"
    path.write_text("These are my notes. " * 100)
    settings = Settings(_env_file=None, data_dir=tmp_path, database_url=f"sqlite://{path}")
    with pytest.raises(StoreError, match="not a database"):
        await commands.check_store(settings)
    assert path.read_text() == "These are my notes. " * 100


def test_a_data_dir_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """The sentence names DATA_DIR."""
    (tmp_path / "file").write_text("")
    settings = Settings(_env_file=None, data_dir=tmp_path / "file" / "data")
    with pytest.raises(SettingsError, match="DATA_DIR"):
        load_secret_key(settings)


def test_the_largest_file_fits_into_a_request(tmp_path: Path) -> None:
    """Also where MAX_UPLOAD_MB is raised, with what is said of the file beside it."""
    settings = test_settings(tmp_path, "sqlite://unused").model_copy(update={"max_upload_mb": 50})
    assert transport_limits(settings).upload_bytes == 51 * 1024 * 1024
