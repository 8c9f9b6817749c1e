"""Pin every dependency with its hashes, for all platforms: writes the lock files.

torch itself is left out: which build of 2.13.0 fits depends on the machine. The packages that its
GPU builds bring along are left out with it; pip adds them where such a build is installed.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYTHON = "3.11"
GPU_ONLY = re.compile(r"^(nvidia-|cuda-|triton|torch==|torch )")


def compile_lock(*arguments: str) -> str:
    command = [
        str(Path(sys.executable).with_name("uv")),
        "pip",
        "compile",
        "--quiet",
        "--universal",
        "--generate-hashes",
        "--no-header",
        "--no-annotate",
        "--python-version",
        PYTHON,
        *arguments,
        "pyproject.toml",
    ]
    result = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return result.stdout


def blocks(text: str) -> dict[str, str]:
    """Requirement line and hashes by package name."""
    found: dict[str, str] = {}
    for block in re.split(r"\n(?=[A-Za-z0-9])", text.strip()):
        if not GPU_ONLY.match(block):
            key = (
                block.split("==")[0].strip()
                + "|"
                + (block.split(";")[1][:60] if ";" in block else "")
            )
            found[key] = block
    return found


def main() -> None:
    header = "# Made by `make lock`. Do not edit.\n"
    run = blocks(compile_lock())
    both = blocks(compile_lock("--group", "dev"))
    dev = {key: block for key, block in both.items() if run.get(key) != block}
    clash = {key.split("|")[0] for key in dev} & {key.split("|")[0] for key in run}
    if clash:
        # The tests must run on what users run.
        raise SystemExit(f"the dev tools want other versions of {', '.join(sorted(clash))}")
    (ROOT / "requirements.lock").write_text(header + "\n".join(run.values()) + "\n")
    (ROOT / "requirements-dev.lock").write_text(header + "\n".join(dev.values()) + "\n")
    pins = [block.split("\\")[0].strip() for block in run.values()]
    (ROOT / "constraints.txt").write_text(header + "\n".join(pins) + "\n")
    print(f"{len(run)} packages, and {len(dev)} for tests")


if __name__ == "__main__":
    main()
