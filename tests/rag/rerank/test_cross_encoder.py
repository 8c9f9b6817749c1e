"""The real class on a tiny model with random weights, made here: no network, no download."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
    set_seed,
)

from rag.errors import RerankError
from rag.rerank.cross_encoder import CrossEncoderReranker

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "goods", "back", "send", "leave", "days"]


def save_model(folder: Path, *, labels: int = 1) -> Path:
    """A BERT of one layer over nine words."""
    set_seed(7)
    tokenizer = Tokenizer(WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    ).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
        num_labels=labels,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def test_a_folder_is_loaded_and_scores_pairs(tmp_path: Path) -> None:
    """A number for each passage, the same at any batch; a pair longer than the model is cut."""
    reranker = CrossEncoderReranker.load(str(save_model(tmp_path / "tiny")))
    assert reranker.name == "tiny"
    passages = ["goods back", "leave days", "send " * 500]
    together = reranker.score("send goods", passages)
    assert len(together) == 3
    assert len(set(together)) == 3
    alone = [reranker.score("send goods", [passage])[0] for passage in passages]
    assert together == pytest.approx(alone, abs=1e-5)
    assert reranker.score("send goods", []) == []


def test_a_model_of_classes_is_refused(tmp_path: Path) -> None:
    """Entailment models and the like look the same from outside."""
    folder = save_model(tmp_path / "classes", labels=3)
    with pytest.raises(RerankError, match="classes sorts into 3 classes"):
        CrossEncoderReranker.load(str(folder))


def test_a_folder_without_a_model_is_said(tmp_path: Path) -> None:
    """With the folder's name and not its path."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(RerankError, match="the reranking model empty cannot be loaded"):
        CrossEncoderReranker.load(str(tmp_path / "empty"))
