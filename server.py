"""GroundQL: the application, its wiring, and the command line."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import getpass
import logging
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

import backup_commands
import commands
from console import IndexingBar, announce, console
from jobs.mail_delivery import create_delivery
from jobs.scheduler import JobScheduler
from models.store import Store, StoreError
from resolvers.access_watch import AccessWatch
from resolvers.answers.approved import ApprovedAnswers
from resolvers.answers.audience import may_see_source
from resolvers.answers.unanswered import UnansweredQuestions
from resolvers.attempts import Attempts
from resolvers.audit import note_signing_keys
from resolvers.clock import SystemClock
from resolvers.context import Services
from resolvers.knowledge.base import KnowledgeBase
from resolvers.knowledge.queue import IngestionQueue
from resolvers.knowledge.reembedding import Reembedding
from resolvers.knowledge.watching import FolderWatch
from resolvers.mail import Mailer
from resolvers.presence import Presence
from resolvers.rates import Allowances, Rates
from resolvers.refusals import Refusals
from resolvers.replies.service import ReplyService
from resolvers.sealed_factors import seal_again
from resolvers.session_bus import SessionBus
from resolvers.titles import SessionTitles
from schema.limits import QueryLimits
from schema.root import build_schema
from setting_files import load_trusted_documents
from settings import Settings, SettingsError, load_settings
from transport.endpoint import GraphQLEndpoint
from transport.limits import Limits
from transport.persisted import PersistedQueries
from web.addresses import ClientAddresses
from web.back_channel import back_channel_routes
from web.connections import Patience, patient
from web.data_export import export_routes
from web.devices import OpenDevices
from web.headers import SecurityHeaders
from web.hooks import ApplicationHooks
from web.jwks import jwks_routes
from web.logs import configure_logging
from web.pages import routes
from web.requests import RequestIds, log_operation
from web.webhook import webhook_routes
from wiring import (
    Parts,
    create_account_rules,
    create_knowledge,
    create_password_rules,
    create_providers,
    create_reembedding,
    create_tokens,
    follow_changes,
    prepare_knowledge,
    tune_interpreter,
)

log = logging.getLogger("groundql")


class _GraphQL:
    """Hands requests to the endpoint, which the lifespan makes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope["app"].state.endpoint(scope, receive, send)


def create_app(settings: Settings, parts: Parts | None = None) -> Starlette:
    """The ASGI application. Nothing connects or loads before its lifespan begins."""
    chosen = parts or Parts()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await _open(app, settings, chosen, stack)
            yield

    app = Starlette(
        routes=[
            Route("/graphql", _GraphQL()),
            WebSocketRoute("/graphql", _GraphQL()),
            *export_routes(),
            *routes(graphiql=settings.serves_graphiql),
            *jwks_routes(),
            *back_channel_routes(
                providers=bool(settings.oidc_providers.get_secret_value().strip())
            ),
            *webhook_routes(settings.webhook_secret.get_secret_value()),
        ],
        lifespan=lifespan,
        middleware=[
            Middleware(ClientAddresses),
            Middleware(RequestIds, logged=settings.logs_requests),
            Middleware(SecurityHeaders, https=settings.base_url.startswith("https://")),
            Middleware(
                CORSMiddleware,
                allow_origins=settings.allowed_origins,
                allow_methods=["GET", "POST"],
                allow_headers=["authorization", "content-type", "x-request-id"],
                expose_headers=["x-request-id"],
                max_age=3600,
            ),
        ],
    )
    app.state.graphiql = settings.serves_graphiql
    return app


