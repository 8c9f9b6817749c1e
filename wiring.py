"""Builds the knowledge base from settings; the server and the commands share it."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from models.errors import is_unavailable
from models.store import Store
from rag.embedding.backends import Backend, load_embedder
from rag.embedding.base import Embedder, ModelIdentity, Prefixes
from rag.embedding.packaged import DEFAULT_MODEL
from rag.embedding.service import EmbeddingService
from rag.errors import RagError
from rag.generation.base import Generator, Timeouts
from rag.generation.factory import Endpoint, choose, create_generator, import_sdk
from rag.index.knowledge import KnowledgeIndex
from rag.language import load_detector
from rag.loading import ParseLimits
from rag.loading.parser import DocumentParser
from rag.rerank.base import Reranker
from rag.rerank.service import RerankService
from resolvers.access_watch import POLL_SECONDS
from resolvers.account_rules import AccountRules, SecondFactorFor
from resolvers.breached_passwords import BreachedFileError, BreachedPasswords
from resolvers.clock import Clock, SystemClock
from resolvers.forbidden_words import words_of_service
from resolvers.knowledge.base import KnowledgeBase
from resolvers.knowledge.folder import sync_folder
from resolvers.knowledge.queue import IngestionQueue
from resolvers.knowledge.reembedding import Reembedding
from resolvers.knowledge.state import NotReady
from resolvers.password_rules import PasswordRules
from resolvers.passwords import PasswordHasher
from resolvers.presence import TYPING_SECONDS
from resolvers.sign_in.configuration import check_redirects, read_providers
from resolvers.sign_in.providers import Providers
from resolvers.signing_keys import SigningKey, key_pair
from resolvers.tokens import TokenService
from setting_files import load_secret_key
from settings import Settings, SettingsError

log = logging.getLogger("groundql")

# Before what the database did not take is tried again. Seconds.
_DATABASE_WAIT: Final = 1.0
_OBJECTS_BETWEEN_COLLECTIONS: Final = 10_000
# How long a thread that computes may keep the interpreter from another that wants it; usually
# 5 ms. A question needs it a dozen times, between the event loop, the model and the database.
# Seconds.
_TURN: Final = 0.0005


@dataclass(frozen=True)
class Parts:
    """Parts that tests replace; None stands for the real one that the settings name."""

    clock: Clock = field(default_factory=SystemClock)
    passwords: Callable[[], PasswordHasher] = PasswordHasher
    embedder: Callable[[], Embedder] | None = None
    old_embedder: Callable[[str], Embedder] | None = None
    generator: Callable[[], Generator] | None = None
    reranker: Callable[[], Reranker] | None = None
    access_poll: float = POLL_SECONDS
    typing_seconds: float = TYPING_SECONDS


def create_knowledge(settings: Settings, parts: Parts, store: Store) -> KnowledgeBase:
    """The knowledge base, not yet open. Nothing heavy is imported before `prepare_knowledge`."""
    embedding = EmbeddingService(
        parts.embedder or partial(_load_embedder, settings, settings.embedding_model)
    )

    def load_index(path: Path, revision: int) -> KnowledgeIndex:
        from rag.index.adaptive import AdaptiveIndex
        from rag.lexical import Bm25Index

        dense = AdaptiveIndex.load(path, identity=embedding.identity, revision=revision)
        return KnowledgeIndex(dense, Bm25Index())

    return KnowledgeBase(
        store=store,
        clock=parts.clock,
        embedding=embedding,
        create_generator=lambda: _create_generator(settings, parts),
        parser=create_parser(settings),
        index_path=settings.data_dir / "index" / "chunks.faiss",
        load_index=load_index,
        new_index=lambda: _new_index(embedding.identity),
        reranking=_create_reranking(settings, parts),
        pipeline_options={
            "top_k": settings.top_k,
            "prompt_token_budget": settings.context_tokens,
            "link_hosts": settings.link_allow_list,
        },
    )


def create_tokens(settings: Settings, clock: Clock) -> TokenService:
    """What signs and reads access tokens, with the present keys and the former ones.

    Raises:
        SettingsError: a key cannot be read or can be guessed.
    """
    try:
        return TokenService(
            load_secret_key(settings),
            clock,
            former_secrets=settings.former_secrets,
            pair=_read_pair(settings.signing_key_file) if settings.signing_key_file else None,
            former_pairs=[
                _read_pair(file, ends_at=end) for file, end in settings.former_signing_keys
            ],
        )
    except ValueError as error:
        raise SettingsError(f"SECRET_KEY or FORMER_SECRET_KEYS is wrong: {error}.") from None


def _read_pair(file: str, *, ends_at: datetime | None = None) -> SigningKey:
    try:
        return key_pair(Path(file).read_bytes(), ends_at=ends_at)
    except OSError as error:
        reason = error.strerror or str(error)
    except ValueError as error:
        reason = str(error)
    raise SettingsError(f"The signing key {file} cannot be used: {reason}.")


def create_providers(settings: Settings, clock: Clock) -> Providers:
    """The providers that people may sign in by. Nothing connects before the first sign-in.

    Raises:
        SettingsError: a provider cannot be used as it is written there.
    """
    try:
        providers = read_providers(
            settings.oidc_providers.get_secret_value(), production=settings.production
        )
    except ValueError as error:
        raise SettingsError(f"OIDC_PROVIDERS is wrong: {error}.") from None
    try:
        check_redirects(settings.oidc_redirect_uris)
    except ValueError as error:
        raise SettingsError(f"OIDC_REDIRECT_URIS is wrong: {error}.") from None
    if providers and not settings.oidc_redirect_uris:
        raise SettingsError("OIDC_REDIRECT_URIS must be set when OIDC_PROVIDERS is.")
    return Providers(providers, settings.oidc_redirect_uris, clock, production=settings.production)


def create_password_rules(settings: Settings) -> PasswordRules:
    """Which new passwords are accepted.

    Raises:
        SettingsError: the file of breached passwords cannot be used.
    """
    path, breached = settings.breached_passwords, None
    if path is not None:
        try:
            breached = BreachedPasswords(path)
        except BreachedFileError as error:
            raise SettingsError(f"BREACHED_PASSWORDS {path} cannot be used: {error}.") from None
    words = words_of_service(
        sender=settings.email_from, url=settings.base_url, more=settings.password_forbidden_words
    )
    return PasswordRules(words, breached)


def create_account_rules(settings: Settings) -> AccountRules:
    minutes = settings.sign_in_again_minutes
    return AccountRules(
        refresh_grace=timedelta(seconds=settings.refresh_grace),
        mails_per_mailbox=settings.mails_per_mailbox,
        mails_per_network=settings.mails_per_network,
        login_lifetime=timedelta(days=settings.login_days),
        login_idle=timedelta(days=settings.login_idle_days),
        fresh_login=timedelta(minutes=minutes) if minutes else None,
        second_factor_for=SecondFactorFor(settings.second_factor_required),
        strict_totp=settings.strict_totp,
    )


def create_parser(settings: Settings) -> DocumentParser:
    """What reads files; its processes are started when the first file comes."""
    return DocumentParser(
        ParseLimits(
            seconds=settings.parse_seconds,
            memory_mb=settings.parse_memory_mb,
            file_mb=settings.max_upload_mb,
            unpacked_mb=settings.max_unpacked_mb,
            pages=settings.max_pages,
        )
    )


def _new_index(identity: ModelIdentity) -> KnowledgeIndex:
    from rag.index.adaptive import AdaptiveIndex
    from rag.lexical import Bm25Index

    return KnowledgeIndex(AdaptiveIndex(identity), Bm25Index())


def create_reembedding(settings: Settings, parts: Parts, knowledge: KnowledgeBase) -> Reembedding:
    """What happens when EMBEDDING_MODEL is another one than before."""

    def load_old(name: str) -> EmbeddingService | None:
        if parts.old_embedder is not None:
            return EmbeddingService(partial(parts.old_embedder, name))
        chosen = settings.previous_embedding_model
        # The passages carry a folder's last name only, by which it cannot be found.
        if not chosen and name != DEFAULT_MODEL and "/" not in name:
            return None
        return EmbeddingService(partial(_load_embedder, settings, chosen or name))

    return Reembedding(knowledge, load_old=load_old, new_index=_new_index)


async def prepare_knowledge(
    knowledge: KnowledgeBase,
    folder: Path,
    *,
    reembedding: Reembedding | None = None,
    queue: IngestionQueue | None = None,
    sync: Callable[[], Awaitable[None]] | None = None,
    also: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Load model and index, then bring the index in step with the folder (`sync`, if it is done in
    another way than once) and let the queue work.

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
        answers = reembedding is None or await reembedding.begin()
        if answers and await knowledge.was_synced():
            knowledge.announce_ready()
        if reembedding is not None:
            await _insist(reembedding.run)
        if queue is not None:
            await _insist(queue.start)
        await _insist(sync if sync is not None else partial(sync_folder, knowledge, folder))
        await _insist(knowledge.note_synced)
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


async def _insist(step: Callable[[], Awaitable[object]]) -> None:
    """Do a step, which may be done again, and wait for a database that is away or full: a server
    that gave up then would answer nothing until somebody starts it anew."""
    while True:
        try:
            await step()
            return
        except Exception as error:
            if not is_unavailable(error):
                raise
            log.warning("Indexing waits for the database: %s", error)
            await asyncio.sleep(_DATABASE_WAIT)


def follow_changes(*followers: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[None]]:
    """One job that lets each part follow what other processes have changed."""

    async def follow() -> None:
        for follower in followers:
            await follower()

    return follow


async def tune_interpreter(knowledge: KnowledgeBase) -> None:
    """Let no thread keep the interpreter for long, and, once everything is loaded, take it out of
    the garbage collector's sight.

    The libraries bring a million objects that live as long as the server, and each full collection
    that visits them halts everything for a fifth of a second. A page of history alone makes
    more objects than the usual 700 that call it, and no cycle, so it is called less often.
    For a process that serves to its end.
    """
    sys.setswitchinterval(_TURN)
    with suppress(NotReady):
        await knowledge.pipeline()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)


def _load_embedder(settings: Settings, name: str) -> Embedder:
    stated = Prefixes(settings.embedding_query_prefix, settings.embedding_passage_prefix)
    return load_embedder(
        name,
        backend=Backend(settings.embedding_backend),
        prefixes=stated if stated != Prefixes() else None,
        cache=settings.data_dir / "models",
    )


def _create_reranking(settings: Settings, parts: Parts) -> RerankService | None:
    """The reranking step, not yet loaded; None if it is off."""

    def load() -> Reranker:
        from rag.rerank.cross_encoder import CrossEncoderReranker

        return CrossEncoderReranker.load(settings.reranker)

    if parts.reranker is None and not settings.reranker:
        return None
    return RerankService(parts.reranker or load)


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
