"""What a model's folder says about itself, if it is a BERT encoder that we can write down."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rag.embedding.base import Prefixes
from rag.errors import EmbeddingError

_MODULES = ("Transformer", "Pooling", "Normalize")


@dataclass(frozen=True, slots=True)
class BertConfig:
    """Sizes of a BERT encoder and how its token vectors become one. `max_tokens` includes the
    special tokens; `prefixes` are those that the model was trained with."""

    layers: int
    heads: int
    hidden: int
    epsilon: float
    pooling: Literal["mean", "cls"]
    max_tokens: int
    prefixes: Prefixes


def read_config(folder: Path) -> BertConfig:
    """Read a sentence-transformers folder.

    Raises:
        EmbeddingError: the model is of another kind; the message says what differs.
    """
    config = _read(folder, "config.json")
    expected = {"model_type": "bert", "hidden_act": "gelu"}
    for name, value in expected.items():
        if config.get(name) != value:
            raise _unsupported(folder, f"{name} is {config.get(name)!r}, not {value!r}")
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise _unsupported(folder, "its positions are not absolute")
    for name in ("model.safetensors", "tokenizer.json"):
        if not (folder / name).is_file():
            raise _unsupported(folder, f"{name} is missing")
    modules: Any = _read(folder, "modules.json")
    kinds = [str(module.get("type", "")).rpartition(".")[2] for module in modules]
    if tuple(kinds) not in (_MODULES, _MODULES[:2]):
        raise _unsupported(folder, f"it consists of {', '.join(kinds)}")
    pooling = _read(folder, f"{modules[1]['path']}/config.json")
    limit = _read(folder, "sentence_bert_config.json", optional=True).get("max_seq_length")
    prompts = _read(folder, "config_sentence_transformers.json", optional=True).get("prompts") or {}
    return BertConfig(
        layers=int(config["num_hidden_layers"]),
        heads=int(config["num_attention_heads"]),
        hidden=int(config["hidden_size"]),
        epsilon=float(config["layer_norm_eps"]),
        pooling=_pooling(folder, pooling),
        max_tokens=int(limit or config["max_position_embeddings"]),
        prefixes=Prefixes(
            prompts.get("query") or "", prompts.get("document") or prompts.get("passage") or ""
        ),
    )


def _pooling(folder: Path, config: dict[str, Any]) -> Literal["mean", "cls"]:
    # Newer files name the mode, older ones have a switch for each.
    modes = [config["pooling_mode"]] if isinstance(config.get("pooling_mode"), str) else []
    modes += [
        name.removeprefix("pooling_mode_").removesuffix("_tokens").removesuffix("_token")
        for name, value in config.items()
        if name.startswith("pooling_mode_") and value is True
    ]
    if modes == ["mean"]:
        return "mean"
    if modes == ["cls"]:
        return "cls"
    raise _unsupported(folder, f"its pooling is {', '.join(modes) or 'not stated'}")


def _read(folder: Path, name: str, *, optional: bool = False) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        if optional:
            return {}
        raise _unsupported(folder, f"{name} is missing") from None
    except (OSError, ValueError) as error:
        raise EmbeddingError(f"{name} of the model {folder.name} cannot be read") from error
    return content


def _unsupported(folder: Path, reason: str) -> EmbeddingError:
    return EmbeddingError(
        f"the model {folder.name} cannot run on ONNX Runtime: {reason}; "
        "set EMBEDDING_BACKEND to torch or auto"
    )
