"""Two tenants in one knowledge base who use the same words: neither ever finds the other's."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID

import pytest

from models.base import new_id
from models.chat_session import ChatSession
from models.collection import GENERAL_ID, Audience, Collection, GroupMember, UserGroup
from models.document import Document
from models.login import Login
from models.participant import Participant, ParticipantRole
from models.store import Store
from models.user import Role, User
from rag.embedding.base import Embedder
from rag.embedding.fake import FakeEmbedder
from rag.types import NO_FILTER, Filter, Hit, SourceDocument
from resolvers import collections
from resolvers.clock import SystemClock
from resolvers.collections import CollectionChange
from resolvers.context import Context, Services, Viewer
from resolvers.knowledge import audiences, search
from resolvers.knowledge.base import KnowledgeBase
from resolvers.knowledge.folder import sync_folder
from resolvers.knowledge.passages import read_entries
from tests.application import test_settings, write_documents
from wiring import Parts, create_knowledge, prepare_knowledge

pytestmark = pytest.mark.anyio

WORDS = [
    "return",
    "parcel",
    "invoice",
    "warranty",
    "kettle",
    "boots",
    "delivery",
    "refund",
    "office",
    "holiday",
    "price",
    "discount",
    "battery",
    "repair",
    "customer",
    "contract",
    "salary",
    "meeting",
    "server",
    "password",
    "supplier",
    "margin",
    "audit",
    "travel",
]


@dataclass
class World:
    """Tenants north and south, a person and a group of each, and documents that both may see.

    `place` and `gone` say where each document must be, kept apart from the database: what anybody
    may find follows from them and from `seen`.
    """

    knowledge: KnowledgeBase
    services: Services
    numbers: random.Random
    editor: Context = field(init=False)
    people: dict[str, User] = field(default_factory=dict)
    groups: dict[str, UserGroup] = field(default_factory=dict)
    collections: dict[str, Collection] = field(default_factory=dict)
    seen: dict[str, set[str]] = field(default_factory=dict)
    documents: dict[UUID, Document] = field(default_factory=dict)
    place: dict[UUID, str] = field(default_factory=dict)
    gone: list[tuple[str, str]] = field(default_factory=list)
    sessions: dict[str, tuple[UUID, list[str]]] = field(default_factory=dict)

    def sentence(self) -> str:
        return " ".join(self.numbers.choices(WORDS, k=7)).capitalize() + "."

    async def fill(self, documents: int) -> None:
        self.editor = await self.context_of("editor", Role.EDITOR)
        for name in ("north", "south"):
            await self.context_of(name)
            self.groups[name] = await UserGroup.create(name=name)
            await GroupMember.create(group_id=self.groups[name].id, user_id=self.people[name].id)
        # Of each tenant: one collection by its group, and one by name.
        for name, change in {
            "north/a": CollectionChange(group_ids=[self.groups["north"].id]),
            "north/b": CollectionChange(emails=[self.people["north"].email]),
            "south/a": CollectionChange(group_ids=[self.groups["south"].id]),
            "south/b": CollectionChange(emails=[self.people["south"].email]),
            "nobody": CollectionChange(),
        }.items():
            named = replace(change, name=name, audience=Audience.NAMED)
            self.collections[name] = await collections.create_collection(self.editor, named)
        self.collections["all"] = await collections.create_collection(
            self.editor, CollectionChange(name="all", audience=Audience.PUBLIC)
        )
        self.seen = {
            "north": {"north/a", "north/b", "all"},
            "south": {"south/a", "south/b", "all"},
            "editor": {"all"},
        }
        for number in range(documents):
            await self.add(list(self.collections)[number % 6], self.sentence() + self.sentence())
        for name, people in {
            "together": ["north", "south"],
            "alone": ["north"],
            "helped": ["south", "editor"],
        }.items():
            self.sessions[name] = await self.session(people), people

    async def context_of(self, name: str, role: Role = Role.USER) -> Context:
        user = await User.create(
            email=f"{name}@example.com", display_name=name, password_hash="x", role=role
        )
        self.people[name] = user
        return self.viewed_by(name)

    def viewed_by(self, name: str) -> Context:
        return Context(self.services, Viewer(self.people[name], Login(id=new_id())))

    async def session(self, people: Sequence[str]) -> UUID:
        now = self.services.clock.now()
        row = await ChatSession.create(
            owner_id=self.people[people[0]].id, title="t", updated_at=now
        )
        for name in people:
            await Participant.create(
                session_id=row.id,
                user_id=self.people[name].id,
                role=ParticipantRole.OWNER,
                active_at=now,
            )
        return row.id

    async def add(self, place: str, content: str) -> None:
        row = Document(source=None, content="", collection_id=self.collections[place].id)
        source = SourceDocument(title=self.sentence()[:30], content=content)
        await self.knowledge.put(row, source, content_hash="x")
        self.documents[row.id], self.place[row.id] = row, place

    async def change(self) -> None:
        """A move, a deletion, a restoration, or a change of who belongs to whom."""
        match self.numbers.choice(["move", "move", "delete", "restore", "again", "group", "name"]):
            case "move":
                key = self.numbers.choice(list(self.place))
                to = self.numbers.choice(list(self.collections))
                await collections.move_documents(self.editor, [key], self.collections[to].id)
                self.place[key] = to
            case "delete":
                key = self.numbers.choice(list(self.place))
                await self.knowledge.remove(self.documents[key])
                content = self.documents.pop(key).content
                self.gone.append((self.place.pop(key), content))
            case "restore" if self.gone:
                place, content = self.gone.pop()
                # Where it was, or with the other tenant.
                if self.numbers.random() < 0.5:
                    place = self.numbers.choice(list(self.collections))
                await self.add(place, content)
            case "again":
                # A new version, from a row that was read before a move.
                key = self.numbers.choice(list(self.place))
                to = self.numbers.choice(list(self.collections))
                await collections.move_documents(self.editor, [key], self.collections[to].id)
                self.place[key] = to
                row = self.documents[key]
                source = SourceDocument(title=row.title, content=row.content)
                await self.knowledge.put(row, source, content_hash="x")
            case "group":
                name = self.numbers.choice(["north", "south"])
                group, user = self.groups[name].id, self.people[name].id
                if await GroupMember.filter(group_id=group, user_id=user).delete():
                    self.seen[name].discard(f"{name}/a")
                else:
                    await GroupMember.create(group_id=group, user_id=user)
                    self.seen[name].add(f"{name}/a")
            case "name":
                name = self.numbers.choice(["north", "south"])
                wanted = [] if f"{name}/b" in self.seen[name] else [self.people[name].email]
                await collections.update_collection(
                    self.editor, self.collections[f"{name}/b"].id, CollectionChange(emails=wanted)
                )
                (self.seen[name].add if wanted else self.seen[name].discard)(f"{name}/b")

    def filter(self) -> Filter:
        """Often none; else one that may name what the person must not see."""
        some = [str(one.id) for one in self.numbers.choices(list(self.collections.values()), k=3)]
        keys = [str(key) for key in self.numbers.choices(list(self.place), k=8)]
        return self.numbers.choice(
            [
                NO_FILTER,
                NO_FILTER,
                Filter(collections=tuple(some)),
                Filter(document_ids=tuple(keys)),
            ]
        )

    async def ask(self, question: str, filter: Filter) -> tuple[str, set[str], Sequence[Hit]]:
        """Ask as one person, or in a session: who asked, what they may see, and what was found."""
        asked = self.numbers.choice(["north", "south", "editor", *self.sessions])
        if asked not in self.sessions:
            context = self.viewed_by(asked)
            hits = await search.search_knowledge(context, question, first=10, filter=filter)
            return asked, self.seen[asked], hits
        session_id, people = self.sessions[asked]
        visible = await audiences.visible_in_session(
            self.services.store, self.people[people[0]].id, session_id
        )
        pipeline = await self.knowledge.pipeline()
        found = await pipeline.retrieve(question, filter=audiences.narrowed(filter, visible))
        everyone = [self.seen[name] for name in people]
        return asked, set.intersection(*everyone), (*found.hits, *found.nearest)


@asynccontextmanager
async def opened(
    folder: Path, store: Store, services: Services, embedder: Embedder, *, documents: int
) -> AsyncIterator[World]:
    settings = test_settings(folder, "sqlite://unused")
    knowledge = create_knowledge(settings, Parts(embedder=lambda: embedder), store)
    settings.kb_dir.mkdir()
    await prepare_knowledge(knowledge, settings.kb_dir)
    services = replace(services, knowledge=knowledge, clock=SystemClock())
    world = World(knowledge, services, random.Random(20))
    await world.fill(documents)
    try:
        yield world
    finally:
        await knowledge.embedding.close()
        await knowledge.close()


async def ask_much(world: World, *, questions: int, between: int) -> None:
    """Ask, changing something every so many questions, and look at every passage that is found."""
    pipeline = await world.knowledge.pipeline()
    found: Counter[str] = Counter()
    foreign = without_rights = 0
    for number in range(questions):
        if number % between == between - 1:
            await world.change()
        question, filter = world.sentence(), world.filter()
        asked, seen, hits = await world.ask(question, filter)
        found[asked] += len(hits)
        for hit in hits:
            key = UUID(hit.passage.document_id)
            foreign += world.place.get(key) not in seen
        if number % 10 == 0:
            everything = (await pipeline.retrieve(question)).hits
            without_rights += sum(
                world.place[UUID(hit.passage.document_id)] not in seen for hit in everything
            )
    assert foreign == 0
    # The test could have failed: everybody finds something, and the others' passages fit as well.
    assert set(found) == {"north", "south", "editor", "together", "alone", "helped"}
    assert min(found.values()) > questions // 10
    assert without_rights > questions // 10


async def test_no_tenant_ever_finds_the_other_s_passages(
    tmp_path: Path, store: Store, services: Services
) -> None:
    """1,000 random questions, alone and in shared sessions, with filters that name what is foreign,
    and between them moves, deletions, restorations, new versions and changes of rights."""
    async with opened(tmp_path, store, services, FakeEmbedder(), documents=60) as world:
        await ask_much(world, questions=1_000, between=10)
        # A start from the file of the index, and one from the database alone, know the same.
        for entry in await entries(world.knowledge):
            assert world.place[UUID(entry[0])] == entry[1]


async def entries(knowledge: KnowledgeBase) -> list[tuple[str, str]]:
    """Document and name of the collection of every passage of the index and of the database."""
    names = {str(row.id): row.name for row in await Collection.all()}
    stored = await read_entries(knowledge.model_key)
    held = knowledge.index.properties()
    assert len(stored) == len(held)
    places = [(one.document_id, one.collection) for one in stored]
    places += [(one.document_id, one.collection) for one in held]
    return [(document, names[collection]) for document, collection in places]


@pytest.mark.slow
async def test_the_real_model_finds_nothing_foreign_either(
    tmp_path: Path, store: Store, services: Services, embedder: Embedder
) -> None:
    """The same with the default model, and fewer questions."""
    async with opened(tmp_path, store, services, embedder, documents=18) as world:
        await ask_much(world, questions=60, between=6)


async def test_a_move_is_followed_everywhere(tmp_path: Path, store: Store) -> None:
    """By another process at its next look, by a start with the index file and by one without, and
    by a new version of the document's file."""
    settings = test_settings(tmp_path, "sqlite://unused")
    write_documents(settings.kb_dir)

    def start() -> KnowledgeBase:
        return create_knowledge(settings, Parts(embedder=FakeEmbedder), store)

    def place(knowledge: KnowledgeBase) -> set[str]:
        held = knowledge.index.properties()
        return {one.collection for one in held if one.document_id == str(returns.id)}

    collection = await Collection.create(name="x", audience=Audience.NAMED)
    key = str(collection.id)
    first, second = start(), start()
    for knowledge in (first, second):
        await prepare_knowledge(knowledge, settings.kb_dir)
    returns = await Document.get(title="Returns")
    await first.move([returns.id], collection.id)
    assert place(first) == {key}
    assert place(second) == {str(GENERAL_ID)}
    assert not await first.catch_up()
    assert await second.catch_up()
    assert place(second) == {key}
    await first.save()
    for knowledge in (with_file := start(), without_file := start()):
        if knowledge is without_file:
            (settings.data_dir / "index" / "chunks.faiss").unlink()
        knowledge.embedding.start()
        await knowledge.open()
        assert place(knowledge) == {key}
    text = (settings.kb_dir / "returns.md").read_text(encoding="utf-8")
    (settings.kb_dir / "returns.md").write_text(text.replace("45", "60"), encoding="utf-8")
    await sync_folder(first, settings.kb_dir)
    assert place(first) == {key}
    assert (await Document.get(id=returns.id)).collection_id == collection.id
    assert (await Document.get(id=returns.id)).version == 2
    for knowledge in (first, second, with_file, without_file):
        await knowledge.embedding.close()
        await knowledge.close()


