"""The subcommands of server.py that are not the server."""

from __future__ import annotations

import asyncio
import getpass
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, nullcontext
from pathlib import Path

from console import IndexingBar, console, describe_store
from models.store import Store
from rag.errors import GenerationError, RagError
from rag.generation.base import TextPiece
from resolvers import roles
from resolvers.clock import SystemClock
from resolvers.errors import DomainError
from resolvers.event_log import Origin
from resolvers.knowledge.base import KnowledgeBase
from resolvers.knowledge.folder import sync_folder
from resolvers.passwords import PasswordHasher
from settings import Settings
from wiring import Parts, create_knowledge, create_password_rules, create_reembedding


async def check_store(settings: Settings, *, exclusive: bool = False) -> list[str]:
    """Connect and bring the tables up to date; returns the names of the applied migrations.

    Raises:
        StoreError: it cannot be used, or (`exclusive`) another server uses it.
    """
    store = Store(settings.store_url)
    await store.open()
    try:
        async with store.exclusive() if exclusive else nullcontext():
            return await store.migrate()
    finally:
        await store.close()


async def migrate(settings: Settings) -> int:
    """Bring the tables up to date."""
    applied = await check_store(settings)
    done = ", ".join(applied) if applied else "nothing to do"
    console.print(f"{describe_store(settings.store_url)}: {done}")
    return 0


@asynccontextmanager
async def _opened_knowledge(settings: Settings) -> AsyncIterator[KnowledgeBase]:
    store = Store(settings.store_url)
    await store.open()
    try:
        await store.migrate()
        knowledge = create_knowledge(settings, Parts(), store)
        reembedding = create_reembedding(settings, Parts(), knowledge)
        bar = IndexingBar(knowledge)
        knowledge.embedding.start()
        try:
            await knowledge.open()
            bar.start()
            await reembedding.run()
            yield knowledge
        finally:
            bar.stop()
            await reembedding.close()
            await knowledge.embedding.close()
            await knowledge.close()
    finally:
        await store.close()


async def ingest(settings: Settings, folder: Path) -> int:
    """Index a folder; a running server sees the change within seconds."""
    if not await asyncio.to_thread(folder.is_dir):
        console.print(f"[red]Error:[/red] {folder} is not a folder.")
        return 2
    try:
        async with _opened_knowledge(settings) as knowledge:
            path = await asyncio.to_thread(folder.resolve)
            kb = await asyncio.to_thread(settings.kb_dir.resolve)
            if path.is_relative_to(kb):
                # A part of KB_DIR belongs to it: as a folder of its own it would be there twice.
                result = await sync_folder(knowledge, kb)
            else:
                result = await sync_folder(knowledge, path, prefix=f"{path.as_posix()}/")
            await knowledge.save()
    except RagError as error:
        console.print(f"[red]Error:[/red] {error}")
        return 1
    console.print(
        f"{result.indexed} indexed, {result.unchanged} unchanged, {result.removed} removed, "
        f"{result.failed} failed"
    )
    return 1 if result.failed else 0


def command_line(command: str) -> Origin:
    """Who calls a command, as far as the system tells."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's number without a name
        user = "unknown"
    return Origin(device=f"server.py {command}, by {user}")


async def create_admin(settings: Settings, email: str, ask_password: Callable[[], str]) -> int:
    """Give an account the role ADMIN; without an account, make one. Also beside a running server.

    The password is asked for: as an argument it would be in the history of the shell.
    """
    store = Store(settings.store_url)
    await store.open()
    try:
        await store.migrate()
        clock, origin = SystemClock(), command_line("create-admin")
        if await roles.make_admin(store, clock, email, origin):
            console.print(f"{email} is an ADMIN now.")
            return 0
        passwords, rules = PasswordHasher(), create_password_rules(settings)
        try:
            password = await asyncio.to_thread(ask_password)
            await roles.create_admin(
                store, clock, passwords, rules, email=email, password=password, origin=origin
            )
        finally:
            passwords.close()
            rules.close()
    except DomainError as error:
        console.print(f"[red]Error:[/red] {error.message}")
        return 2
    finally:
        await store.close()
    console.print(f"{email} has an account now, as ADMIN.")
    return 0


async def ask(settings: Settings, question: str) -> int:
    """Print an answer as it is generated, then its sources. KB_DIR is indexed first if need be."""
    if not question.strip():
        console.print("[red]Error:[/red] The question is empty.")
        return 2
    try:
        async with _opened_knowledge(settings) as knowledge:
            await sync_folder(knowledge, settings.kb_dir)
            await knowledge.save()
            knowledge.announce_ready()
            pipeline = await knowledge.pipeline()
            retrieval = await pipeline.retrieve_sources(question)
            prompt = pipeline.build_prompt(retrieval)
            pieces: list[str] = []
            async with aclosing(pipeline.answer(prompt)) as events:
                async for event in events:
                    if isinstance(event, TextPiece):
                        pieces.append(event.text)
                        sys.stdout.write(event.text)
                        sys.stdout.flush()
            sys.stdout.write("\n")
            for cited in pipeline.cite("".join(pieces), retrieval):
                sys.stdout.write(f"\n[{cited.number}] {cited.title}\n    {cited.quote}\n")
    except GenerationError as error:
        console.print(f"[red]Error:[/red] {error.user_message}")
        return 1
    except RagError as error:
        console.print(f"[red]Error:[/red] {error}")
        return 1
    return 0
