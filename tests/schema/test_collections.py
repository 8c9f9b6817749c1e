"""Collections and groups through the real application."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from models.base import new_id
from models.collection import GENERAL_ID, Collection, CollectionMember, GroupMember
from models.document import Document
from models.login import Login
from models.user import Role, User
from rag.embedding.base import Embedder
from resolvers import collections
from resolvers.context import Context, Viewer
from resolvers.errors import InvalidInput, NotFound
from resolvers.knowledge.storing import read_revision
from schema.node import global_id, row_id
from tests.application import Running, running_app, test_settings
from tests.schema.people import Person, person

pytestmark = pytest.mark.anyio

FIELDS = """id name audience roles documentCount createdAt
  users { email } groups { id name members { edges { node { email } } } }"""
PROBLEMS = """__typename
  ... on InvalidInput { problem: message field } ... on NotFound { problem: message }"""
MAKE = f"""mutation($i: CreateCollectionInput!) {{ createCollection(input: $i) {{ {PROBLEMS}
  ... on Collection {{ {FIELDS} }} }} }}"""
CHANGE = f"""mutation($i: UpdateCollectionInput!) {{ updateCollection(input: $i) {{ {PROBLEMS}
  ... on Collection {{ {FIELDS} }} }} }}"""
DELETE = f"""mutation($id: ID!) {{ deleteCollection(id: $id) {{ {PROBLEMS}
  ... on Deleted {{ id }} }} }}"""
MOVE = f"""mutation($d: [ID!]!, $c: ID!) {{ moveDocuments(documentIds: $d, collectionId: $c) {{
  {PROBLEMS}
  ... on MovedDocuments {{ collection {{ name documentCount }}
    documents {{ title version collection {{ name }} }} }} }} }}"""
READ = f"query($id: ID!) {{ collection(id: $id) {{ {FIELDS} }} }}"
LIST = """query($n: Int, $a: String) { collections(first: $n, after: $a) {
  pageInfo { hasNextPage endCursor } edges { node { name documentCount } } } }"""
NODE = "query($id: ID!) { node(id: $id) { __typename id } }"
DOCUMENTS = """query($f: DocumentFilter) { documents(filter: $f) { edges { node {
  id title collection { name } } } } }"""
GROUP_FIELDS = "id name members { edges { node { email } } }"
MAKE_GROUP = f"""mutation($n: String!) {{ createGroup(name: $n) {{ {PROBLEMS}
  ... on UserGroup {{ {GROUP_FIELDS} }} }} }}"""
CHANGE_GROUP = f"""mutation($i: UpdateGroupInput!) {{ updateGroup(input: $i) {{ {PROBLEMS}
  ... on UserGroup {{ {GROUP_FIELDS} }} }} }}"""
DELETE_GROUP = """mutation($id: ID!) { deleteGroup(id: $id) { __typename
  ... on Deleted { id } ... on NotFound { problem: message } } }"""
GROUPS = "{ groups { edges { node { name } } } }"


@dataclass(frozen=True)
class Staff:
    editor: Person
    admin: Person
    anna: Person
    ben: Person


async def staff(app: Running) -> Staff:
    """An editor, an administrator and two ordinary people."""
    people = {name: await person(app, name) for name in ("Eve", "Adam", "Anna", "Ben")}
    await app.login("eve@example.com", Role.EDITOR)
    await app.login("adam@example.com", Role.ADMIN)
    return Staff(people["Eve"], people["Adam"], people["Anna"], people["Ben"])


async def titles(who: Person, **filter: Any) -> set[str]:
    found = await who.do(DOCUMENTS, f=filter or None)
    return {edge["node"]["title"] for edge in found["edges"]}


async def document(title: str) -> str:
    return global_id("Document", (await Document.get(title=title)).id)


def emails(group: Any) -> list[str]:
    return [edge["node"]["email"].partition("@")[0] for edge in group["members"]["edges"]]


async def test_documents_are_restricted_and_opened_again(app: Running) -> None:
    """What is moved into a collection is seen by its audience, from the next query on, and by who
    looks after documents; what is not seen does not exist."""
    people = await staff(app)
    made = await people.editor.do(
        MAKE, i={"name": " Board  papers ", "audience": "NAMED", "userEmails": [people.anna.email]}
    )
    assert (made["name"], made["audience"], made["documentCount"]) == ("Board papers", "NAMED", 0)
    assert made["users"] == [{"email": people.anna.email}]
    returns = await document("Returns")
    moved = await people.editor.do(MOVE, d=[returns, returns], c=made["id"])
    assert moved["collection"] == {"name": "Board papers", "documentCount": 1}
    assert moved["documents"] == [
        {"title": "Returns", "version": 1, "collection": {"name": "Board papers"}}
    ]
    everything = {"Returns", "Shipping", "Urlaub", "Gooseneck kettle manual"}
    for who in (people.editor, people.admin, people.anna):
        assert await titles(who) == everything
        assert await titles(who, collectionIds=[made["id"]]) == {"Returns"}
        assert await titles(who, documentIds=[returns]) == {"Returns"}
        assert (await who.do(NODE, id=returns))["__typename"] == "Document"
        assert (await who.do(READ, id=made["id"]))["name"] == "Board papers"
    assert await titles(people.ben) == everything - {"Returns"}
    assert await titles(people.ben, collectionIds=[made["id"]]) == set()
    assert await titles(people.ben, documentIds=[returns]) == set()
    assert await people.ben.do(NODE, id=returns) is None
    assert await people.ben.do(NODE, id=made["id"]) is None
    assert await people.ben.do(READ, id=made["id"]) is None
    listed = await people.ben.do(LIST)
    assert [edge["node"] for edge in listed["edges"]] == [{"name": "General", "documentCount": 3}]
    opened = await people.editor.do(CHANGE, i={"id": made["id"], "audience": "PUBLIC"})
    assert (opened["audience"], opened["users"]) == ("PUBLIC", [])
    assert await CollectionMember.all().count() == 0
    assert await titles(people.ben) == everything


async def test_who_is_in_an_audience_is_told_to_those_who_look_after_it(app: Running) -> None:
    """Others who see a collection see its name and how many documents it has."""
    people = await staff(app)
    group = await people.admin.do(MAKE_GROUP, n="Sales")
    await people.admin.do(CHANGE_GROUP, i={"id": group["id"], "addEmails": [people.anna.email]})
    made = await people.editor.do(
        MAKE,
        i={
            "name": "N",
            "audience": "NAMED",
            "userEmails": [people.ben.email.upper(), people.ben.email],
            "groupIds": [group["id"]],
        },
    )
    assert [user["email"] for user in made["users"]] == [people.ben.email]
    assert [one["name"] for one in made["groups"]] == ["Sales"]
    assert emails(made["groups"][0]) == ["anna"]
    shown = await people.anna.do(READ, id=made["id"])
    assert (shown["name"], shown["audience"], shown["documentCount"]) == ("N", "NAMED", 0)
    assert (shown["users"], shown["groups"], shown["roles"]) == ([], [], [])
    roles = await people.editor.do(
        CHANGE, i={"id": made["id"], "audience": "ROLES", "roles": ["USER", "EDITOR", "USER"]}
    )
    assert (roles["roles"], roles["users"], roles["groups"]) == (["EDITOR", "USER"], [], [])
    assert (await people.anna.do(READ, id=made["id"]))["roles"] == []
    narrowed = await people.editor.do(CHANGE, i={"id": made["id"], "roles": ["EDITOR"]})
    assert narrowed["roles"] == ["EDITOR"]
    assert await people.anna.do(READ, id=made["id"]) is None


UNFIT: list[tuple[dict[str, Any], str]] = [
    ({"name": " ", "audience": "PUBLIC"}, "name"),
    ({"name": "x" * 81, "audience": "PUBLIC"}, "name"),
    ({"name": "a\0", "audience": "PUBLIC"}, "name"),
    ({"name": "General", "audience": "PUBLIC"}, "name"),
    # What names somebody is not silently made public.
    ({"name": "x", "audience": "PUBLIC", "roles": ["EDITOR"]}, "roles"),
    ({"name": "x", "audience": "PUBLIC", "userEmails": ["anna@example.com"]}, "userEmails"),
    ({"name": "x", "audience": "ROLES", "roles": ["USER"], "groupIds": ["y"]}, "groupIds"),
    ({"name": "x", "audience": "ROLES"}, "roles"),
    ({"name": "x", "audience": "ROLES", "roles": []}, "roles"),
    ({"name": "x", "audience": "NAMED", "userEmails": ["no@example.com"]}, "userEmails"),
    ({"name": "x", "audience": "NAMED", "userEmails": ["no address"]}, "userEmails"),
    ({"name": "x", "audience": "NAMED", "userEmails": ["a@example.com"] * 101}, "userEmails"),
    ({"name": "x", "audience": "NAMED", "groupIds": ["y"] * 101}, "groupIds"),
]


async def test_unfit_collections_are_refused(offline: Running) -> None:
    """The answer names the field, and nothing was made."""
    people = await staff(offline)
    for given, field in UNFIT:
        refused = await people.editor.do(MAKE, i=given)
        assert (refused["__typename"], refused["field"]) == ("InvalidInput", field)
    assert await Collection.all().count() == 1


async def test_a_refused_change_changes_nothing(app: Running) -> None:
    """Name, audience and people stay when a part of the change cannot be."""
    people = await staff(app)
    made = await people.editor.do(
        MAKE, i={"name": "N", "audience": "NAMED", "userEmails": [people.anna.email]}
    )
    key = {"id": made["id"]}
    for change, kind in (
        ({"name": "General", "userEmails": []}, "InvalidInput"),
        ({"name": "M", "userEmails": ["no@example.com"]}, "InvalidInput"),
        (
            {"name": "M", "userEmails": [], "groupIds": [global_id("UserGroup", new_id())]},
            "NotFound",
        ),
        ({"name": "M", "audience": "ROLES"}, "InvalidInput"),
        ({"name": "M", "roles": ["USER"]}, "InvalidInput"),
    ):
        refused = await people.editor.do(CHANGE, i=key | change)
        assert refused["__typename"] == kind
        assert await people.editor.do(READ, **key) == {
            name: value for name, value in made.items() if name != "__typename"
        }


CHANGES: list[tuple[str, dict[str, Any]]] = [
    (MAKE, {"i": {"name": "x", "audience": "PUBLIC"}}),
    (CHANGE, {"i": {"id": "G", "name": "x"}}),
    (DELETE, {"id": "G"}),
    (MOVE, {"d": ["D"], "c": "G"}),
    (MAKE_GROUP, {"n": "x"}),
    (CHANGE_GROUP, {"i": {"id": "x"}}),
    (DELETE_GROUP, {"id": "x"}),
    (GROUPS, {}),
]


async def test_who_may_change_collections_and_groups(offline: Running) -> None:
    """An ordinary person gets FORBIDDEN whatever the ids, the anonymous UNAUTHENTICATED; groups are
    an administrator's."""
    people = await staff(offline)
    for operation, variables in CHANGES:
        assert await people.anna.code(operation, **variables) == "FORBIDDEN"
        assert await offline.code(operation, variables) == "UNAUTHENTICATED"
        if "Group(" in operation:
            assert await people.editor.code(operation, **variables) == "FORBIDDEN"
    for reading in (LIST, '{ collection(id: "x") { id } }'):
        assert await offline.code(reading) == "UNAUTHENTICATED"
    assert await Collection.all().count() == 1


