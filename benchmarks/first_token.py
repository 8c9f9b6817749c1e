"""Time to the first text of an answer: `python -m benchmarks --only first-token`.

A real server in this process, a real WebSocket, the real model and SQLite as in production. Each
golden question is asked once per round over the subscription `chat`, and embedded alone through the
same service, one directly after the other; which goes first alternates. The ratio of the two
medians is the figure: the work around the embedding may take as long as the embedding itself.

The model's reference, sentence-transformers, then embeds the same questions in the same process: a
faster backend of the model makes the first ratio larger and an answer quicker.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

import rag.generation.offline
import resolvers.chat
import resolvers.replies.service
import web.hooks
from benchmarks.figures import Spread, load, milliseconds, progress, table
from benchmarks.retrieval import load_questions
from benchmarks.sample import sample_settings
from rag.embedding.backends import load_embedder
from rag.embedding.base import Embedder, ModelIdentity
from rag.embedding.service import EmbeddingService
from rag.index.knowledge import KnowledgeIndex
from rag.pipeline import Pipeline
from rag.types import FloatMatrix
from resolvers.knowledge.base import KnowledgeBase
from resolvers.knowledge.passages import PassageRows
from resolvers.replies.events import Delta
from resolvers.replies.log import LogWriter
from resolvers.replies.running import RunningReply
from server import create_app
from wiring import Parts, tune_interpreter

GOAL: Final = 2.0
_WARM_UP: Final = 12
_SUBSCRIPTION: Final = """
subscription Chat($input: SendMessageInput!) { chat(input: $input) {
  __typename seq replyId
  ... on SourcesFound { hits { text score document { id title } } }
  ... on TextDelta { text }
  ... on ReplyEnded { reply { id status content citations { number title quote } } }
} }
"""
_ACCOUNT: Final = {"email": "benchmark@example.com", "password": "only measures, keeps nothing"}

# What is shown of a reply's way, in its order: name, from mark, to mark. Some overlap: the question
# is embedded while it is stored.
_STAGES: Final = (
    ("client sends, server reads", "sent", "arrived"),
    ("look up the login", "login.start", "login.end"),
    ("parse, validate, execute", "login.end", "ask.start"),
    ("store question and reply", "store.start", "store.end"),
    ("embed the question", "embed.start", "embed.end"),
    ("  of it the model", "model.start", "model.end"),
    ("search both indexes", "search.start", "search.end"),
    ("read the passages", "passages.start", "passages.end"),
    ("score and order hits", "passages.end", "retrieve.end"),
    ("build the prompt", "prompt.start", "prompt.end"),
    ("compose the answer", "compose.start", "compose.end"),
    ("commit the first events", "write.start", "shown"),
    ("deliver to the socket", "shown", "written"),
    ("server writes, client reads", "written", "received"),
    ("quote what the answer cites", "cite.start", "cite.end"),
)


@dataclass(frozen=True, slots=True)
class FirstToken:
    """The result. Milliseconds; `stages` are medians of (begin after `sent`, duration)."""

    first_token: Spread
    from_arrival: Spread
    embedding: Spread
    model: Spread
    reference: Spread
    stages: dict[str, tuple[float, float]]
    questions: int
    rounds: int
    load: list[float]

    @property
    def ratio(self) -> float:
        return self.first_token.median / self.embedding.median

    @property
    def ratio_to_reference(self) -> float:
        return self.first_token.median / self.reference.median

    @property
    def ratio_from_arrival(self) -> float:
        return self.from_arrival.median / self.embedding.median

    def to_json(self) -> dict[str, Any]:
        return {
            "unit": "ms",
            "questions": self.questions,
            "rounds": self.rounds,
            "ratio": round(self.ratio, 3),
            "ratio_from_arrival": round(self.ratio_from_arrival, 3),
            "ratio_to_reference": round(self.ratio_to_reference, 3),
            "goal": GOAL,
            "first_token": self.first_token.to_json(),
            "from_arrival": self.from_arrival.to_json(),
            "embedding": self.embedding.to_json(),
            "model": self.model.to_json(),
            "reference": self.reference.to_json(),
            "stages": {
                name.strip(): {"begin": round(begin, 3), "duration": round(duration, 3)}
                for name, (begin, duration) in self.stages.items()
            },
            "load": self.load,
        }

    def report(self) -> str:
        measured = [
            ("first text, from the client's sending", self.first_token),
            ("first text, from the question's arrival", self.from_arrival),
            ("embedding alone, as a reply asks for it", self.embedding),
            ("embedding alone, the model only", self.model),
            ("embedding alone, sentence-transformers", self.reference),
        ]
        figures = table(
            ("milliseconds", "median", "quartiles", "p99"),
            [
                (
                    name,
                    milliseconds(spread.median),
                    f"{milliseconds(spread.quartile_1)} to {milliseconds(spread.quartile_3)}",
                    milliseconds(spread.p99),
                )
                for name, spread in measured
            ],
        )
        stages = table(
            ("on the way (some overlap)", "begins", "takes"),
            [
                (name, milliseconds(begin), milliseconds(duration))
                for name, (begin, duration) in self.stages.items()
            ],
        )
        return (
            f"{figures}\n\n"
            f"ratio of medians {self.ratio:.2f} (goal: at most {GOAL:.0f}), "
            f"{self.ratio_from_arrival:.2f} from the arrival, "
            f"{self.ratio_to_reference:.2f} to sentence-transformers; "
            f"{self.questions} questions, {self.rounds} rounds, load {self.load}\n\n{stages}"
        )


@dataclass
class _Marks:
    """Moments of the one question that is under way; only the first of each name counts."""

    moments: dict[str, float] = field(default_factory=dict)

    def begin(self) -> None:
        self.moments = {}

    def mark(self, name: str) -> None:
        self.moments.setdefault(name, time.perf_counter())

    def between(self, start: str, end: str) -> float | None:
        """Milliseconds, None if the reply did not come by both."""
        if start not in self.moments or end not in self.moments:
            return None
        return 1000 * (self.moments[end] - self.moments[start])

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function with a mark at its start and end."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                self.mark(f"{name}.start")
                try:
                    return await function(*args, **kwargs)
                finally:
                    self.mark(f"{name}.end")

            return awaited

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            self.mark(f"{name}.start")
            try:
                return function(*args, **kwargs)
            finally:
                self.mark(f"{name}.end")

        return called


class _TimedEmbedder:
    """The real embedder with marks around the model, in whichever thread it is called."""

    def __init__(self, inner: Embedder, marks: _Marks) -> None:
        self._inner = inner
        self._marks = marks

    @property
    def identity(self) -> ModelIdentity:
        return self._inner.identity

    @property
    def backend(self) -> str:
        return self._inner.backend

    @property
    def parallel(self) -> bool:
        return self._inner.parallel

    @property
    def max_tokens(self) -> int:
        return self._inner.max_tokens

    def count_tokens(self, text: str) -> int:
        return self._inner.count_tokens(text)

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        self._marks.mark("model.start")
        try:
            return self._inner.embed(texts)
        finally:
            self._marks.mark("model.end")

    def embed_queries(self, texts: Sequence[str]) -> FloatMatrix:
        self._marks.mark("model.start")
        try:
            return self._inner.embed_queries(texts)
        finally:
            self._marks.mark("model.end")


class _MarkedApp:
    """The application with marks where a question arrives and where its first text leaves."""

    def __init__(self, app: ASGIApp, marks: _Marks) -> None:
        self._app = app
        self._marks = marks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def marked_receive() -> Message:
            message = await receive()
            if message["type"] == "websocket.receive":
                self._marks.mark("arrived")
            return message

        async def marked_send(message: Message) -> None:
            is_text = '"TextDelta"' in (message.get("text") or "")
            await send(message)
            if is_text:
                self._marks.mark("written")

        if scope["type"] == "websocket":
            await self._app(scope, marked_receive, marked_send)
        else:
            await self._app(scope, receive, send)


@contextmanager
def _marks_inside(marks: _Marks) -> Iterator[None]:
    """Marks around the parts of a reply's way, put there from outside."""
    parts: list[tuple[Any, str, str]] = [
        (web.hooks, "authenticate", "login"),
        (resolvers.chat, "send_message", "ask"),
        (resolvers.replies.service, "store_request", "store"),
        (EmbeddingService, "embed_queries", "embed"),
        (KnowledgeIndex, "search", "search"),
        (PassageRows, "passages", "passages"),
        (Pipeline, "retrieve", "retrieve"),
        (Pipeline, "build_prompt", "prompt"),
        (Pipeline, "cite", "cite"),
        (rag.generation.offline, "compose", "compose"),
        (LogWriter, "_write", "write"),
    ]
    publish = RunningReply.publish

    def publish_marked(self: RunningReply, events: list[Any], *, closed: bool) -> None:
        if any(isinstance(event, Delta) for event in events):
            marks.mark("shown")
        publish(self, events, closed=closed)

    with ExitStack() as stack:
        for owner, attribute, name in parts:
            original = getattr(owner, attribute)
            stack.callback(setattr, owner, attribute, original)
            setattr(owner, attribute, marks.timed(name, original))
        stack.callback(setattr, RunningReply, "publish", publish)
        RunningReply.publish = publish_marked  # type: ignore[method-assign]
        yield