async def test_a_move_during_the_start_is_not_lost(tmp_path: Path, store: Store) -> None:
    """What moves while the index is being read waits until it is there."""
    settings = test_settings(tmp_path, "sqlite://unused")
    write_documents(settings.kb_dir)
    knowledge = create_knowledge(settings, Parts(embedder=FakeEmbedder), store)
    await prepare_knowledge(knowledge, settings.kb_dir)
    returns = await Document.get(title="Returns")
    await knowledge.embedding.close()
    await knowledge.close()
    collection = await Collection.create(name="x", audience=Audience.NAMED)
    again = create_knowledge(settings, Parts(embedder=FakeEmbedder), store)
    again.embedding.start()
    opening = asyncio.create_task(again.open())
    moving = []
    while not opening.done():
        moving.append(asyncio.create_task(again.move([returns.id], collection.id)))
        await asyncio.sleep(0.001)
    await asyncio.gather(opening, *moving)
    held = [one for one in again.index.properties() if one.document_id == str(returns.id)]
    assert {entry.collection for entry in held} == {str(collection.id)}
    await again.embedding.close()
    await again.close()


async def test_naming_a_collection_gives_no_rights_to_it() -> None:
    """A filter is narrowed to what is visible; nothing visible means nothing found."""
    assert audiences.narrowed(NO_FILTER, ("a", "b")).collections == ("a", "b")
    assert audiences.narrowed(Filter(collections=("b", "c")), ("a", "b")).collections == ("b",)
    assert audiences.narrowed(Filter(collections=("c",)), ("a", "b")).collections == ()
    assert audiences.narrowed(NO_FILTER, ()).collections == ()
    kept = audiences.narrowed(Filter(types=("x",), document_ids=("d",)), ("a",))
    assert kept == Filter(types=("x",), document_ids=("d",), collections=("a",))
