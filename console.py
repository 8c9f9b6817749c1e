"""What a person at the terminal sees while the server starts."""

from __future__ import annotations

import asyncio
import sys

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from resolvers.knowledge.base import KnowledgeBase
from resolvers.knowledge.state import IndexProgress

console = Console(stderr=True, highlight=False, soft_wrap=True)


class IndexingBar:
    """A progress bar on a terminal, a line at every tenth elsewhere; nothing if all is indexed."""

    def __init__(self, knowledge: KnowledgeBase) -> None:
        self._knowledge = knowledge
        self._bar: Progress | None = None
        self._tenth = -1

    def start(self) -> None:
        self._knowledge.listeners.add(self._update)

    def stop(self) -> None:
        self._knowledge.listeners.discard(self._update)
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _update(self, progress: IndexProgress) -> None:
        done, total = progress.ready + progress.failed, progress.documents
        if total == 0 or (self._bar is None and self._tenth < 0 and done >= total):
            return
        if not sys.stderr.isatty():
            tenth = 10 * done // total
            if tenth != self._tenth:
                self._tenth = tenth
                console.print(f"Indexing documents: {done} of {total}")
            return
        self._tenth = 0
        if self._bar is None:
            self._bar = Progress(
                TextColumn("Indexing documents"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=console,
            )
            self._bar.start()
            self._bar.add_task("index", total=total)
        self._bar.update(self._bar.task_ids[0], completed=done, total=total)
        if done >= total:
            self._bar.stop()


def describe_store(store_url: str) -> str:
    """The store in words, without a password."""
    if store_url.startswith("sqlite"):
        return f"SQLite, {store_url.removeprefix('sqlite://')}"
    return "PostgreSQL, " + store_url.rsplit("@", 1)[-1].partition("?")[0]


async def announce(knowledge: KnowledgeBase, *, store_url: str, graphiql_url: str | None) -> None:
    """Say what is in use as soon as it is known, and when questions can be answered."""
    console.print(f"Store:      {describe_store(store_url)}")
    if graphiql_url:
        console.print(f"GraphiQL:   {graphiql_url}")
    try:
        pipeline = await knowledge.pipeline()
    except asyncio.CancelledError:
        raise
    except Exception as error:
        console.print(f"[red]Questions cannot be answered:[/red] {error}")
        return
    console.print(f"Embedding:  {knowledge.embedding.identity.name}")
    generator = pipeline.generator
    named = (
        generator.provider
        if generator.model == generator.provider
        else (f"{generator.provider}, {generator.model}")
    )
    console.print(f"Generator:  {named}")
    console.print(f"Ready:      {len(knowledge.index)} passages can be searched")