@asynccontextmanager
async def _server(
    data_dir: Path, kb_dir: Path, marks: _Marks
) -> AsyncIterator[tuple[str, KnowledgeBase]]:
    """The application behind uvicorn with the server's own options; its URL and knowledge base."""

    def embedder() -> Embedder:
        return _TimedEmbedder(load_embedder(), marks)

    app = create_app(sample_settings(data_dir, kb_dir), Parts(embedder=embedder))
    server = uvicorn.Server(
        uvicorn.Config(
            _MarkedApp(app, marks),
            port=0,
            log_config=None,
            log_level="warning",
            access_log=False,
            ws_per_message_deflate=False,
        )
    )
    server.capture_signals = nullcontext  # type: ignore[assignment]
    task = asyncio.create_task(server.serve())
    while not server.started:
        if task.done():
            raise RuntimeError("the server did not start")
        await asyncio.sleep(0.01)
    try:
        knowledge: KnowledgeBase = app.state.knowledge
        await tune_interpreter(knowledge)
        await asyncio.sleep(1)  # the folder's check after the start
        yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/graphql", knowledge
    finally:
        server.should_exit = True
        await task


async def login(address: str) -> str:
    async with httpx.AsyncClient(timeout=30) as http:

        async def post(query: str) -> dict[str, Any]:
            body = {"query": query, "variables": {"input": _ACCOUNT}}
            answer = (await http.post(f"http://{address}", json=body)).json()
            if "errors" in answer:
                raise RuntimeError(f"the account cannot be used: {answer['errors']}")
            data: dict[str, Any] = answer["data"]
            return data

        await post("mutation($input: RegisterInput!) { register(input: $input) { __typename } }")
        data = await post(
            "mutation($input: LoginInput!) { login(input: $input) "
            "{ ... on AuthTokens { accessToken } } }"
        )
        token: str = data["login"]["accessToken"]
        return token


