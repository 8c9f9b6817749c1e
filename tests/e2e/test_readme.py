"""The README's commands, run as they are written."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.e2e.conftest import Server, require_tool

ROOT = Path(__file__).parent.parent.parent


def test_the_curl_example_streams_an_answer(server: Server) -> None:
    """Register, log in and stream, exactly as the README says, but for the server's address."""
    require_tool("curl", "install curl")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", readme, re.DOTALL)
    (example,) = [block for block in blocks if "curl -sN" in block]
    script = example.replace("http://localhost:8000", server.url)
    assert script != example
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    assert '"__typename":"Registration"' in result.stdout
    assert '"__typename":"ReplyStarted"' in result.stdout
    assert '"status":"COMPLETE"' in result.stdout
    assert result.stdout.rstrip().endswith("--")
