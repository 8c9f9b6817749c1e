"""The embedding model on ONNX Runtime, without torch. Importing this imports onnxruntime."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

import numpy as np
import onnxruntime
from tokenizers import Encoding, Tokenizer

from rag.embedding.base import ModelIdentity, Prefixes
from rag.embedding.bert_config import BertConfig, read_config
from rag.embedding.packaged import (
    DEFAULT_MODEL,
    DEFAULT_WEIGHTS_SHA256,
    default_folder,
    is_default,
    weights_sha256,
)
from rag.embedding.processor import has_int8_dot_product
from rag.errors import EmbeddingError
from rag.types import FloatMatrix

log = logging.getLogger("groundql.embedding")

# Counts up when files that were made before must be made again.
_FILE_VERSION: Final = 1
# Tokens in one run, padding included. More are slower: what the layers hand on no longer fits into
# a core's cache.
_RUN_TOKENS: Final = 256


class OnnxEmbedder:
    """An `Embedder` over an ONNX session; made by `load`.

    Each call computes on the thread that calls; any number of threads may call at once. Vectors do
    not depend on what else is in the batch, but for rounding in the last digits.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        tokenizer: Tokenizer,
        *,
        config: BertConfig,
        name: str,
        weights_sha256: str,
        backend: str,
        prefixes: Prefixes | None = None,
    ) -> None:
        """Without `prefixes`, those of the model's own configuration count, mostly none."""
        self._session = session
        self._prefixes = config.prefixes if prefixes is None else prefixes
        self._identity = ModelIdentity(name, config.hidden, self._prefixes.mark(weights_sha256))
        self._backend = backend
        # Their settings are never changed afterwards, so threads may share them.
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._counter = tokenizer
        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self._tokenizer.enable_truncation(config.max_tokens)
        marked = self.count_tokens(self._prefixes.passage) - self.count_tokens("")
        self._max_tokens = config.max_tokens - marked

    @classmethod
    def load(
        cls,
        name: str = DEFAULT_MODEL,
        *,
        prefixes: Prefixes | None = None,
        cache: Path | None = None,
        int8: bool | None = None,
    ) -> OnnxEmbedder:
        """Load the packaged default model or the folder of another BERT model.

        The graph is made from the weights, in half a second, and kept in the folder `cache` if one
        is given. With `int8` None, the layers compute with 8-bit integers where the processor has
        instructions for that.

        Raises:
            WeightsMismatch: the packaged weights are not the expected ones.
            EmbeddingError: there is no such folder, or the model is of another kind.
        """
        if int8 is None:
            int8 = has_int8_dot_product()
        if is_default(name):
            folder, shown, sha256 = default_folder(), DEFAULT_MODEL, DEFAULT_WEIGHTS_SHA256
            prefixes = None
        else:
            folder = Path(name).expanduser()
            if not folder.is_dir():
                raise EmbeddingError(
                    f"{name} is not a folder, and ONNX Runtime takes models from folders only; "
                    "set EMBEDDING_BACKEND to torch or auto"
                )
            shown, sha256 = folder.resolve().name, weights_sha256(folder)
        config = read_config(folder)
        try:
            session = _open(folder, config, sha256=sha256, cache=cache, int8=int8)
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the libraries raise whatever their many parts raise
            raise EmbeddingError(
                f"the embedding model {shown} cannot be loaded: {error}"
            ) from error
        return cls(
            session,
            tokenizer,
            config=config,
            name=shown,
            weights_sha256=sha256,
            backend="onnx int8" if int8 else "onnx",
            prefixes=prefixes,
        )

    @property
    def identity(self) -> ModelIdentity:
        return self._identity

    @property
    def backend(self) -> str:
        return self._backend

    @property
    def parallel(self) -> bool:
        return True

    @property
    def max_tokens(self) -> int:
        return self._max_tokens

    def count_tokens(self, text: str) -> int:
        return len(self._counter.encode(text).ids)

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        return self._embed(texts, self._prefixes.passage)

    def embed_queries(self, texts: Sequence[str]) -> FloatMatrix:
        return self._embed(texts, self._prefixes.query)

    def _embed(self, texts: Sequence[str], prefix: str) -> FloatMatrix:
        result = np.zeros((len(texts), self._identity.dimension), dtype=np.float32)
        encoded = self._tokenizer.encode_batch([prefix + text for text in texts])
        for rows in _runs([len(one.ids) for one in encoded]):
            ids, mask = _matrices([encoded[row] for row in rows])
            result[rows] = self._session.run(None, {"ids": ids, "mask": mask})[0]
        return result


def _runs(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Texts of like length together, so that little is padded; in each run at least one."""
    rows: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if rows and (len(rows) + 1) * lengths[row] > _RUN_TOKENS:
            yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows


def _matrices(encoded: Sequence[Encoding]) -> tuple[np.ndarray, np.ndarray]:
    longest = max(len(one.ids) for one in encoded)
    ids = np.zeros((len(encoded), longest), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, one in enumerate(encoded):
        ids[row, : len(one.ids)] = one.ids
        mask[row, : len(one.ids)] = 1
    return ids, mask


# ---- the file of the graph ------------------------------------------------------------------


def _open(
    folder: Path, config: BertConfig, *, sha256: str, cache: Path | None, int8: bool
) -> onnxruntime.InferenceSession:
    if cache is None:
        return _session(_build(folder, config, int8=int8))
    precision = "int8" if int8 else "fp32"
    path = cache / f"{folder.name}-{sha256[:16]}-{precision}-v{_FILE_VERSION}.onnx"
    if not _is_whole(path):
        content = _build(folder, config, int8=int8)
        try:
            _keep(path, content)
        except OSError as error:
            log.warning("The model's file %s cannot be kept: %s", path.name, error)
            return _session(content)
    # By its path: then the file's content is not in memory twice.
    return _session(path)


def _build(folder: Path, config: BertConfig, *, int8: bool) -> bytes:
    from rag.embedding.bert_graph import build_graph  # onnx: only where the file is not there yet

    return build_graph(folder, config, int8=int8)


def _session(source: bytes | Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # Several runs side by side use the cores better than one run that is split over them.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # The graph is written as it should run; further fusions are slower on a CPU.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        source if isinstance(source, bytes) else str(source),
        options,
        providers=["CPUExecutionProvider"],
    )


def _is_whole(path: Path) -> bool:
    """Whether the file has the hash that was written beside it."""
    try:
        expected = _digest_path(path).read_text(encoding="ascii")
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == expected
    except (OSError, ValueError):
        return False


def _keep(path: Path, content: bytes) -> None:
    """Store the file, then its hash; each appears as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, content)
    _write(_digest_path(path), hashlib.sha256(content).hexdigest().encode("ascii"))


def _write(path: Path, content: bytes) -> None:
    with NamedTemporaryFile(dir=path.parent, prefix=f"{path.name}.", delete=False) as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            file.close()
            os.replace(file.name, path)
        except BaseException:
            file.close()
            Path(file.name).unlink(missing_ok=True)
            raise


def _digest_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")
