"""What programs may do with an API key, and people without the second factor that they need:
decided here, for every field of the roots."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

from graphql import GraphQLResolveInfo, GraphQLSchema

from models.api_key import ApiScope
from resolvers.context import Context
from resolvers.errors import Forbidden, ForbiddenReason
from texts import translate

# A field that stands nowhere here is for people alone, and so is all that changes accounts or
# decides who sees what. tests/schema/test_api_keys.py fails for a field that nobody decided on.
FIELDS: Final[dict[ApiScope, frozenset[str]]] = {
    ApiScope.READ: frozenset(
        [
            "me",
            "node",
            "sessions",
            "session",
            "searchMessages",
            "sessionTags",
            "exportSession",
            "documents",
            "searchKnowledge",
            "collections",
            "collection",
            "groups",
            "explainRetrieval",
            "publicConversation",
            "approvedAnswers",
            "unanswered",
            "reply",
            "sessionEvents",
            "indexProgress",
        ]
    ),
    ApiScope.CHAT: frozenset(
        [
            "createSession",
            "renameSession",
            "archiveSession",
            "deleteSession",
            "sendMessage",
            "ask",
            "stopReply",
            "editMessage",
            "regenerateReply",
            "selectBranch",
            "rateReply",
            "pinSession",
            "tagSession",
            "postMessage",
            "setAnswerMode",
            "setTyping",
            "markRead",
            "chat",
        ]
    ),
    ApiScope.DOCUMENTS: frozenset(
        [
            "addDocument",
            "uploadDocument",
            "updateDocument",
            "deleteDocument",
            "moveDocuments",
            "reindexKnowledge",
            "syncManifest",
            "approveAnswer",
            "updateApprovedAnswer",
            "removeApprovedAnswer",
            "setUnansweredState",
        ]
    ),
}
FOR_PEOPLE: Final = frozenset(
    [
        "logins",
        "apiKeys",
        "securityEvents",
        "register",
        "verifyEmail",
        "resendVerification",
        "login",
        "refreshTokens",
        "setUserRole",
        "logout",
        "setLanguage",
        "requestPasswordReset",
        "resetPassword",
        "changePassword",
        "revokeLogin",
        "requestEmailChange",
        "confirmEmailChange",
        "deleteAccount",
        "suspendUser",
        "liftSuspension",
        "createApiKey",
        "revokeApiKey",
        "secondFactor",
        "beginSecondFactor",
        "confirmSecondFactor",
        "disableSecondFactor",
        "signInProviders",
        "signInIdentities",
        "beginSignIn",
        "completeSignIn",
        "confirmSignIn",
        "linkSignIn",
        "completeLink",
        "unlinkSignIn",
        "shareSession",
        "unshareSession",
        "cancelInvitation",
        "createPublicLink",
        "revokePublicLink",
        "createCollection",
        "updateCollection",
        "deleteCollection",
        "createGroup",
        "updateGroup",
        "deleteGroup",
    ]
)
# What somebody may do who needs a second factor and has none: set it up, and what needs no login.
FOR_SETTING_UP: Final = frozenset(
    [
        "me",
        "secondFactor",
        "beginSecondFactor",
        "confirmSecondFactor",
        "setLanguage",
        "logout",
        "login",
        "refreshTokens",
        "register",
        "verifyEmail",
        "resendVerification",
        "requestPasswordReset",
        "resetPassword",
        "confirmEmailChange",
        "signInProviders",
        "beginSignIn",
        "completeSignIn",
        "confirmSignIn",
        "publicConversation",
    ]
)
SET_UP_FIRST: Final = "Set up a second factor first: your account needs one here."
_SCOPES: Final = {name: scope for scope, names in FIELDS.items() for name in names}


def guard_roots(schema: GraphQLSchema) -> None:
    """Let every field of the roots look first at the scopes of the key, if there is one, and at
    whether the viewer must set up a second factor."""
    for root in (schema.query_type, schema.mutation_type):
        assert root is not None
        for name, field in root.fields.items():
            if not name.startswith("__") and field.resolve is not None:
                field.resolve = _guarded(name, field.resolve)
    assert schema.subscription_type is not None
    for name, field in schema.subscription_type.fields.items():
        assert field.subscribe is not None
        field.subscribe = _guarded(name, field.subscribe)


def _guarded(name: str, resolve: Callable[..., Any]) -> Callable[..., Any]:
    scope = _SCOPES.get(name)

    @functools.wraps(resolve)
    def guarded(source: Any, info: GraphQLResolveInfo[Any], /, **arguments: Any) -> Any:
        app: Context = info.context.app
        viewer = app.viewer
        if viewer is not None and viewer.needs_second_factor and name not in FOR_SETTING_UP:
            raise Forbidden(
                translate(SET_UP_FIRST, app.language), reason=ForbiddenReason.SECOND_FACTOR_NEEDED
            )
        if viewer is not None and viewer.scopes is not None and scope not in viewer.scopes:
            raise Forbidden(
                "An API key cannot do this; log in."
                if scope is None
                else f"This API key lacks the scope {scope.value}."
            )
        return resolve(source, info, **arguments)

    return guarded
