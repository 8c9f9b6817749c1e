"""Cross-encoders, through sentence-transformers. Importing this module imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import transformers
from sentence_transformers import CrossEncoder

from rag.errors import RerankError

# Beyond it models of this kind were hardly trained, and the time grows with it.
_MAX_TOKENS: Final = 512
_BATCH_SIZE: Final = 16


class CrossEncoderReranker:
    """A `Reranker` over a loaded cross-encoder; made by `load`."""

    def __init__(self, model: CrossEncoder, *, name: str) -> None:
        """
        Raises:
            RerankError: the model gives more than one number for a pair.
        """
        if model.num_labels != 1:
            raise RerankError(
                f"the model {name} sorts into {model.num_labels} classes; a reranking model gives "
                "one number for a question and a passage"
            )
        # Some tokenizers of such models name no limit, and longer pairs than this would fail.
        positions = getattr(model.config, "max_position_embeddings", None) or _MAX_TOKENS
        model.max_seq_length = min(model.max_seq_length or _MAX_TOKENS, positions, _MAX_TOKENS)
        self._model = model
        self._name = name

    @classmethod
    def load(cls, name: str) -> CrossEncoderReranker:
        """Load a folder, or a model of the Hugging Face hub by name.

        A model by name is downloaded unless HF_HUB_OFFLINE says no.

        Raises:
            RerankError: there is no such model, or it is of another kind.
        """
        folder = Path(name).expanduser()
        local = folder.is_dir()
        shown = folder.resolve().name if local else name
        progress_bar: Any = transformers.utils.logging
        progress_bar.disable_progress_bar()
        try:
            model = CrossEncoder(
                str(folder) if local else name, device="cpu", local_files_only=local
            )
        except Exception as error:  # the library raises whatever its many parts raise
            raise RerankError(f"the reranking model {shown} cannot be loaded: {error}") from error
        finally:
            progress_bar.enable_progress_bar()
        return cls(model, name=shown)

    @property
    def name(self) -> str:
        return self._name

    def score(self, query: str, passages: Sequence[str]) -> list[float]:
        if not passages:
            return []
        scores = self._model.predict(
            [(query, passage) for passage in passages],
            batch_size=_BATCH_SIZE,
            show_progress_bar=False,
        )
        return [float(score) for score in scores]