async def test_only_an_empty_collection_can_be_deleted(app: Running) -> None:
    """Documents in it are counted, deleted ones are not; the general collection stays."""
    people = await staff(app)
    general = global_id("Collection", GENERAL_ID)
    refused = await people.editor.do(DELETE, id=general)
    assert refused["field"] == "id"
    made = await people.editor.do(MAKE, i={"name": "x", "audience": "PUBLIC"})
    await people.editor.do(MOVE, d=[await document("Returns")], c=made["id"])
    refused = await people.editor.do(DELETE, id=made["id"])
    assert refused["problem"] == (
        "There are 1 documents in this collection. Move or delete them first."
    )
    knowledge = app.services.knowledge
    returns = await Document.get(title="Returns")
    await knowledge.remove(returns)
    assert (await people.editor.do(DELETE, id=made["id"]))["id"] == made["id"]
    assert (await people.editor.do(DELETE, id=made["id"]))["__typename"] == "NotFound"
    assert (await Document.get(id=returns.id)).collection_id is None


async def test_documents_move_all_or_none(app: Running) -> None:
    """An unknown or deleted document, an unknown collection, none, too many: nothing moves."""
    people = await staff(app)
    made = await people.editor.do(MAKE, i={"name": "x", "audience": "PUBLIC"})
    returns, urlaub = await document("Returns"), await document("Urlaub")
    await app.services.knowledge.remove(await Document.get(title="Urlaub"))
    unknown = global_id("Document", new_id())
    for ids in ([returns, unknown], [returns, urlaub], [returns, "x"], [made["id"]]):
        assert (await people.editor.do(MOVE, d=ids, c=made["id"]))["__typename"] == "NotFound"
    for ids in ([], [returns] * 101):
        refused = await people.editor.do(MOVE, d=ids, c=made["id"])
        assert refused["field"] == "documentIds"
    gone = global_id("Collection", new_id())
    assert (await people.editor.do(MOVE, d=[returns], c=gone))["__typename"] == "NotFound"
    assert await Document.filter(collection_id=row_id("Collection", made["id"])).count() == 0
    revision = await read_revision()
    again = await people.editor.do(MOVE, d=[returns], c=global_id("Collection", GENERAL_ID))
    assert again["documents"][0]["collection"] == {"name": "General"}
    assert await read_revision() == revision