async def _ask(socket: ClientConnection, id: str, question: str, marks: _Marks) -> None:
    """Ask in a new session, and read until the end, so that nothing runs beside the next step."""
    message = json.dumps(
        {
            "id": id,
            "type": "subscribe",
            "payload": {"query": _SUBSCRIPTION, "variables": {"input": {"content": question}}},
        }
    )
    marks.begin()
    marks.mark("sent")
    await socket.send(message)
    while True:
        raw = await socket.recv()
        assert isinstance(raw, str)
        if '"TextDelta"' in raw:
            marks.mark("received")
        elif '"complete"' in raw and json.loads(raw)["type"] == "complete":
            break
        elif '"errors"' in raw or '"error"' in raw:
            raise RuntimeError(f"the server refused the question: {raw}")
    if "received" not in marks.moments:
        raise RuntimeError("the reply had no text")


async def _embed(knowledge: KnowledgeBase, question: str, marks: _Marks) -> float:
    """Milliseconds that embedding alone takes, the way a reply asks for it."""
    marks.begin()
    start = time.perf_counter()
    await knowledge.embedding.embed_query(question)
    return 1000 * (time.perf_counter() - start)


async def _measure(
    data_dir: Path, kb_dir: Path, questions: Sequence[str], rounds: int
) -> FirstToken:
    marks = _Marks()
    waits: list[dict[str, float]] = []
    first: list[float] = []
    arrived: list[float] = []
    alone: list[float] = []
    model: list[float] = []
    with _marks_inside(marks):
        async with _server(data_dir, kb_dir, marks) as (address, knowledge):
            token = await login(address)
            # A question must be embedded as often as it is asked.
            cache: dict[str, Any] = knowledge.embedding._cache
            async with connect(
                f"ws://{address}", subprotocols=[Subprotocol("graphql-transport-ws")]
            ) as socket:
                payload = {"authorization": f"Bearer {token}"}
                await socket.send(json.dumps({"type": "connection_init", "payload": payload}))
                await socket.recv()

                async def ask(number: int, question: str) -> None:
                    cache.clear()
                    await _ask(socket, str(number), question, marks)
                    first.append(marks.between("sent", "received") or 0)
                    arrived.append(marks.between("arrived", "received") or 0)
                    waits.append(dict(marks.moments))

                async def embed(number: int, question: str) -> None:
                    cache.clear()
                    alone.append(await _embed(knowledge, question, marks))
                    model.append(marks.between("model.start", "model.end") or 0)

                steps: list[Callable[[int, str], Awaitable[None]]] = [ask, embed]
                for number in range(_WARM_UP):
                    for step in steps:
                        await step(number, questions[number % len(questions)])
                for values in (first, arrived, alone, model):
                    values.clear()
                waits.clear()
                with progress() as bar:
                    task = bar.add_task("Asking questions", total=rounds * len(questions))
                    for turn in range(rounds):
                        for number, question in enumerate(questions):
                            for step in steps if (turn + number) % 2 else reversed(steps):
                                # What the step before left to do, such as closing a transaction.
                                await asyncio.sleep(0.005)
                                await step(number, question)
                            bar.advance(task)
    return FirstToken(
        first_token=Spread.of(first),
        from_arrival=Spread.of(arrived),
        embedding=Spread.of(alone),
        model=Spread.of(model),
        reference=Spread.of(await asyncio.to_thread(_embed_by_reference, questions)),
        stages=_stages(waits),
        questions=len(questions),
        rounds=rounds,
        load=load(),
    )


