"""What can go wrong in `rag`.

RagError
├── LoadingError            a file cannot be read as a document
├── EmbeddingError          the embedding model cannot be loaded or does not fit
│   └── WeightsMismatch     the weights on disk are not the ones that were promised
├── RerankError             the reranking model cannot be loaded or does not fit
├── IndexFileError          an index file is damaged or was made by another model
└── GenerationError         the provider gave no (complete) answer; `.user_message` is fit for users
    ├── ProviderUnavailable could not be reached, 5xx, overloaded
    ├── ProviderTimeout     connecting, first token or next token took too long
    ├── ProviderRateLimited 429 after all retries
    └── ProviderRejected    4xx: key, model name or request refused
"""


class RagError(Exception):
    """Base class of every error that `rag` raises on purpose."""


class LoadingError(RagError):
    """A file cannot be turned into a document; the message says why, for the person who gave it."""


class EmbeddingError(RagError):
    """The embedding model cannot be loaded or does not fit its configuration."""


class WeightsMismatch(EmbeddingError):
    """The SHA-256 of the weights on disk is not the expected one."""


class RerankError(RagError):
    """The reranking model cannot be loaded or does not fit its purpose."""


class IndexFileError(RagError):
    """An index file is missing, damaged, stale or made by another model; rebuild it."""


class GenerationError(RagError):
    """The provider gave no complete answer.

    `user_message` is one sentence fit for the person who asked: no host, key, or vendor text.
    `str(error)` is for the log and must not contain a key either.
    """

    user_message = "The answer could not be generated. Please try again."

    def __init__(self, detail: str, *, user_message: str | None = None) -> None:
        super().__init__(detail)
        if user_message is not None:
            self.user_message = user_message


class ProviderUnavailable(GenerationError):
    user_message = "The language model could not be reached. Please try again in a moment."


class ProviderTimeout(GenerationError):
    user_message = "The language model took too long to answer. Please try again."


class ProviderRateLimited(GenerationError):
    user_message = "The language model is busy at the moment. Please try again in a minute."


class ProviderRejected(GenerationError):
    user_message = (
        "The language model refused the request. Please tell the administrator of this service."
    )
