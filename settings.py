"""Every setting of the server, read once from the environment and `.env`."""

from __future__ import annotations

import base64
import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from account_settings import AccountSettings

_HOST = re.compile(r"(?:\*\.)?[a-z0-9-]+(?:\.[a-z0-9-]+)*(?::\d{1,5})?")


class SettingsError(Exception):
    """A setting is wrong; the message is one sentence that names the variable."""


class Settings(AccountSettings):
    """The configuration, immutable. Field names in upper case are the variables' names."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
    )

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for all.")
    port: int = Field(8000, ge=1, le=65535, description="Port to listen on.")
    data_dir: Path = Field(Path("data"), description="Folder for the database, index and mails.")
    database_url: str = Field(
        "",
        description="sqlite:///path or postgres://user:password@host/name. "
        "Empty: SQLite in DATA_DIR.",
    )
    secret_key: SecretStr = Field(
        SecretStr(""),
        description="Signs access tokens and encrypts the secrets of second factors; at least 32 "
        "characters. "
        "Empty: a random one is made once and kept in DATA_DIR.",
    )
    former_secret_keys: SecretStr = Field(
        SecretStr(""),
        description="Earlier values of SECRET_KEY, separated by commas, each as KEY@END, such as "
        "…@2026-12-01T00:00Z: until then what they signed is accepted. What they encrypted is "
        "encrypted anew at the start.",
    )
    signing_key_file: str = Field(
        "",
        description="A private key in PEM, Ed25519 or RSA, that signs access tokens instead of "
        "SECRET_KEY, so that others verify them with /.well-known/jwks.json.",
    )
    former_signing_key_files: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Earlier SIGNING_KEY_FILEs, separated by commas, each as FILE@END.",
    )
    public_url: str = Field(
        "",
        description="Address at which people reach the server, for links in mails. "
        "Empty: http://localhost:PORT.",
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Web origins of front ends, separated by commas, such as "
        "https://shop.example. The server's own origin is always allowed.",
    )
    operation_seconds: float = Field(
        120.0,
        ge=0,
        le=3600,
        description="Seconds that a query or mutation may take; 0: no limit. "
        "Subscriptions have none.",
    )
    messages_per_minute: int = Field(
        60, ge=0, description="Messages that a user may send in a minute; 0: no limit."
    )
    address_messages_per_minute: int = Field(
        600, ge=0, description="Messages in a minute from one address; 0: no limit."
    )
    uploads_per_minute: int = Field(
        600,
        ge=0,
        description="Documents that a user may add or change in a minute; 0: no limit.",
    )
    manifests_per_minute: int = Field(
        30, ge=0, description="Calls of syncManifest by a user in a minute; 0: no limit."
    )
    webhook_calls_per_minute: int = Field(
        600, ge=0, description="Calls of the webhook from one address in a minute; 0: no limit."
    )
    tokens_per_day: int = Field(
        0,
        ge=0,
        description="Tokens of prompts and answers that a user may use in a day (UTC); "
        "0: no limit.",
    )
    connections_per_address: int = Field(
        256,
        ge=0,
        description="Open connections of one address; 0: no limit. Not counted for 127.0.0.1. "
        "Behind a proxy on another machine: 0.",
    )
    sockets_per_address: int = Field(
        256, ge=0, description="Open WebSockets of one client address; 0: no limit."
    )
    subscriptions_per_user: int = Field(
        100,
        ge=0,
        description="Subscriptions that a user, or who is not logged in from one address, may "
        "have open at once; 0: no limit.",
    )
    redis_url: SecretStr = Field(
        SecretStr(""),
        description="redis://user:password@host:port/number, for rates that several servers "
        "share. Empty: each server counts in memory.",
    )
    production: bool = Field(
        False,
        description="Tell strangers nothing about the schema: no introspection and general "
        "messages without a login, and GraphiQL only if GRAPHIQL=true is set.",
    )
    trusted_documents: Path | None = Field(
        None,
        description="JSON file of an object: SHA-256 of a document to its text. If set, only these "
        "operations run. Empty: any may, and clients may send the hash of one sent before.",
    )
    graphiql: bool = Field(
        True, description="Serve GraphiQL at /graphiql/. With PRODUCTION: only if set."
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="text for people, json for log collectors: one object a line."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least severe messages that are logged."
    )

    log_requests: bool = Field(
        True,
        description="Log a line for each operation: request id, user, name, hash, status, time and "
        "address. With LOG_FORMAT=text: only if set.",
    )

    kb_dir: Path = Field(
        Path("kb_docs"), description="Folder of documents that is indexed at start."
    )
    parse_seconds: float = Field(
        8.0,
        gt=0,
        le=600,
        description="Seconds that reading one file may take; then it is listed as FAILED.",
    )
    parse_memory_mb: int = Field(
        1024,
        ge=256,
        le=65_536,
        description="Memory in MB that the process which reads a file may take; on Linux.",
    )
    max_upload_mb: int = Field(
        20,
        ge=1,
        le=60,
        description="Largest file in MB. Markdown, text and HTML: 5 at most.",
    )
    max_unpacked_mb: int = Field(
        200,
        ge=1,
        le=4_096,
        description="What a DOCX, PPTX, XLSX or EPUB file may unpack to, in MB.",
    )
    max_pages: int = Field(
        2_000,
        ge=1,
        le=100_000,
        description="Most pages of a PDF, and slides of a presentation.",
    )
    kb_watch: bool = Field(
        True, description="Follow changes of KB_DIR while the server runs, not only at its start."
    )
    webhook_secret: SecretStr = Field(
        SecretStr(""),
        description="Signs calls of /webhooks/knowledge: whsec_ and at least 24 bytes in base64. "
        "Empty: there is no webhook.",
    )
    embedding_model: str = Field(
        "all-MiniLM-L6-v2",
        description="Name or folder of a sentence-transformers model. "
        "The default is part of the installation.",
    )
    embedding_backend: Literal["auto", "torch", "onnx"] = Field(
        "auto",
        description="What computes the vectors: torch, or onnx (ONNX Runtime, for BERT models in a "
        "folder). auto takes onnx for the default model, else torch.",
    )
    previous_embedding_model: str = Field(
        "",
        description="Name or folder of the model used before, which answers while everything is "
        "embedded again. Empty: the name that its passages carry.",
    )
    reranker: str = Field(
        "",
        description="Name or folder of a sentence-transformers cross-encoder that orders the best "
        "passages anew. Empty: none.",
    )
    embedding_query_prefix: str = Field(
        "",
        description="What the model wants before a question, such as 'query: ' for E5. "
        "Empty: what its own configuration says, mostly nothing.",
    )
    embedding_passage_prefix: str = Field(
        "", description="Likewise before a passage, such as 'passage: ' for E5."
    )
    top_k: int = Field(6, ge=1, le=20, description="Passages given to the generator.")
    context_tokens: int = Field(
        3000,
        ge=500,
        le=200_000,
        description="Token budget of a prompt.",
    )

    link_allow_list: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Hosts that answers may link to though no source does, separated by commas, "
        "such as shop.example, or *.shop.example for all names below it.",
    )

    generator: Literal["auto", "offline", "openai", "gemini", "gemini-legacy"] = Field(
        "auto",
        description="Who writes the answers. auto: openai or gemini if its key is set, "
        "else offline.",
    )
    openai_api_key: SecretStr = Field(
        SecretStr(""), description="Key of OpenAI or a compatible API."
    )
    openai_base_url: str = Field("", description="Address of a compatible API. Empty: OpenAI's.")
    openai_model: str = Field("gpt-4.1-mini", description="Model name at OpenAI.")
    gemini_api_key: SecretStr = Field(SecretStr(""), description="Key of the Gemini API.")
    gemini_base_url: str = Field("", description="Address of the Gemini API. Empty: Google's.")
    gemini_model: str = Field("gemini-2.5-flash", description="Model name at Gemini.")
    connect_timeout: float = Field(
        5.0, gt=0, le=600, description="Seconds to wait for a connection to the provider."
    )
    first_token_timeout: float = Field(
        30.0, gt=0, le=600, description="Seconds to wait for the first piece of an answer."
    )
    next_token_timeout: float = Field(
        20.0, gt=0, le=600, description="Seconds to wait between two pieces of an answer."
    )

    smtp_url: SecretStr = Field(
        SecretStr(""),
        description="smtp://user:password@host:port (STARTTLS where offered) or smtps://…. "
        "Empty: mails are written as files to DATA_DIR/outbox.",
    )
    email_from: str = Field(
        "GroundQL <noreply@localhost>", description="Sender of the server's mails."
    )
    retention_days: int = Field(
        30,
        ge=0,
        le=36_500,
        description="Days without activity after which a session is deleted; 0 keeps all.",
    )
    model_titles: bool = Field(
        True,
        description="Let the model name a conversation after its first reply: one short request. "
        "Else, and offline, the title is made from the question.",
    )
    while_replying: Literal["refuse", "queue"] = Field(
        "refuse",
        description="What a question gets while the reply before it is written: refuse, or queue.",
    )
    shutdown_grace: float = Field(
        30.0,
        ge=0,
        le=3600,
        description="Seconds that running replies may take at a stop.",
    )

    @field_validator("allowed_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip().rstrip("/") for part in value.split(",") if part.strip())
        return value

    @field_validator("allowed_origins")
    @classmethod
    def _check_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            parts = urlsplit(origin)
            if origin != "*" and (parts.scheme not in ("http", "https") or parts.path):
                raise ValueError(f"{origin!r} is not an origin such as https://shop.example")
        return value

    @field_validator("former_secret_keys")
    @classmethod
    def _check_former_secret_keys(cls, value: SecretStr) -> SecretStr:
        for part in _parts(value.get_secret_value()):
            if len(_with_end(part)[0]) < 32:
                raise ValueError("each key must have at least 32 characters")
        return value

    @field_validator("former_signing_key_files", "oidc_redirect_uris", mode="before")
    @classmethod
    def _split_files(cls, value: Any) -> Any:
        return tuple(_parts(value)) if isinstance(value, str) else value

    @field_validator("former_signing_key_files")
    @classmethod
    def _check_files(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for part in value:
            _with_end(part)
        return value

    @field_validator("link_allow_list", mode="before")
    @classmethod
    def _split_hosts(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip().lower() for part in value.split(",") if part.strip())
        return value

    @field_validator("link_allow_list")
    @classmethod
    def _check_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for host in value:
            if not _HOST.fullmatch(host):
                raise ValueError(f"{host!r} is not a host such as shop.example or *.shop.example")
        return value

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, value: str) -> str:
        if value and urlsplit(value).scheme not in ("sqlite", "postgres", "postgresql"):
            raise ValueError("must begin with sqlite:// or postgres://")
        return value

    @field_validator("audit_retention_days")
    @classmethod
    def _check_retention(cls, value: int) -> int:
        if 0 < value <= 30:
            raise ValueError("must be 0 or more than 30")
        return value

    @field_validator("secret_key")
    @classmethod
    def _check_secret_key(cls, value: SecretStr) -> SecretStr:
        if 0 < len(value.get_secret_value()) < 32:
            raise ValueError("must have at least 32 characters")
        return value

    @field_validator("webhook_secret")
    @classmethod
    def _check_webhook_secret(cls, value: SecretStr) -> SecretStr:
        if secret := value.get_secret_value():
            try:
                key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
            except ValueError:
                key = b""
            if len(key) < 24:
                raise ValueError("must be whsec_ and at least 24 random bytes in base64")
        return value

    @field_validator("smtp_url")
    @classmethod
    def _check_smtp_url(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        if url:
            parts = urlsplit(url)
            if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
                raise ValueError("must look like smtp://user:password@host:port")
        return value

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        if url and urlsplit(url).scheme not in ("redis", "rediss", "redis+unix"):
            raise ValueError("must begin with redis:// or rediss://")
        return value

    @field_validator("public_url", "openai_base_url", "gemini_base_url")
    @classmethod
    def _check_http_url(cls, value: str) -> str:
        if value and (
            urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname
        ):
            raise ValueError("must begin with http:// or https://")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _check_keys(self) -> Settings:
        if self.generator == "openai" and not (
            self.openai_api_key.get_secret_value() or self.openai_base_url
        ):
            raise ValueError("OPENAI_API_KEY must be set when GENERATOR is openai")
        if self.generator.startswith("gemini") and not self.gemini_api_key.get_secret_value():
            raise ValueError(f"GEMINI_API_KEY must be set when GENERATOR is {self.generator}")
        return self

    @property
    def former_secrets(self) -> list[tuple[str, datetime]]:
        """FORMER_SECRET_KEYS: each key with its end."""
        return [_with_end(part) for part in _parts(self.former_secret_keys.get_secret_value())]

    @property
    def former_signing_keys(self) -> list[tuple[str, datetime]]:
        """FORMER_SIGNING_KEY_FILES: each file with its end."""
        return [_with_end(part) for part in self.former_signing_key_files]

    @property
    def store_url(self) -> str:
        """DATABASE_URL with its default filled in."""
        return self.database_url or f"sqlite://{(self.data_dir / 'groundql.db').absolute()}"

    @property
    def serves_graphiql(self) -> bool:
        """Whether GraphiQL is there."""
        return self.graphiql and (not self.production or "graphiql" in self.model_fields_set)

    @property
    def logs_requests(self) -> bool:
        """Whether each operation has a line in the log."""
        return self.log_requests and (
            self.log_format == "json" or "log_requests" in self.model_fields_set
        )

    @property
    def base_url(self) -> str:
        """PUBLIC_URL with its default filled in, without a slash at the end."""
        return self.public_url or f"http://localhost:{self.port}"


def _parts(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def _with_end(part: str) -> tuple[str, datetime]:
    """What stands before the last @, and the time behind it."""
    name, _, text = part.rpartition("@")
    try:
        end = datetime.fromisoformat(text.strip())
    except ValueError:
        end = None
    if not name.strip() or end is None or end.tzinfo is None:
        # Not quoted: it may be a key.
        raise ValueError("each part must end with @ and a time such as 2026-12-01T00:00Z")
    return name.strip(), end


def load_settings(**overrides: Any) -> Settings:
    """Read the settings; `overrides` win over the environment.

    Raises:
        SettingsError: one sentence that names the variable and what it must be.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        message = str(first["msg"]).removeprefix("Value error, ")
        if not first["loc"]:
            raise SettingsError(f"{message}.") from None
        name = str(first["loc"][0]).upper()
        raise SettingsError(f"{name} is wrong: {message[0].lower()}{message[1:]}.") from None