async def _open(app: Starlette, settings: Settings, parts: Parts, stack: AsyncExitStack) -> None:
    """Build everything; the stack closes it in reverse order."""
    trusted = load_trusted_documents(settings)
    store = Store(settings.store_url)
    await store.open()
    stack.push_async_callback(store.close)
    await stack.enter_async_context(store.exclusive())
    await store.migrate()

    knowledge = create_knowledge(settings, parts, store)
    stack.push_async_callback(knowledge.embedding.close)
    stack.push_async_callback(knowledge.close)
    approved = ApprovedAnswers(store, knowledge.embedding, partial(may_see_source, store))
    ingestion = IngestionQueue(
        store=store, clock=parts.clock, knowledge=knowledge, parser=knowledge.parser
    )
    reembedding = create_reembedding(settings, parts, knowledge)
    stack.push_async_callback(reembedding.close)
    stack.push_async_callback(ingestion.stop)
    folder = FolderWatch(knowledge, settings.kb_dir)
    preparation = asyncio.create_task(
        _prepare(settings, knowledge, reembedding, ingestion, folder, approved),
        name="knowledge",
    )
    stack.push_async_callback(_cancel, preparation)

    unanswered = UnansweredQuestions(store, parts.clock)
    stack.push_async_callback(unanswered.settle)
    sessions = SessionBus()
    rates = Rates(
        allowances(settings), parts.clock, redis_url=settings.redis_url.get_secret_value()
    )
    stack.push_async_callback(rates.close)
    refusals = Refusals(store, parts.clock, rates)
    settling = asyncio.create_task(refusals.run(), name="refusals")
    stack.push_async_callback(_cancel, settling)
    replies = ReplyService(
        store,
        parts.clock,
        knowledge.pipeline,
        sessions,
        queue=settings.while_replying == "queue",
        approved=approved,
        rates=rates,
    )
    replies.nothing_found = unanswered.begin
    titles = SessionTitles(store, knowledge.pipeline, sessions, ask_model=settings.model_titles)
    stack.push_async_callback(titles.close)
    replies.first_reply_ended = titles.begin
    await replies.open()
    rules = create_account_rules(settings)
    access = AccessWatch(
        store,
        parts.clock,
        sessions,
        poll_seconds=parts.access_poll,
        login_lifetime=rules.login_lifetime,
    )
    stack.push_async_callback(access.stop)
    tokens = create_tokens(settings, parts.clock)
    await seal_again(tokens.seal)
    await note_signing_keys(parts.clock.now(), tokens.key_ids)
    passwords = parts.passwords()
    stack.callback(passwords.close)
    password_rules = create_password_rules(settings)
    stack.callback(password_rules.close)
    providers = create_providers(settings, parts.clock)
    stack.push_async_callback(providers.close)
    mailer = Mailer(parts.clock, base_url=settings.base_url)
    services = Services(
        store=store,
        clock=parts.clock,
        passwords=passwords,
        tokens=tokens,
        mailer=mailer,
        knowledge=knowledge,
        ingestion=ingestion,
        replies=replies,
        sessions=sessions,
        access=access,
        presence=Presence(sessions, typing_seconds=parts.typing_seconds),
        approved=approved,
        rates=rates,
        require_verified_email=settings.require_verified_email,
        attempts=Attempts(store, parts.clock),
        refusals=refusals,
        providers=providers,
        rules=rules,
        password_rules=password_rules,
    )
    jobs = JobScheduler(
        store=store,
        clock=parts.clock,
        delivery=create_delivery(
            settings.smtp_url.get_secret_value(),
            sender=settings.email_from,
            folder=settings.data_dir / "outbox",
        ),
        mail_waiting=mailer.waiting,
        follow_knowledge=follow_changes(knowledge.catch_up, approved.catch_up),
        retention_days=settings.retention_days,
        audit_retention_days=settings.audit_retention_days,
    )
    jobs.start()
    stack.push_async_callback(jobs.stop)

    hooks = ApplicationHooks(services, production=settings.production)
    endpoint = GraphQLEndpoint(
        build_schema(
            QueryLimits(
                seconds=settings.operation_seconds,
                subscriptions=settings.subscriptions_per_user,
                introspection_for_all=not settings.production,
            )
        ),
        hooks,
        limits=transport_limits(settings),
        allowed_origins=settings.allowed_origins,
        persisted=PersistedQueries(trusted),
        may_send_more=hooks.may_send_more,
        ended=log_operation if settings.logs_requests else None,
    )
    access.start(OpenDevices(endpoint, tokens, parts.clock))
    app.state.endpoint = endpoint
    app.state.services = services
    app.state.knowledge = knowledge
    app.state.unanswered = unanswered
    stack.push_async_callback(stop_work, app, grace=settings.shutdown_grace)


