"""Another address, the end of an account, and shutting people out."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry import UNSET

from models import email_change as email_change_table
from resolvers import account_deletion, email_change, suspension
from schema.absent import given
from schema.account import Acknowledged, Code, User
from schema.context import Info
from schema.errors import (
    InvalidCredentials,
    InvalidInput,
    InvalidToken,
    RateLimited,
    SecondFactorRequired,
    answers_problems,
)
from schema.node import row_id


@strawberry.type(description="The wish for another address. Both mailboxes must confirm it.")
class EmailChange:
    new_email: str = strawberry.field(description="The address that the account shall have.")
    confirmed_by_old: bool = strawberry.field(
        description="Whether the link in the mail to the address of before was opened."
    )
    confirmed_by_new: bool = strawberry.field(
        description="Whether the link in the mail to the new address was opened."
    )
    done: bool = strawberry.field(description="Whether the account has the new address.")

    @classmethod
    def from_row(cls, row: email_change_table.EmailChange) -> EmailChange:
        return cls(
            new_email=row.new_email,
            confirmed_by_old=row.old_confirmed_at is not None,
            confirmed_by_new=row.new_confirmed_at is not None,
            done=row.done_at is not None,
        )


RequestEmailChangeResult = Annotated[
    EmailChange | InvalidCredentials | InvalidInput | SecondFactorRequired | RateLimited,
    strawberry.union("RequestEmailChangeResult", description="The outcome of requestEmailChange."),
]
ConfirmEmailChangeResult = Annotated[
    EmailChange | InvalidToken,
    strawberry.union("ConfirmEmailChangeResult", description="The outcome of confirmEmailChange."),
]
DeleteAccountResult = Annotated[
    Acknowledged | InvalidCredentials | SecondFactorRequired | RateLimited,
    strawberry.union("DeleteAccountResult", description="The outcome of deleteAccount."),
]
PersonId = Annotated[strawberry.ID, strawberry.argument(description="The person's id.")]
Password = Annotated[str, strawberry.argument(description="The viewer's password.")]


@strawberry.type
class OwnAccountMutation:
    @strawberry.mutation(
        description="Ask for another address. Both mailboxes get a link; once both were opened, "
        "within 48 hours, the address is changed. The answer is the same if the new address has "
        "an account. Needs a login."
    )
    @answers_problems
    async def request_email_change(
        self,
        info: Info,
        new_email: Annotated[
            str, strawberry.argument(description="The new address, at most 254 characters.")
        ],
        password: Password,
        code: Code = UNSET,
    ) -> RequestEmailChangeResult:
        return EmailChange.from_row(
            await email_change.request_email_change(
                info.context.app, new_email=new_email, password=password, code=given(code)
            )
        )

    @strawberry.mutation(
        description="Confirm another address with the token from the link in one of the two mails."
    )
    @answers_problems
    async def confirm_email_change(
        self,
        info: Info,
        token: Annotated[
            str, strawberry.argument(description="The value of `token` in the mail's link.")
        ],
    ) -> ConfirmEmailChangeResult:
        return EmailChange.from_row(
            await email_change.confirm_email_change(info.context.app, token)
        )

    @strawberry.mutation(
        description="Delete the viewer's account with all that belongs to it. Sessions that others "
        "take part in stay, with the person's messages but without their name. The last ADMIN "
        "cannot go. It cannot be undone. Needs a login."
    )
    @answers_problems
    async def delete_account(
        self, info: Info, password: Password, code: Code = UNSET
    ) -> DeleteAccountResult:
        await account_deletion.delete_account(info.context.app, password, given(code))
        return Acknowledged(ok=True)

    @strawberry.mutation(
        description="Shut a person out: all their logins end at once, and they cannot log in. "
        "Nothing is deleted. Null if there is no such person. For ADMIN."
    )
    async def suspend_user(self, info: Info, user_id: PersonId) -> User | None:
        user = await suspension.suspend_user(info.context.app, row_id("User", user_id))
        return None if user is None else User.from_row(user)

    @strawberry.mutation(
        description="Let a suspended person log in again. Null if there is no such person. For "
        "ADMIN."
    )
    async def lift_suspension(self, info: Info, user_id: PersonId) -> User | None:
        user = await suspension.lift_suspension(info.context.app, row_id("User", user_id))
        return None if user is None else User.from_row(user)
