"""What schemathesis cannot know of the API. It loads this file itself (SCHEMATHESIS_HOOKS).

Ids that are there: random ones end at the first check of every operation. Half of all ids that it
invents become one of those in the file IDS, of whatever kind.
"""

from __future__ import annotations

import json
import os
import random
import re
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis.graphql import nodes

IDS: list[str] = json.loads(os.environ["ATTACK_IDS"])
_ID = re.compile(r'\b((?:\w+I|i)ds?: \[?)(?:"(?:[^"\\]|\\.)*"|null)')
_random = random.Random(int(os.environ["ATTACK_SEED"]))

# A file cannot stand in a document: every operation with one must be refused in words.
schemathesis.graphql.scalar("Upload", st.just(nodes.String("a file")))


@schemathesis.hook  # type: ignore[untyped-decorator]
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    def real(found: re.Match[str]) -> str:
        if not IDS or _random.random() < 0.5:
            return found[0]
        return f"{found[1]}{json.dumps(_random.choice(IDS))}"

    if isinstance(case.body, str):
        case.body = _ID.sub(real, case.body)
