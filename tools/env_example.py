"""Write .env.example and the README's table of settings from the settings themselves."""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import SecretStr

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from settings import Settings  # noqa: E402

BEGIN, END = "<!-- settings: begin -->", "<!-- settings: end -->"


def rows() -> list[tuple[str, str, str]]:
    """Name, default as it is written in .env, and description of every variable."""
    found = []
    # Those of the server first: a class begins with the fields of what it is made from.
    fields = sorted(
        Settings.model_fields.items(), key=lambda f: f[0] not in Settings.__annotations__
    )
    for name, field in fields:
        default = field.default
        if default is None:
            default = ""
        elif isinstance(default, SecretStr):
            default = default.get_secret_value()
        elif isinstance(default, tuple):
            default = ",".join(default)
        elif isinstance(default, bool):
            default = str(default).lower()
        elif isinstance(default, float) and default == int(default):
            default = int(default)
        found.append((name.upper(), str(default), field.description or ""))
    return found


def env_example() -> str:
    lines = [
        "# Copy to .env and change what you need. Every line shows the default.",
        "# Variables of the environment win over this file.",
    ]
    for name, default, description in rows():
        lines += ["", f"# {description}", f"# {name}={default}"]
    return "\n".join(lines) + "\n"


def table() -> str:
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for name, default, description in rows():
        shown = f"`{default}`" if default else ""
        lines.append(f"| `{name}` | {shown} | {description.replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def with_table(readme: str) -> str:
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main() -> None:
    (ROOT / ".env.example").write_text(env_example())
    readme = ROOT / "README.md"
    readme.write_text(with_table(readme.read_text()))


if __name__ == "__main__":
    main()