def allowances(settings: Settings) -> Allowances:
    """A reply is counted as its prompt and an answer as long until its tokens are known."""
    return Allowances(
        messages_per_user=settings.messages_per_minute,
        messages_per_address=settings.address_messages_per_minute,
        uploads_per_user=settings.uploads_per_minute,
        sign_ins_per_address=settings.address_sign_ins_per_minute,
        changes_per_hour=settings.changes_per_hour,
        provider_logouts=settings.provider_logouts_per_minute,
        manifests_per_user=settings.manifests_per_minute,
        webhook_calls=settings.webhook_calls_per_minute,
        tokens_per_day=settings.tokens_per_day,
        reply_tokens=2 * settings.context_tokens,
    )


def transport_limits(settings: Settings) -> Limits:
    """Those who look after the documents have room for the longest text and the longest manifest,
    uploads for the largest file with what is said beside it."""
    megabyte = 1024 * 1024
    return Limits(
        large_body_bytes=8 * megabyte,
        # A little less than the connection has, so that a slow client learns why.
        body_seconds=9.5,
        upload_bytes=(settings.max_upload_mb + 1) * megabyte,
        sockets_per_address=settings.sockets_per_address or None,
    )


async def _prepare(
    settings: Settings,
    knowledge: KnowledgeBase,
    reembedding: Reembedding,
    queue: IngestionQueue,
    folder: FolderWatch,
    approved: ApprovedAnswers,
) -> None:
    """Get the knowledge base ready, then follow its folder."""
    await prepare_knowledge(
        knowledge,
        settings.kb_dir,
        reembedding=reembedding,
        queue=queue,
        sync=folder.sync,
        also=approved.load,
    )
    if settings.kb_watch and knowledge.is_ready:
        await folder.run()


async def stop_work(app: Starlette, *, grace: float) -> None:
    """Take no new work, let running replies finish within `grace` seconds, then end them and close
    the sockets after their last event. Safe to call twice."""
    services: Services = app.state.services
    endpoint: GraphQLEndpoint = app.state.endpoint
    drained = asyncio.create_task(endpoint.shutdown(grace=grace + 8))
    await services.replies.close(grace=grace)
    await drained


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


class _Server(uvicorn.Server):
    """Stops in order: uvicorn alone would cut every socket at once and end with the signal."""

    def __init__(self, config: uvicorn.Config, app: Starlette, settings: Settings) -> None:
        super().__init__(config)
        self._app = app
        self._settings = settings
        self._banner: asyncio.Task[None] | None = None
        self._tuning: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets=sockets)
        if not self.started or self.should_exit:
            return
        knowledge: KnowledgeBase = self._app.state.knowledge
        url = (
            f"http://localhost:{self._settings.port}/graphiql/"
            if self._settings.serves_graphiql
            else None
        )
        bar = IndexingBar(knowledge)
        bar.start()
        self._banner = asyncio.create_task(
            announce(knowledge, store_url=self._settings.store_url, graphiql_url=url)
        )
        self._banner.add_done_callback(lambda _: bar.stop())
        self._tuning = asyncio.create_task(tune_interpreter(knowledge))

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        for task in (self._banner, self._tuning):
            if task is not None:
                task.cancel()
        await stop_work(self._app, grace=self._settings.shutdown_grace)
        await super().shutdown(sockets=sockets)
        # uvicorn raises the signals it caught again, which would end a clean stop with -15.
        self._captured_signals.clear()


