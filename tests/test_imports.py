"""Packaging and import directions that import-linter cannot see."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("web", "schema", "resolvers", "models", "rag", "jobs", "transport", "texts")
MODULES = (
    "server", "settings", "account_settings", "setting_files", "wiring", "commands",
    "backup_commands", "console",
)  # fmt: skip
# Imported by nothing before the port is open: each takes from tenths of a second to seconds.
HEAVY = (
    "torch",
    "transformers",
    "sentence_transformers",
    "faiss",
    "onnx",
    "onnxruntime",
    "tokenizers",
    "openai",
    "google.genai",
)


def test_each_top_level_name_has_one_owner() -> None:
    """No installed distribution brings a package of the same name as one of ours."""
    owners = packages_distributions()
    for name in (*PACKAGES, *MODULES):
        assert set(owners.get(name, [])) <= {"groundql"}, name


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_do_not_import_the_application(package: str) -> None:
    """Settings and wiring reach the packages as arguments, never by an import."""
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            assert not {name.partition(".")[0] for name in names} & set(MODULES), path


def test_starting_imports_nothing_heavy() -> None:
    """`import server` loads no model library and no vendor's SDK, so the port opens at once."""
    code = f"import sys, server; print([m for m in {HEAVY!r} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
