"""Which licences `make sbom` refuses."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

SBOM = runpy.run_path(str(Path(__file__).parent.parent / "tools" / "sbom.py"))


@pytest.mark.parametrize(
    ("licence", "refused"),
    [
        ("MIT", False),
        ("LGPL-3.0-only", False),
        ("GNU Lesser General Public License v2 (LGPLv2)", False),
        ("GNU General Public License v3 or later (GPLv3+); MIT License", False),
        ("Apache-2.0 OR GPL-2.0-only", False),
        ("GPL-3.0-or-later", True),
        ("AGPL-3.0-only", True),
        ("GNU General Public License v3 (GPLv3)", True),
        ("GNU Affero General Public License v3", True),
        ("", False),
    ],
)
def test_licences(licence: str, refused: bool) -> None:
    """Of several that a package offers one is enough."""
    assert SBOM["is_refused"](licence) is refused
