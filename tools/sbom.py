"""Write the list of parts (SBOM, CycloneDX 1.6) and the list of licences of an environment.

    make sbom

The tools live in an environment of their own, so that they are not parts themselves.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
REFUSED = ("GPL", "AGPL")  # what we do not ship; LGPL is allowed


def main(tools: Path, python: Path, folder: Path) -> int:
    """Returns 1 if a part has a licence that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    sbom = folder / "sbom.json"
    run(
        tools / "cyclonedx-py",
        "environment",
        python,
        "--pyproject",
        ROOT / "pyproject.toml",
        "--output-format",
        "JSON",
        "--output-reproducible",
        "--output-file",
        sbom,
    )
    text = run(tools / "pip-licenses", "--python", python, "--format", "json", "--from", "mixed")
    rows = sorted(json.loads(text), key=lambda row: str(row["Name"]).lower())
    lines = [
        "# Licences of what is installed",
        "",
        "| Package | Version | Licence |",
        "| --- | --- | --- |",
    ]
    lines += [
        f"| {row['Name']} | {row['Version']} | {first_line(row['License'])} |" for row in rows
    ]
    (folder / "licences.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    refused = [row["Name"] for row in rows if is_refused(row["License"])]
    count = len(json.loads(sbom.read_text(encoding="utf-8"))["components"])
    print(f"{sbom}: {count} parts; {folder / 'licences.md'}: {len(rows)} packages")
    for name in refused:
        print(f"{name} has a licence that is not allowed.")
    return 1 if refused else 0


def run(*command: object) -> str:
    made = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE)
    return made.stdout.decode()


def first_line(text: str) -> str:
    """Some packages give the whole text of their licence."""
    line = (text.strip().splitlines() or ["?"])[0]
    return line.replace("|", "/")[:120]


def is_refused(licence: str) -> bool:
    """Whether every alternative that it offers is one of those."""
    offered = [part.strip() for part in first_line(licence).replace(" or ", " OR ").split(" OR ")]
    offered = [one for part in offered for one in part.split(";")]
    return all(
        any(word in one.replace("LGPL", "").replace("Lesser General", "") for word in REFUSED)
        or ("General Public License" in one and "Lesser" not in one)
        for one in offered
    )


if __name__ == "__main__":
    sys.exit(main(*(Path(argument) for argument in sys.argv[1:4])))
