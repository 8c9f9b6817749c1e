"""The sample knowledge base in a data folder, indexed as the server does it, once."""

from __future__ import annotations

import secrets
from pathlib import Path

from benchmarks.figures import console
from console import IndexingBar
from models.store import Store
from settings import Settings
from wiring import Parts, create_knowledge, prepare_knowledge


def sample_settings(data_dir: Path, kb_dir: Path) -> Settings:
    """The server's defaults without the environment and .env, with the offline generator."""
    return Settings(
        _env_file=None,
        data_dir=data_dir,
        kb_dir=kb_dir,
        database_url=f"sqlite://{(data_dir / 'groundql.db').absolute()}",
        secret_key=secrets.token_urlsafe(48),
        generator="offline",
        embedding_model="all-MiniLM-L6-v2",
        smtp_url="",
        retention_days=0,
        shutdown_grace=1,
        # A measurement asks faster than a person does.
        messages_per_minute=0,
        address_messages_per_minute=0,
        uploads_per_minute=0,
        sockets_per_address=0,
        subscriptions_per_user=0,
    )


async def index_sample(data_dir: Path, kb_dir: Path) -> int:
    """Bring the data folder in step with the documents; returns the number of passages.

    A folder that was indexed before is only checked.
    """
    settings = sample_settings(data_dir, kb_dir)
    store = Store(settings.store_url)
    await store.open()
    try:
        await store.migrate()
        knowledge = create_knowledge(settings, Parts(), store)
        bar = IndexingBar(knowledge)
        bar.start()
        try:
            await prepare_knowledge(knowledge, kb_dir)
        finally:
            bar.stop()
        try:
            if not knowledge.is_ready:
                raise RuntimeError(f"The sample cannot be indexed: {knowledge.failure}")
            passages = len(knowledge.index)
        finally:
            await knowledge.embedding.close()
            await knowledge.close()
    finally:
        await store.close()
    console.print(f"{knowledge.progress.ready} documents, {passages} passages in {data_dir.name}")
    return passages
