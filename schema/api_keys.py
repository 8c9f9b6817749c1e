"""Keys for programs: types, query and mutations."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import strawberry

from models import api_key as api_key_table
from models.api_key import ApiScope
from resolvers import own_keys
from schema.chat import Deleted, DeleteResult
from schema.context import Info
from schema.enums import describe_enum
from schema.errors import InvalidInput, answers_problems
from schema.node import global_id, row_id

describe_enum(
    ApiScope,
    "What a program may do with an API key, within the rights of its person. No scope changes "
    "accounts, shares sessions or decides who sees what.",
    {
        "READ": "Queries and subscriptions that only read.",
        "CHAT": "Questions, and changes of the person's own sessions.",
        "DOCUMENTS": "Documents and approved answers, for EDITOR and ADMIN.",
    },
)


@strawberry.type(description="A key with which a program acts for the viewer.")
class ApiKey:
    id: strawberry.ID = strawberry.field(description="Opaque id; use it as it is.")
    name: str = strawberry.field(description="What it is for, 1 to 100 characters.")
    hint: str = strawberry.field(description="The last four characters of its text.")
    scopes: list[ApiScope] = strawberry.field(description="What it may do.")
    created_at: datetime = strawberry.field(description="When it was made, in UTC.")
    expires_at: datetime = strawberry.field(description="When it stops working, in UTC.")
    last_used_at: datetime | None = strawberry.field(
        description="When it was last used, in UTC, to a minute; null: never."
    )

    @classmethod
    def from_row(cls, row: api_key_table.ApiKey) -> ApiKey:
        return cls(
            id=global_id("ApiKey", row.id),
            name=row.name,
            hint=row.hint,
            scopes=[ApiScope(scope) for scope in row.scopes],
            created_at=row.created_at,
            expires_at=row.login.expires_at,
            last_used_at=row.last_used_at,
        )


@strawberry.type(description="A new key with its text, which is never shown again.")
class CreatedApiKey:
    key: str = strawberry.field(
        description="The text: send it as `Authorization: Bearer gqk_…`. Store it safely."
    )
    api_key: ApiKey = strawberry.field(description="The key as `apiKeys` lists it.")


@strawberry.input(description="A key that a program shall have.")
class CreateApiKeyInput:
    name: str = strawberry.field(description="What it is for, 1 to 100 characters.")
    scopes: list[ApiScope] = strawberry.field(description="What it may do; at least one.")
    expires_in_days: int = strawberry.field(
        default=90, description="The days for which it works, 1 to 365."
    )


CreateApiKeyResult = Annotated[
    CreatedApiKey | InvalidInput,
    strawberry.union("CreateApiKeyResult", description="The outcome of createApiKey."),
]


@strawberry.type
class ApiKeyQuery:
    @strawberry.field(
        description="The viewer's keys that work, the newest first; there are 50 at most. Needs a "
        "login; not for keys."
    )
    async def api_keys(self, info: Info) -> list[ApiKey]:
        return [ApiKey.from_row(row) for row in await own_keys.list_api_keys(info.context.app)]


@strawberry.type
class ApiKeyMutation:
    @strawberry.mutation(
        description="Make a key for a program. As with revokeLogin, the login must be new enough, "
        "if the server says so. Needs a login; a key cannot make another one."
    )
    @answers_problems
    async def create_api_key(
        self,
        info: Info,
        input: Annotated[CreateApiKeyInput, strawberry.argument(description="The wish.")],
    ) -> CreateApiKeyResult:
        text, row = await own_keys.create_api_key(
            info.context.app,
            name=input.name,
            scopes=input.scopes,
            expires_in_days=input.expires_in_days,
        )
        return CreatedApiKey(key=text, api_key=ApiKey.from_row(row))

    @strawberry.mutation(
        description="End one of the viewer's keys: it stops working at once, and what is open with "
        "it is closed. Needs a login; not for keys."
    )
    @answers_problems
    async def revoke_api_key(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The key's id.")],
    ) -> DeleteResult:
        key_id = await own_keys.revoke_api_key(info.context.app, row_id("ApiKey", id))
        return Deleted(id=global_id("ApiKey", key_id))
