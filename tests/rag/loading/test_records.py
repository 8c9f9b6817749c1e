"""JSON Lines and the mapping of their fields."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rag.errors import LoadingError
from rag.loading import FieldMapping, ParseLimits, load_records
from rag.types import SourceDocument


def test_usual_names_need_no_mapping() -> None:
    """Collections in BEIR's form, and records that name their properties as documents do."""
    data = (
        b'{"_id": "d1", "title": "Tea", "text": "Green tea."}\n\n'
        b'{"id": 7, "content": "# Head\\r\\n\\r\\nText.", "type": "faq", "category": "care", '
        b'"language": "DE-at", "url": "https://x.example/7"}\r\n'
        b'{"body": "No title."}'
    )
    assert load_records("tea.jsonl", data) == [
        SourceDocument("Tea", "Green tea.", key="d1"),
        SourceDocument("Head", "# Head\n\nText.", "faq", "care", "de", "7", "https://x.example/7"),
        SourceDocument("No title.", "No title."),
    ]


def test_a_mapping_names_fields_and_joins_those_of_the_content() -> None:
    """A dot goes into an object; a list of texts is a text with paragraphs."""
    mapping = FieldMapping.from_json(
        {"title": "question", "content": ["question", "answer"], "language": "meta.lang"}
    )
    data = b'{"id": 1, "question": "Why?", "answer": ["So.", "And so."], "meta": {"lang": "fr"}}'
    assert load_records("faq.jsonl", data, mapping=mapping) == [
        SourceDocument("Why?", "Why?\n\nSo.\n\nAnd so.", language="fr", key="1")
    ]
    assert FieldMapping.restored(mapping.to_json()) == mapping


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"\n \n", "the file is empty"),
        (b'{"text": "a"}\n{"text": ', "line 2: this is not a JSON object in one line"),
        (b'["text"]', "line 1: this is not a JSON object in one line"),
        (b'{"title": "a"}', 'line 1: no text in "content" or "text" or "body"; name the right'),
        (b'{"text": {"a": 1}}', 'line 1: "text" must be a text'),
        (b'{"text": "a", "key": "k"}\n{"text": "b", "key": "k"}', "line 2: the key 'k' is that of"),
        (b'{"text": "a", "key": "' + b"k" * 151 + b'"}', "line 1: the key is longer than 150"),
        (b'{"text": "a", "type": "\\u0007"}', "line 1: the type holds characters"),
        (b'{"text": "a", "language": "English"}', "line 1: the language must be a two-letter"),
        (b'{"text": "a"}\n' * 4, "the file has more than 3 records; split it"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_one_wrong_line_refuses_the_file(data: bytes, reason: str) -> None:
    """Nothing of it is taken, and the line is named."""
    with pytest.raises(LoadingError) as caught:
        load_records("a.jsonl", data, limits=ParseLimits(records=3))
    assert str(caught.value).startswith("a.jsonl: ")
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([], "must be an object"),
        ({"text": "a"}, "knows title, content, type, category, language, key, source, but not"),
        ({"title": ""}, '"title" in the field mapping must be the name of a field'),
        ({"title": []}, '"title" in the field mapping must be the name of a field'),
        ({"title": [1]}, '"title" in the field mapping must be the name of a field'),
    ],
)
def test_a_wrong_mapping_is_refused(value: Any, reason: str) -> None:
    """The sentence says what a mapping looks like."""
    with pytest.raises(LoadingError, match=reason):
        FieldMapping.from_json(value)


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Green\n tea  helps.", "Green tea helps."),
        ("word " * 20, "word word word word word word word word word word word …"),
        ("x" * 80 + " y", "x" * 60),
    ],
)
def test_a_record_without_a_title_is_known_by_its_first_words(text: str, title: str) -> None:
    """Which do not change when other records come or go."""
    (record,) = load_records("tea.jsonl", json.dumps({"text": text}).encode())
    assert record.title == title