def listen(host: str, port: int) -> socket.socket:
    """The listening socket.

    Raises:
        SettingsError: the address cannot be used.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # asyncio switches Nagle's delay off only for sockets that name their protocol.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as error:
        raise _cannot_listen(host, port, error) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # Lets go of clients that neither read nor answer, in milliseconds.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 20_000)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _cannot_listen(host, port, error) from None
    return listener


def _cannot_listen(host: str, port: int, error: OSError) -> SettingsError:
    return SettingsError(
        f"HOST {host} with PORT {port} cannot be listened on: {error.strerror or error}."
    )


def serve(settings: Settings, parts: Parts | None = None) -> int:
    """Run the server until it is told to stop; returns the exit code.

    Raises:
        SettingsError, StoreError: before anything is started, in a sentence.
    """
    load_trusted_documents(settings)
    asyncio.run(commands.check_store(settings, exclusive=True))
    listener = listen(settings.host, settings.port)
    app = create_app(settings, parts)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=patient(Patience(per_address=settings.connections_per_address)),
        log_config=None,
        access_log=False,
        ws_max_size=Limits().message_bytes,
        ws_max_queue=4,
        ws_per_message_deflate=False,  # costs more time than it saves on short messages
        timeout_graceful_shutdown=10,
        server_header=False,
    )
    server = _Server(config, app, settings)
    server.run(sockets=[listener])
    return 0 if server.started else 1


def _ask_password() -> str:
    """A new password, typed unseen, or the first line of a pipe."""
    if sys.stdin.isatty():
        return getpass.getpass("Password for the new account: ")
    return sys.stdin.readline().rstrip("\n")


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python server.py",
        description="GroundQL answers questions from your documents, over GraphQL. "
        "Settings come from the environment and from .env; see .env.example.",
    )
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    subparsers.add_parser("serve", help="run the server (the default)")
    subparsers.add_parser("migrate", help="create or update the tables, then stop")
    subparsers.add_parser("schema", help="print the GraphQL schema")
    ingest = subparsers.add_parser(
        "ingest", help="index a folder of documents, also beside a running server"
    )
    ingest.add_argument("folder", type=Path, metavar="FOLDER", help="searched with its subfolders")
    ask = subparsers.add_parser("ask", help="ask a question here and now, without the server")
    ask.add_argument("question", metavar="QUESTION")
    admin = subparsers.add_parser(
        "create-admin", help="make somebody ADMIN, with a new account if there is none"
    )
    admin.add_argument("email", metavar="EMAIL")
    for name, text in (
        ("backup", "copy the SQLite database to a file, also beside a running server"),
        ("restore", "put a backup in the place of the SQLite database; stop the server first"),
    ):
        copying = subparsers.add_parser(name, help=text)
        copying.add_argument("file", type=Path, metavar="FILE")
        copying.add_argument("--force", action="store_true", help="overwrite what is there")
    options = parser.parse_args(arguments)

    if options.command == "schema":
        print(build_schema().as_str())  # noqa: T201
        return 0
    try:
        settings = load_settings()
        create_tokens(settings, SystemClock())
        create_providers(settings, SystemClock())
        create_password_rules(settings).close()
        configure_logging(settings.log_format, settings.log_level)
        match options.command:
            case "migrate":
                return asyncio.run(commands.migrate(settings))
            case "ingest":
                return asyncio.run(commands.ingest(settings, options.folder))
            case "create-admin":
                return asyncio.run(commands.create_admin(settings, options.email, _ask_password))
            case "backup":
                return asyncio.run(backup_commands.backup(settings, options.file, options.force))
            case "restore":
                return asyncio.run(backup_commands.restore(settings, options.file, options.force))
            case "ask":
                return asyncio.run(commands.ask(settings, options.question))
        return serve(settings)
    except (SettingsError, StoreError) as error:
        console.print(f"[red]Error:[/red] {error}")
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
