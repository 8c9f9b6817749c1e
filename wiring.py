"""Builds the knowledge base from settings; the server and the commands share it."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from models.store import Store
from rag.embedding.base import Embedder
from rag.embedding.service import EmbeddingService
from rag.errors import RagError
from rag.generation.base import Generator, Timeouts
from rag.generation.factory import Endpoint, choose, create_generator, import_sdk
from rag.index.knowledge import KnowledgeIndex
from rag.language import load_detector
from resolvers.access_watch import POLL_SECONDS
from resolvers.clock import Clock, SystemClock
from resolvers.knowledge.base import KnowledgeBase, NotReady
from resolvers.knowledge.folder import reembed_foreign, sync_folder
from resolvers.passwords import PasswordHasher
from resolvers.presence import TYPING_SECONDS
from settings import Settings

log = logging.getLogger("groundql")


@dataclass(frozen=True)
class Parts:
    """Parts that tests replace; None stands for the real one that the settings name."""

    clock: Clock = field(default_factory=SystemClock)
    passwords: Callable[[], PasswordHasher] = PasswordHasher
    embedder: Callable[[], Embedder] | None = None
    generator: Callable[[], Generator] | None = None
    access_poll: float = POLL_SECONDS
    typing_seconds: float = TYPING_SECONDS


def create_knowledge(settings: Settings, parts: Parts, store: Store) -> KnowledgeBase:
    """The knowledge base, not yet open. Nothing heavy is imported before `prepare_knowledge`."""
    embedding = EmbeddingService(parts.embedder or (lambda: _load_embedder(settings)))

    def new_index() -> KnowledgeIndex:
        from rag.index.faiss_flat import FaissFlatIndex
        from rag.lexical import Bm25Index

        return KnowledgeIndex(FaissFlatIndex(embedding.identity), Bm25Index())

    def load_index(path: Path, revision: int) -> KnowledgeIndex:
        from rag.index.faiss_flat import FaissFlatIndex
        from rag.lexical import Bm25Index

        dense = FaissFlatIndex.load(path, identity=embedding.identity, revision=revision)
        return KnowledgeIndex(dense, Bm25Index())

    return KnowledgeBase(
        store=store,
        clock=parts.clock,
        embedding=embedding,
        create_generator=lambda: _create_generator(settings, parts),
        index_path=settings.data_dir / "index" / "chunks.faiss",
        load_index=load_index,
        new_index=new_index,
        pipeline_options={
            "top_k": settings.top_k,
            "prompt_token_budget": settings.context_tokens,
            "link_hosts": settings.link_allow_list,
        },
    )


async def prepare_knowledge(
    knowledge: KnowledgeBase,
    folder: Path,
    *,
    also: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Load model and index, then bring the index in step with the folder.

    Questions are let through at once if the folder was indexed to its end before, however much has
    changed since; at the first start they wait for that end. It runs in the background, so failures
    are kept for whoever asks, and logged. `also` is waited for before the first question.
    """
    knowledge.store.bind()
    knowledge.embedding.start()
    try:
        await asyncio.gather(knowledge.open(), asyncio.to_thread(load_detector))
        if also is not None:
            await also()
        if await knowledge.was_synced():
            knowledge.announce_ready()
        await reembed_foreign(knowledge)
        await sync_folder(knowledge, folder)
        await knowledge.note_synced()
        knowledge.announce_ready()
        await knowledge.save()
    except asyncio.CancelledError:
        raise
    except RagError as error:
        log.error("Questions cannot be answered: %s", error)
        knowledge.announce_failure(str(error))
    except Exception:
        log.exception("The knowledge base could not be prepared")
        knowledge.announce_failure("The knowledge base could not be prepared; see the log.")


def follow_changes(*followers: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[None]]:
    """One job that lets each part follow what other processes have changed."""

    async def follow() -> None:
        for follower in followers:
            await follower()

    return follow


async def spare_collector(knowledge: KnowledgeBase) -> None:
    """Once everything is loaded, take it out of the garbage collector's sight.

    The libraries bring a million objects that live as long as the server, and each full collection
    that visits them halts everything for a fifth of a second. For a process that serves to its end.
    """
    with suppress(NotReady):
        await knowledge.pipeline()
    gc.collect()
    gc.freeze()


def _load_embedder(settings: Settings) -> Embedder:
    from rag.embedding.sentence_transformers import Prefixes, SentenceTransformersEmbedder

    stated = Prefixes(settings.embedding_query_prefix, settings.embedding_passage_prefix)
    return SentenceTransformersEmbedder.load(
        settings.embedding_model, prefixes=stated if stated != Prefixes() else None
    )


async def _create_generator(settings: Settings, parts: Parts) -> Generator:
    """The generator; its SDK is imported in a thread, its client belongs to the event loop."""
    if parts.generator is not None:
        return parts.generator()
    openai = gemini = None
    openai_key = settings.openai_api_key.get_secret_value()
    if openai_key or settings.openai_base_url:
        # Compatible servers on one's own machine often want no key, but the SDK wants a text.
        openai = Endpoint(
            api_key=openai_key or "none",
            model=settings.openai_model,
            base_url=settings.openai_base_url or None,
        )
    if gemini_key := settings.gemini_api_key.get_secret_value():
        gemini = Endpoint(
            api_key=gemini_key,
            model=settings.gemini_model,
            base_url=settings.gemini_base_url or None,
        )
    await asyncio.to_thread(
        import_sdk,
        choose(settings.generator, has_openai_key=bool(openai), has_gemini_key=bool(gemini)),
    )
    return create_generator(
        settings.generator,
        openai=openai,
        gemini=gemini,
        timeouts=Timeouts(
            connect=settings.connect_timeout,
            first_token=settings.first_token_timeout,
            next_token=settings.next_token_timeout,
        ),
    )
