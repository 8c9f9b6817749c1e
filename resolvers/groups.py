"""Groups of people, whom collections name together. An ADMIN makes them; an EDITOR may use them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from tortoise.exceptions import IntegrityError

from models.collection import GroupMember, UserGroup
from models.security_event import EventKind
from models.user import EDITORS, Role
from resolvers.audit import note
from resolvers.collections import check_name, find_people
from resolvers.context import Context
from resolvers.errors import InvalidInput, NotFound
from resolvers.paging import Page, PageRequest, id_page
from texts import fill

# People who are added or removed at once.
MAX_CHANGES: Final = 100


async def list_groups(context: Context, request: PageRequest) -> Page[UserGroup]:
    """All groups, oldest first.

    Raises:
        Unauthenticated, Forbidden, BadUserInput
    """
    context.require_role(*EDITORS)
    return await id_page(UserGroup.all(), request, newest_first=False)


async def get_group(context: Context, group_id: UUID) -> UserGroup | None:
    """A group, for those who may see groups; None for others.

    Raises:
        Unauthenticated
    """
    if context.require_viewer().user.role not in EDITORS:
        return None
    return await UserGroup.get_or_none(id=group_id)


async def list_members(group: UserGroup, request: PageRequest) -> Page[GroupMember]:
    """The people of a group (with the accounts), in the order of their adding.

    Raises:
        BadUserInput
    """
    members = GroupMember.filter(group_id=group.id).select_related("user")
    return await id_page(members, request, newest_first=False)


async def create_group(context: Context, name: str) -> UserGroup:
    """Make a group without people.

    Raises:
        Unauthenticated, Forbidden
        InvalidInput: the name, or it is taken.
    """
    context.require_role(Role.ADMIN)
    group = UserGroup(name=check_name(name))
    async with context.services.store.transaction():
        await _save(context, group)
        await note(context, EventKind.GROUP_CHANGED, about=("UserGroup", group.id))
    return group


async def update_group(
    context: Context,
    group_id: UUID | None,
    *,
    name: str | None = None,
    add: Sequence[str] = (),
    remove: Sequence[UUID | None] = (),
) -> UserGroup:
    """Rename a group, add the owners of addresses, remove people; what they see changes with the
    next question. Adding somebody again, or removing a stranger, changes nothing.

    Raises:
        Unauthenticated, Forbidden, NotFound
        InvalidInput: the name, or it is taken, or an address has no account, or there are too many.
    """
    context.require_role(Role.ADMIN)
    group = None if group_id is None else await UserGroup.get_or_none(id=group_id)
    if group is None:
        raise NotFound("group")
    for field, people in (("addEmails", add), ("removeUserIds", remove)):
        if len(people) > MAX_CHANGES:
            raise InvalidInput(
                field, fill("At most {maximum} people at once.", maximum=MAX_CHANGES)
            )
    if name is not None:
        group.name = check_name(name)
    added = await find_people(context.services, "addEmails", add)
    async with context.services.store.transaction():
        await _save(context, group)
        leaving = await _remove_members(group.id, [one for one in remove if one is not None])
        await GroupMember.bulk_create(
            [GroupMember(group_id=group.id, user_id=user.id) for user in added],
            ignore_conflicts=True,
        )
        about = ("UserGroup", group.id)
        for user in added:
            await note(
                context, EventKind.GROUP_CHANGED, concerns=user.id, about=about, detail="ADDED"
            )
        for one in leaving:
            await note(
                context, EventKind.GROUP_CHANGED, concerns=one, about=about, detail="REMOVED"
            )
        if not added and not leaving:
            await note(context, EventKind.GROUP_CHANGED, about=about)
    return group


async def _remove_members(group_id: UUID, user_ids: Sequence[UUID]) -> list[UUID]:
    """Those of these people who were in it."""
    leaving = GroupMember.filter(group_id=group_id, user_id__in=user_ids)
    found = [id for (id,) in await leaving.values_list("user_id")]
    await leaving.delete()
    return found


async def delete_group(context: Context, group_id: UUID | None) -> UUID:
    """Delete a group; collections that name it are no longer seen through it.

    Raises:
        Unauthenticated, Forbidden, NotFound
    """
    context.require_role(Role.ADMIN)
    async with context.services.store.transaction():
        if group_id is None or not await UserGroup.filter(id=group_id).delete():
            raise NotFound("group")
        await note(context, EventKind.GROUP_DELETED, about=("UserGroup", group_id))
    return group_id


async def _save(context: Context, group: UserGroup) -> None:
    try:
        async with context.services.store.transaction():
            await group.save()
    except IntegrityError as error:
        raise InvalidInput("name", "There is a group with this name already.") from error
