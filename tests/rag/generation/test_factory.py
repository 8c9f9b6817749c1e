"""Which generator is chosen and built, and what is said when that cannot be."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from rag.errors import RagError
from rag.generation.factory import Endpoint, choose, create_generator

OPENAI = Endpoint(api_key="sk-openai-0123456789", model="gpt", base_url="http://127.0.0.1:9/v1")
GEMINI = Endpoint(api_key="gm-gemini-0123456789", model="flash", base_url="http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("openai", "gemini", "chosen"),
    [
        (True, True, "openai"),
        (True, False, "openai"),
        (False, True, "gemini"),
        (False, False, "offline"),
    ],
)
def test_auto(openai: bool, gemini: bool, chosen: str) -> None:
    """Auto takes OpenAI if there is a key, else Gemini if there is one, else none of both."""
    assert choose(has_openai_key=openai, has_gemini_key=gemini) == chosen


@pytest.mark.parametrize("kind", ["offline", "openai", "gemini", "gemini-legacy"])
def test_a_kind_is_itself(kind: str) -> None:
    """A named generator is chosen whatever other keys there are."""
    assert choose(kind, has_openai_key=True, has_gemini_key=True) == kind


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("openai", "The generator openai needs an OpenAI API key."),
        ("gemini", "The generator gemini needs a Gemini API key."),
        ("gemini-legacy", "The generator gemini-legacy needs a Gemini API key."),
        (
            "other",
            "There is no generator 'other'; choose auto, offline, openai, gemini or gemini-legacy.",
        ),
    ],
)
def test_what_cannot_be_chosen(kind: str, sentence: str) -> None:
    """A missing key and an unknown name are each told in one sentence."""
    with pytest.raises(RagError) as refused:
        choose(kind, has_openai_key=False, has_gemini_key=False)
    assert str(refused.value) == sentence


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("kind", "keys", "provider", "model"),
    [
        ("auto", {"openai": OPENAI, "gemini": GEMINI}, "openai", "gpt"),
        ("auto", {"gemini": GEMINI}, "gemini", "flash"),
        ("gemini", {"openai": OPENAI, "gemini": GEMINI}, "gemini", "flash"),
    ],
)
async def test_building(kind: str, keys: dict[str, Any], provider: str, model: str) -> None:
    """The chosen generator gets its own endpoint, and shows no key."""
    generator = create_generator(kind, **keys)
    assert (generator.provider, generator.model) == (provider, model)
    assert "0123456789" not in repr(generator)
    await generator.close()


def test_building_the_offline_generator() -> None:
    """Without any key the offline generator answers."""
    assert create_generator().provider == "offline"


def test_a_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its package, gemini-legacy says what to install and how."""
    monkeypatch.setitem(sys.modules, "google.generativeai", None)
    monkeypatch.delitem(sys.modules, "rag.generation.gemini_legacy", raising=False)
    with pytest.raises(RagError) as refused:
        create_generator("gemini-legacy", gemini=GEMINI)
    assert str(refused.value) == (
        "The generator gemini-legacy needs the optional extra gemini-legacy;"
        " install it with: pip install '.[gemini-legacy]'"
    )


def test_keys_are_not_in_an_endpoint_s_repr() -> None:
    """An endpoint may be printed."""
    assert repr(OPENAI) == "Endpoint(model='gpt', base_url='http://127.0.0.1:9/v1')"


def test_no_sdk_is_imported_in_advance() -> None:
    """Importing the factory, the port and the errors imports no vendor's SDK."""
    code = (
        "import sys, rag.generation.factory\n"
        "sdks = {'openai', 'google.genai', 'google.generativeai', 'httpx2', 'torch'}\n"
        "print(sorted(sdks & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
