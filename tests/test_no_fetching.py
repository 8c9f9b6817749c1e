"""The server calls no address that a person can choose."""

from __future__ import annotations

import ast
import socket
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Final

import pytest

from rag.errors import LoadingError
from rag.loading.files import SUFFIXES, load_documents

ROOT = Path(__file__).parent.parent
# What can open a connection, and what would start a program.
CLIENTS: Final = {
    *("aiohttp", "aiosmtplib", "asyncpg", "authlib", "ftplib", "google", "http", "httpcore"),
    *("httpx", "httpx2", "openai", "redis", "requests", "smtplib", "socket", "telnetlib"),
    *("urllib.request", "urllib3", "websockets", "xmlrpc"),
}
PROGRAMS: Final = {"multiprocessing", "pty", "subprocess"}
# Who may, and to where: the addresses are settings, which nobody changes through the API.
ALLOWED: Final = {
    "jobs/mail_delivery.py": {"aiosmtplib", "socket"},  # SMTP_URL
    "models/errors.py": {"asyncpg"},  # DATABASE_URL, in these three
    "models/postgres.py": {"asyncpg"},
    "models/store.py": {"asyncpg"},
    "rag/generation/gemini.py": {"google", "httpx2"},  # GEMINI_BASE_URL
    "rag/generation/gemini_legacy.py": {"google"},
    "rag/generation/openai.py": {"httpx2", "openai"},  # OPENAI_BASE_URL
    "resolvers/rates.py": {"redis"},  # REDIS_URL
    "resolvers/sign_in/bounded.py": {"httpx2"},  # OIDC_PROVIDERS, in these three
    "resolvers/sign_in/id_token.py": {"authlib"},
    "resolvers/sign_in/provider.py": {"authlib", "httpx2"},
    "server.py": {"socket"},  # it listens
}
UNSAFE: Final = {"os.system", "os.popen", "pickle.loads", "yaml.unsafe_load"}
STARTING: Final = {"rag/loading/parser.py"}  # our own program that reads files


def modules() -> list[Path]:
    folders = ("jobs", "models", "rag", "resolvers", "schema", "texts", "transport", "web")
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return [*found, *ROOT.glob("*.py")]


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def of(names: set[str], wanted: set[str]) -> set[str]:
    return {one for one in wanted for name in names if f"{name}.".startswith(f"{one}.")}


def test_only_these_modules_call_others() -> None:
    """A module that wants to call somebody has to be named here, with the setting that says whom.
    An address that a person can choose needs more: see docs/security.md."""
    found = {
        path.relative_to(ROOT).as_posix(): clients
        for path in modules()
        if (clients := of(imported(path), set(CLIENTS)))
    }
    assert found == ALLOWED


def test_only_the_parser_is_started() -> None:
    """No other program is run, and no text is run as one."""
    starting = {
        path.relative_to(ROOT).as_posix()
        for path in modules()
        if of(imported(path), set(PROGRAMS)) or "create_subprocess" in path.read_text("utf-8")
    }
    assert starting == STARTING
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec", "compile", "__import__"), path
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                named = f"{node.value.id}.{node.attr}"
                assert named not in UNSAFE, path


@contextmanager
def listener() -> Iterator[tuple[str, list[bytes]]]:
    """A port of this machine, and what calls it."""
    calls: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                with connection:
                    calls.append(connection.recv(100))

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}", calls
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def documents(url: str) -> dict[str, bytes]:
    """Files of each format that name the address wherever the format lets them."""
    entity = (
        f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "{url}/entity"><!ENTITY % p SYSTEM '
        f'"{url}/parameter"> %p;]><x xmlns:xi="http://www.w3.org/2001/XInclude">&e;<xi:include '
        f'href="{url}/include"/>words</x>'
    ).encode()
    html = (
        f'<!DOCTYPE html SYSTEM "{url}/dtd"><html><head><base href="{url}/"><link rel=stylesheet '
        f'href="{url}/css"><script src="{url}/js"></script><meta http-equiv=refresh '
        f'content="0;url={url}/next"></head><body><p>Some words.</p><img src="{url}/img"><iframe '
        f'src="{url}/frame"></iframe><object data="{url}/o"></object></body></html>'
    ).encode()
    rels = (
        '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/'
        'relationships"><Relationship Id="r1" Type="http://schemas.openxmlformats.org/'
        'officeDocument/2006/relationships/attachedTemplate" '
        f'Target="{url}/template" TargetMode="External"/></Relationships>'
    ).encode()
    office = {
        "[Content_Types].xml": entity,
        "_rels/.rels": rels,
        "word/document.xml": entity,
        "word/_rels/document.xml.rels": rels,
        "ppt/presentation.xml": entity,
        "xl/workbook.xml": entity,
        "META-INF/container.xml": entity,
    }
    mail = (
        b"From: a@example.com\r\nSubject: Words\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: text/html\r\n\r\n" + html
    )
    pdf = (
        "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R/OpenAction<</S/URI/URI("
        f"{url}/open)>>/AA<</WC<</S/SubmitForm/F({url}/form)>>>>>>endobj\n2 0 obj<</Type/Pages/Kids"
        "[3 0 R]/Count 1>>endobj\n3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents "
        f"4 0 R>>endobj\n4 0 obj<</F({url}/stream)/Length 0>>stream\n\nendstream endobj\n"
        "trailer<</Root 1 0 R>>"
    ).encode()
    markdown = f"# Words\n\n![image]({url}/img) <{url}/auto> [link]({url}/l)\n".encode()
    found = {".html": html, ".htm": html, ".eml": mail, ".pdf": pdf}
    found |= dict.fromkeys((".md", ".markdown", ".txt", ".csv", ".tsv"), markdown)
    found |= {suffix: packed(office) for suffix in (".docx", ".pptx", ".xlsx", ".epub")}
    record = b'{"title": "Words", "content": "' + url.encode() + b'/r words"}\n'
    return found | dict.fromkeys((".jsonl", ".ndjson"), record)


def packed(files: dict[str, bytes]) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_reading_a_file_calls_nobody() -> None:
    """Whatever it names: images, styles, frames, entities, includes, templates, actions."""
    with listener() as (url, calls):
        files = documents(url)
        assert files.keys() == SUFFIXES
        for suffix, data in files.items():
            with suppress(LoadingError):
                load_documents(f"file{suffix}", data)
        assert calls == []
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as probe:
            probe.sendall(b"probe")
            probe.shutdown(socket.SHUT_WR)
            probe.recv(1)
        assert calls == [b"probe"]


@pytest.mark.parametrize(
    "name", ["../../etc/passwd.md", "..\\..\\up.md", "/etc/cron.d/x.md", "a/b.md"]
)
def test_a_file_s_name_is_a_name_alone(name: str) -> None:
    """An upload's folders are dropped; nothing is written under a name that somebody has sent."""
    from resolvers.knowledge.submission import Properties, file_submission

    submission = file_submission(Properties(), name, b"words", max_mb=1)
    assert submission.file_name is not None
    assert not set(submission.file_name) & {"/", "\\"}
