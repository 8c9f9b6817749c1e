"""The document and its tests say the same, in the same order."""

from __future__ import annotations

import ast
import re

from tests.protocol.document import ROOT, TEXT, plain, sections

FOLDER = ROOT / "tests" / "protocol"
MODULES = {
    path.name: ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(FOLDER.glob("test_[0-9]*.py"))
}


def statements(module: ast.Module) -> list[str]:
    """The docstrings of a module's tests, in order."""
    return [
        plain(ast.get_docstring(node) or "")
        for node in module.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name[:5] == "test_"
    ]


def test_each_section_has_its_tests() -> None:
    """The titles of the sections are the docstrings of the test modules, in the same order."""
    assert [ast.get_docstring(module) for module in MODULES.values()] == list(sections())


def test_each_test_quotes_the_document() -> None:
    """A test's docstring stands in its section word for word, and the order is the same."""
    for name, module in MODULES.items():
        text = plain(sections()[ast.get_docstring(module) or ""])
        position = 0
        for statement in statements(module):
            found = text.find(statement, position)
            assert statement, name
            assert found >= 0, f"{name}: not in the document, or too early: {statement}"
            position = found


def test_links_lead_somewhere() -> None:
    """Relative links name files, and links within the document name sections."""
    anchors = {re.sub(r"[^a-z -]", "", title.lower()).replace(" ", "-") for title in sections()}
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        if target.startswith("#"):
            assert target[1:] in anchors
        else:
            assert (ROOT / "docs" / target).exists(), target