async def test_a_move_into_a_collection_that_is_deleted_meanwhile_is_not_found(
    app: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database refuses it, and the document stays where it was."""
    people = await staff(app)
    made = await people.editor.do(MAKE, i={"name": "x", "audience": "PUBLIC"})
    knowledge = app.services.knowledge
    key = (await Document.get(title="Returns")).id
    original = knowledge.move

    async def late(*arguments: Any, **more: Any) -> None:
        await Collection.filter(id=row_id("Collection", made["id"])).delete()
        await original(*arguments, **more)

    monkeypatch.setattr(knowledge, "move", late)
    moved = await people.editor.do(MOVE, d=[global_id("Document", key)], c=made["id"])
    assert moved["__typename"] == "NotFound"
    assert (await Document.get(id=key)).collection_id == GENERAL_ID
    (entry, *_) = [one for one in knowledge.index.properties() if one.document_id == str(key)]
    assert entry.collection == str(GENERAL_ID)


async def test_moves_and_deletions_at_once_leave_no_document_behind(app: Running) -> None:
    """Whichever comes first: the collection stays with the document, or goes without it."""
    people = await staff(app)
    returns = await document("Returns")
    for _ in range(6):
        made = await people.editor.do(MAKE, i={"name": "x", "audience": "PUBLIC"})
        moved, deleted = await asyncio.gather(
            people.editor.do(MOVE, d=[returns], c=made["id"]),
            people.editor.do(DELETE, id=made["id"]),
        )
        row = await Document.get(title="Returns")
        if deleted["__typename"] == "Deleted":
            assert moved["__typename"] == "NotFound"
            assert row.collection_id is not None
        else:
            assert moved["__typename"] == "MovedDocuments"
            assert row.collection_id == row_id("Collection", made["id"])
            await people.editor.do(MOVE, d=[returns], c=global_id("Collection", GENERAL_ID))
            assert (await people.editor.do(DELETE, id=made["id"]))["__typename"] == "Deleted"


async def test_groups_are_kept_by_administrators(app: Running) -> None:
    """People are added by their addresses and removed by their ids; what a group lets see goes
    with it."""
    people = await staff(app)
    group = await people.admin.do(MAKE_GROUP, n=" Sales  team ")
    assert (group["name"], emails(group)) == ("Sales team", [])
    assert (await people.admin.do(MAKE_GROUP, n="Sales team"))["field"] == "name"
    key = {"id": group["id"]}
    both = [people.anna.email, people.ben.email]
    added = await people.admin.do(CHANGE_GROUP, i=key | {"addEmails": both})
    assert emails(added) == ["anna", "ben"]
    again = await people.admin.do(CHANGE_GROUP, i=key | {"addEmails": both, "name": "Sales"})
    assert (again["name"], emails(again)) == ("Sales", ["anna", "ben"])
    made = await people.editor.do(
        MAKE, i={"name": "x", "audience": "NAMED", "groupIds": [group["id"]]}
    )
    await people.editor.do(MOVE, d=[await document("Returns")], c=made["id"])
    assert "Returns" in await titles(people.ben)
    for unfit, field in (
        ({"addEmails": ["no@example.com"], "removeUserIds": [people.anna.id]}, "addEmails"),
        ({"name": " ", "removeUserIds": [people.anna.id]}, "name"),
        ({"addEmails": both * 51}, "addEmails"),
        ({"removeUserIds": ["x"] * 101}, "removeUserIds"),
    ):
        refused = await people.admin.do(CHANGE_GROUP, i=key | unfit)
        assert (refused["__typename"], refused["field"]) == ("InvalidInput", field)
    removed = await people.admin.do(
        CHANGE_GROUP, i=key | {"removeUserIds": [people.ben.id, "x", people.editor.id]}
    )
    assert emails(removed) == ["anna"]
    assert "Returns" not in await titles(people.ben)
    assert "Returns" in await titles(people.anna)
    names = [edge["node"]["name"] for edge in (await people.editor.do(GROUPS))["edges"]]
    assert names == ["Sales"]
    assert (await people.editor.do(NODE, id=group["id"]))["__typename"] == "UserGroup"
    assert await people.anna.do(NODE, id=group["id"]) is None
    assert (await people.admin.do(DELETE_GROUP, id=group["id"]))["id"] == group["id"]
    assert (await people.admin.do(DELETE_GROUP, id=group["id"]))["__typename"] == "NotFound"
    refused = await people.admin.do(CHANGE_GROUP, i=key | {"name": "y"})
    assert refused["__typename"] == "NotFound"
    assert await GroupMember.all().count() == 0
    assert "Returns" not in await titles(people.anna)


async def test_collections_are_paged(offline: Running) -> None:
    """Every collection comes once, oldest first."""
    people = await staff(offline)
    for number in range(4):
        await people.editor.do(MAKE, i={"name": f"c{number}", "audience": "PUBLIC"})
    seen: list[str] = []
    after = None
    while True:
        page = await people.anna.do(LIST, n=2, a=after)
        seen += [edge["node"]["name"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert seen == ["General", "c0", "c1", "c2", "c3"]


async def test_only_a_confirmed_address_is_somebody(
    anyio_backend: str, sqlite_url: str, tmp_path: Path, embedder: Embedder
) -> None:
    """Where addresses must be confirmed, an account that anyone may have made is nobody's."""
    settings = test_settings(tmp_path, sqlite_url, require_verified_email=True)
    async with running_app(settings, embedder=embedder) as app:
        app.services.store.bind()
        await app.data(
            "mutation($i: RegisterInput!) { register(input: $i) { __typename } }",
            {"i": {"email": "boss@example.com", "password": "a long sentence is good"}},
        )
        with pytest.raises(InvalidInput) as refused:
            await collections.find_people(app.services, "userEmails", ["boss@example.com"])
        assert refused.value.field == "userEmails"


async def test_a_new_document_has_a_place(offline: Running) -> None:
    """The general collection if none is named; one that does not exist is told."""
    await staff(offline)
    viewer = Viewer(await User.get(email="eve@example.com"), Login(id=new_id()))
    context = Context(offline.services, viewer)
    assert (await collections.resolve_collection(context, None)).id == GENERAL_ID
    made = await Collection.create(name="x", audience="PUBLIC")
    assert (await collections.resolve_collection(context, made.id)).id == made.id
    with pytest.raises(NotFound):
        await collections.resolve_collection(context, new_id())