def _embed_by_reference(questions: Sequence[str]) -> list[float]:
    """Milliseconds for each question by itself."""
    from rag.embedding.sentence_transformers import SentenceTransformersEmbedder

    embedder = SentenceTransformersEmbedder.load()
    took = []
    for question in [*questions[:_WARM_UP], *questions]:
        start = time.perf_counter()
        embedder.embed_queries([question])
        took.append(1000 * (time.perf_counter() - start))
    return took[min(len(questions), _WARM_UP) :]


def _stages(replies: Sequence[dict[str, float]]) -> dict[str, tuple[float, float]]:
    """The medians of each stage's begin and duration, over the replies that came by it."""
    stages = {}
    for name, start, end in _STAGES:
        came = [moments for moments in replies if start in moments and end in moments]
        if came:
            begin = Spread.of([1000 * (moments[start] - moments["sent"]) for moments in came])
            took = Spread.of([1000 * (moments[end] - moments[start]) for moments in came])
            stages[name] = begin.median, took.median
    return stages


def run(
    data_dir: Path, kb_dir: Path, *, questions: int | None = None, rounds: int = 3
) -> FirstToken:
    """Measure with an indexed data folder; `questions` limits how many golden ones are asked."""
    asked = [item.question for item in load_questions() if not item.history]
    # The loop that the server runs on in production.
    factory = uvicorn.Config(_MarkedApp).get_loop_factory()
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(
            _measure(data_dir, kb_dir, list(dict.fromkeys(asked))[:questions], rounds)
        )
