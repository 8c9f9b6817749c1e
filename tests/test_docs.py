"""What the documentation says is true."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from settings import Settings
from tools import env_example

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_env_example_lists_every_setting() -> None:
    """.env.example is what `tools/env_example.py` writes from the settings."""
    assert (ROOT / ".env.example").read_text(encoding="utf-8") == env_example.env_example()


def test_the_readme_s_table_lists_every_setting() -> None:
    """The README's table of settings is what `tools/env_example.py` writes."""
    assert env_example.with_table(README) == README
    for name in Settings.model_fields:
        assert f"| `{name.upper()}` |" in README


def test_the_readme_s_links_lead_somewhere() -> None:
    """Every relative link of the README names a file of the project."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_readme_names_targets_that_exist() -> None:
    """Every `make` target that the README mentions is in `make help`."""
    listed = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    known = set(re.findall(r"^  make (\w+)", listed, re.MULTILINE))
    assert {"run", "test", "lint", "types", "format", "schema", "migrations", "benchmarks"} <= known
    assert "lock" in known
    for mentioned in re.findall(r"(?:^|`)(?:\w+=\S+ )*make (\w+)", README, re.MULTILINE):
        assert mentioned in known, mentioned


def test_no_path_of_a_machine_is_in_the_texts() -> None:
    """The project's texts speak of the project alone."""
    for path in [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]:
        if "node_modules" not in path.parts:
            assert "/work/" not in path.read_text(encoding="utf-8"), path
