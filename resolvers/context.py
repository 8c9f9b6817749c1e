"""What every use case gets: who asks, from where, and the shared objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from models.api_key import ApiScope
from models.login import Login
from models.store import Store
from models.user import Role, User
from resolvers.access_watch import AccessWatch
from resolvers.account_rules import AccountRules
from resolvers.answers.approved import ApprovedAnswers
from resolvers.attempts import Attempts
from resolvers.clock import Clock
from resolvers.errors import Forbidden, Unauthenticated
from resolvers.knowledge.base import KnowledgeBase
from resolvers.knowledge.queue import IngestionQueue
from resolvers.mail import Mailer
from resolvers.password_rules import PasswordRules
from resolvers.passwords import PasswordHasher
from resolvers.presence import Presence
from resolvers.rates import Rates
from resolvers.refusals import Refusals
from resolvers.replies.service import ReplyService
from resolvers.session_bus import SessionBus
from resolvers.sign_in.providers import Providers
from resolvers.tokens import TokenService
from texts import ENGLISH, Language, preferred_language


@dataclass(frozen=True, slots=True)
class Services:
    """Objects that live as long as the server; made in server.py."""

    store: Store
    clock: Clock
    passwords: PasswordHasher
    tokens: TokenService
    mailer: Mailer
    knowledge: KnowledgeBase
    ingestion: IngestionQueue
    replies: ReplyService
    sessions: SessionBus
    access: AccessWatch
    presence: Presence
    approved: ApprovedAnswers
    rates: Rates
    require_verified_email: bool
    attempts: Attempts
    refusals: Refusals
    providers: Providers
    rules: AccountRules = field(default_factory=AccountRules)
    password_rules: PasswordRules = field(default_factory=PasswordRules)


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks: the user and the login (device) that the access token belongs to. `scopes` is what
    an API key, `key_id`, may do; None for a person, who may do everything.

    Who `needs_second_factor` may only set one up: schema/scopes.py says how."""

    user: User
    login: Login
    scopes: frozenset[ApiScope] | None = None
    key_id: UUID | None = None
    needs_second_factor: bool = False

    @property
    def id(self) -> UUID:
        return self.user.id


@dataclass(slots=True)
class Context:
    """One operation's context. `viewer` is None for an anonymous caller.

    `token_problem` says why a token that was sent does not count (expired, revoked, malformed); a
    caller who sent one is told so instead of being treated as anonymous.
    """

    services: Services
    viewer: Viewer | None
    token_problem: str | None = None
    address: str = ""
    user_agent: str = ""
    request_id: str = ""
    accept_language: str = ""

    @property
    def language(self) -> Language:
        """The language that the caller is spoken to in: the person's own setting, else what the
        browser asks for, else English."""
        return self.language_of(self.viewer.user if self.viewer else None)

    def language_of(self, user: User | None) -> Language:
        """The language that a person is spoken to in: who has set none gets the caller's."""
        for known in (user, self.viewer.user if self.viewer else None):
            if known is not None and known.language:
                return Language(known.language)
        return preferred_language(self.accept_language) or ENGLISH

    def require_viewer(self) -> Viewer:
        """The viewer.

        Raises:
            Unauthenticated: there is none.
        """
        if self.viewer is None:
            if self.token_problem:
                raise Unauthenticated(self.token_problem)
            raise Unauthenticated
        return self.viewer

    def require_role(self, *roles: Role) -> Viewer:
        """The viewer, if their role is one of `roles`.

        Raises:
            Unauthenticated, Forbidden
        """
        viewer = self.require_viewer()
        if viewer.user.role not in roles:
            raise Forbidden
        return viewer
