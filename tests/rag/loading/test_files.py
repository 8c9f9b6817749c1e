from __future__ import annotations

from pathlib import Path

import pytest

from rag.errors import LoadingError
from rag.loading import MAX_BYTES, load_file


def test_markdown_with_front_matter() -> None:
    """The front matter gives the properties; the content is the rest, unchanged."""
    data = (
        b"---\ntitle: Returning  goods\ntype: policy\ncategory: returns\nlanguage: DE-at\n"
        b"order: 3\n---\n\n# Other\r\n\r\nText.\r"
    )
    document = load_file("a/b.md", data)
    assert document.title == "Returning goods"
    assert (document.type, document.category, document.language) == ("policy", "returns", "de")
    assert document.content == "\n# Other\n\nText.\n"


@pytest.mark.parametrize(
    ("data", "title"),
    [
        (b"Intro\n\n## Second\n\ntext", "Second"),
        (b"Head\n====\ntext", "Head"),
        (b"```\n# comment\n```\ntext", "my-file"),
        (b"---\ntype: faq\n---\ntext", "my-file"),
        (b"---\n\n# After a rule\n\n---\ntext", "After a rule"),
        (b"\xef\xbb\xbf---\ntitle: With a BOM\n---\ntext", "With a BOM"),
        (b"---\ntitle: 2024\n---\ntext", "2024"),
        (b"---\nUnderlined\n---\n# Real\n", "Underlined"),
        (b"---\n---\n# Nothing in it\n", "Nothing in it"),
    ],
)
def test_title_falls_back_to_heading_and_file_name(data: bytes, title: str) -> None:
    """The first heading outside code names the document, else its file does."""
    assert load_file("docs/my-file.markdown", data).title == title


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.doc", b"%PDF", r"only files that end in \.csv, \.docx"),
        ("a.md", b"a\0b", "NUL bytes"),
        ("a.md", b"a\xff", r"not UTF-8 text \(byte 2"),
        ("a.md", b"", "empty"),
        ("a.md", b"---\ntitle: x\n---\n \n\n***\n", "empty"),
        ("a.html", b"<html><body><script>var a = 1</script></body></html>", "empty"),
        ("a.md", b"x" * (MAX_BYTES + 1), "larger than 5 MB"),
        ("a.md", b"---\ntitle: x\ntext", "not closed"),
        ("a.md", b"---\ntitle: a: b\n---\ntext", "not valid YAML in line 2"),
        ("a.md", b"---\ntitle: [a]\n---\ntext", '"title" in the front matter must be a text'),
        ("a.md", b"---\ntype: " + b"x" * 65 + b"\n---\ntext", "longer than 60"),
        ("a.md", b"---\nlanguage: English\n---\ntext", "two-letter code"),
        ("a.md", b"---\na: &a [" + b"[" * 3000 + b"\n---\ntext", "not valid YAML"),
        ("a.md", b"---\ntitle: {\n---\ntext", "not valid YAML"),
        ("a.md", b"---\na: &a {b: c}\nd: {<<: [*a, *a]}\n---\ntext", "must not refer to other"),
        ("a.md", b"---\nlanguage: [en]\n---\ntext", "two-letter code"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(
    name: str, data: bytes, reason: str
) -> None:
    """The message names the file and says what is wrong with it."""
    with pytest.raises(LoadingError, match=reason) as caught:
        load_file(name, data)
    assert str(caught.value).startswith(name)


def test_files_are_read_from_disk(tmp_path: Path) -> None:
    """Without data the file itself is read; a missing one is a loading error."""
    path = tmp_path / "Note.TXT"
    path.write_bytes(b"Note\n----\nBuy milk.\n")
    document = load_file(path)
    assert (document.title, document.content) == ("Note", "Note\n----\nBuy milk.\n")
    assert load_file("plain.txt", b"just text").title == "plain"
    with pytest.raises(LoadingError, match="cannot be read"):
        load_file(tmp_path / "missing.md")


def test_an_unquoted_no_is_norwegian() -> None:
    """YAML reads `language: no` as false."""
    assert load_file("a.md", b"---\nlanguage: no\n---\ntext").language == "no"
