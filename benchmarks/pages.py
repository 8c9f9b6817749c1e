"""Pages of Markdown from a seeded generator: headings, paragraphs, a list, a table."""

from __future__ import annotations

import random
from typing import Final

_THINGS: Final = (
    "pump", "valve", "filter", "sensor", "hinge", "cable", "tank", "panel", "rotor", "switch",
    "nozzle", "bracket", "gasket", "display", "battery", "antenna", "lens", "bearing", "fan",
)  # fmt: skip
_KINDS: Final = (
    "main", "spare", "left", "upper", "outdoor", "small", "heated", "sealed", "digital", "manual",
    "second", "flexible", "steel", "ceramic", "coated", "remote",
)  # fmt: skip
_ACTIONS: Final = (
    "is checked", "must be cleaned", "can be replaced", "is delivered", "was tested",
    "is calibrated", "must be tightened", "is stored", "can be returned", "is shipped",
    "is inspected",
)  # fmt: skip
_WHEN: Final = (
    "every {n} days", "after {n} hours of use", "within {n} working days", "at {n} degrees",
    "before the {n}th start", "by a team of {n} people", "with a torque of {n} newton metres",
)  # fmt: skip
_WHY: Final = (
    "because dust shortens its life", "so that no water gets in", "unless the seal is broken",
    "as the warranty asks for it", "and the result is written into the log",
    "while the power is off", "if the customer wants it", "which takes a few minutes",
)  # fmt: skip


def make_page(number: int, *, seed: int = 4) -> tuple[str, str]:
    """Title and Markdown of one page, about 170 words; the same for the same number and seed."""
    draw = random.Random(f"{seed}:{number}")

    def part() -> str:
        return f"{draw.choice(_KINDS)} {draw.choice(_THINGS)}"

    def sentence() -> str:
        when = draw.choice(_WHEN).format(n=draw.randint(2, 90))
        return f"The {part()} {draw.choice(_ACTIONS)} {when}, {draw.choice(_WHY)}."

    title = f"{part().capitalize()} {number}"
    lines = [f"# {title}", ""]
    for _ in range(draw.randint(2, 3)):
        lines += [f"## {part().capitalize()}", ""]
        lines += [" ".join(sentence() for _ in range(draw.randint(2, 4))), ""]
    lines += [f"- {sentence()}" for _ in range(2)]
    lines += ["", "| part | number | price |", "|---|---|---|"]
    lines += [
        f"| {part()} | {draw.randint(1000, 9999)} | {draw.randint(2, 900)} |" for _ in range(2)
    ]
    return title, "\n".join(lines) + "\n"
