"""The embedding model, through sentence-transformers. Importing this module imports torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import transformers
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer

from rag.embedding.base import ModelIdentity, Prefixes
from rag.embedding.packaged import (
    DEFAULT_MODEL,
    DEFAULT_WEIGHTS_SHA256,
    default_folder,
    is_default,
    weights_sha256,
)
from rag.errors import EmbeddingError
from rag.types import FloatMatrix

_FALLBACK_MAX_TOKENS: Final = 512
# More texts in one forward pass are no faster on a CPU, but pad short ones to the longest.
_BATCH_SIZE: Final = 16


class SentenceTransformersEmbedder:
    """An `Embedder` over a loaded sentence-transformers model; made by `load`.

    `count_tokens` may be called from any thread, `embed` from one thread at a time.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        *,
        name: str,
        weights_sha256: str,
        prefixes: Prefixes | None = None,
    ) -> None:
        """Without `prefixes`, those of the model's own configuration count, mostly none."""
        dimension = model.get_embedding_dimension()
        if not dimension:
            raise EmbeddingError(f"the model {name} does not tell the dimension of its vectors")
        self._model = model
        self._counter = _untruncated_tokenizer(model)
        self._prefixes = _own_prefixes(model) if prefixes is None else prefixes
        self._identity = ModelIdentity(name, int(dimension), self._prefixes.mark(weights_sha256))
        marked = self.count_tokens(self._prefixes.passage) - self.count_tokens("")
        self._max_tokens = int(model.max_seq_length or _FALLBACK_MAX_TOKENS) - marked

    @classmethod
    def load(
        cls, name: str = DEFAULT_MODEL, *, prefixes: Prefixes | None = None
    ) -> SentenceTransformersEmbedder:
        """Load the packaged default model, a folder, or a model of the Hugging Face hub by name.

        The default model needs no network: its weights come with a package, and their SHA-256 is
        checked before they are used. A model by name is downloaded unless HF_HUB_OFFLINE says no.

        Raises:
            WeightsMismatch: the packaged weights are not the expected ones.
            EmbeddingError: there is no such model, or it cannot be loaded.
        """
        if is_default(name):
            model = _load(str(default_folder()), local=True)
            return cls(model, name=DEFAULT_MODEL, weights_sha256=DEFAULT_WEIGHTS_SHA256)
        folder = Path(name).expanduser()
        if folder.is_dir():
            sha256 = weights_sha256(folder)
            model = _load(str(folder), local=True)
            return cls(model, name=folder.resolve().name, weights_sha256=sha256, prefixes=prefixes)
        model = _load(name, local=False)
        return cls(model, name=name, weights_sha256=_parameters_sha256(model), prefixes=prefixes)

    @property
    def identity(self) -> ModelIdentity:
        return self._identity

    @property
    def backend(self) -> str:
        return "torch"

    @property
    def parallel(self) -> bool:
        return False  # torch uses all cores by itself, and the tokenizer's settings change

    @property
    def max_tokens(self) -> int:
        return self._max_tokens

    def count_tokens(self, text: str) -> int:
        if self._counter is None:
            return len(self._model.tokenizer(text, truncation=False, verbose=False)["input_ids"])
        return len(self._counter.encode(text).ids)

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        return self._encode(texts, self._prefixes.passage)

    def embed_queries(self, texts: Sequence[str]) -> FloatMatrix:
        return self._encode(texts, self._prefixes.query)

    def _encode(self, texts: Sequence[str], prefix: str) -> FloatMatrix:
        if not texts:
            return np.zeros((0, self._identity.dimension), dtype=np.float32)
        vectors = self._model.encode(
            list(texts),
            prompt=prefix,
            batch_size=_BATCH_SIZE,
            show_progress_bar=False,
            convert_to_numpy=True,
            normalize_embeddings=True,
        )
        return np.ascontiguousarray(vectors, dtype=np.float32)


def _own_prefixes(model: SentenceTransformer) -> Prefixes:
    """The prompts that the model's config_sentence_transformers.json names."""
    prompts = model.prompts
    query, passage = prompts.get("query"), prompts.get("document") or prompts.get("passage")
    return Prefixes(query or "", passage or "")


def _parameters_sha256(model: SentenceTransformer) -> str:
    """The SHA-256 of the parameters in memory, for a model whose files lie in the hub's cache."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()


def _load(name: str, *, local: bool) -> SentenceTransformer:
    progress_bar: Any = transformers.utils.logging
    progress_bar.disable_progress_bar()
    try:
        return SentenceTransformer(name, device="cpu", local_files_only=local)
    except Exception as error:  # the library raises whatever its many parts raise
        shown = Path(name).name if local else name
        raise EmbeddingError(f"the embedding model {shown} cannot be loaded: {error}") from error
    finally:
        progress_bar.enable_progress_bar()


def _untruncated_tokenizer(model: SentenceTransformer) -> Tokenizer | None:
    """A copy of the model's tokenizer that neither truncates nor pads, None for a slow tokenizer.

    Both are reset on the model's own tokenizer too: the file of the packaged default model pads to
    a fixed 128 tokens and truncates there, though the model takes 256. (Encoding sets the length
    anew for each batch, from `max_seq_length`.) The copy keeps counting apart from encoding, which
    changes those settings from another thread.
    """
    backend = getattr(model.tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        return None
    backend.no_padding()
    backend.no_truncation()
    return Tokenizer.from_str(backend.to_str())
