"""A BERT encoder with pooling, written down as an ONNX graph. Importing this imports onnx.

The weights come straight from the model's safetensors, so neither torch nor an exporter is needed.

With 8-bit integers the weights of each linear layer are quantised per output channel and its input
per token:

    x ≈ s · (q - z),  y = s · w ∘ ((q - z) @ Q) + b,   Q = round(W / w),  w = max |W| / 127

where s is a token's own scale. Tools that quantise dynamically use one scale for all tokens of a
batch: then a text's vector depends on its neighbours, and is four times as far from the exact one.
GELU is never below -0.17, so its output is shifted up by that much and uses all 256 steps; what the
shift adds is a constant of the layer and goes into its bias.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

from rag.embedding.bert_config import BertConfig

_OPSET: Final = 21
_IR_VERSION: Final = 10
_MICROSOFT: Final = "com.microsoft"
_GELU_FLOOR: Final = 0.17
_TINY: Final = 1e-12

Weights = dict[str, NDArray[np.float32]]


def build_graph(folder: Path, config: BertConfig, *, int8: bool) -> bytes:
    """The serialised graph of the model in `folder`.

    Inputs `ids` and `mask`: int64, shape (texts, tokens). Output `vectors`: float32, shape (texts,
    dimension), each row of length 1.

    Raises:
        OSError, KeyError, safetensors' errors: the weights are not those of such a model.
    """
    weights = load_file(folder / "model.safetensors")
    prefix = "bert." if "bert.embeddings.word_embeddings.weight" in weights else ""
    named = {name.removeprefix(prefix): value for name, value in weights.items()}
    model = _Graph(config, named, int8=int8).build()
    content: bytes = model.SerializeToString()
    return content


@dataclass(frozen=True, slots=True)
class _Quantised:
    """A tensor of uint8 and the scale of each of its rows."""

    values: str
    scales: str


class _Graph:
    def __init__(self, config: BertConfig, weights: Weights, *, int8: bool) -> None:
        self._config = config
        self._weights = weights
        self._int8 = int8
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}

    def build(self) -> Any:
        mask = self._cast("mask", TensorProto.INT32)
        states = self._embeddings()
        for number in range(self._config.layers):
            states = self._layer(f"encoder.layer.{number}.", states, mask)
        self._pool(states)
        texts = helper.make_tensor_value_info
        graph = helper.make_graph(
            self._nodes,
            "bert",
            [
                texts("ids", TensorProto.INT64, ["texts", "tokens"]),
                texts("mask", TensorProto.INT64, ["texts", "tokens"]),
            ],
            [texts("vectors", TensorProto.FLOAT, ["texts", self._config.hidden])],
            list(self._constants.values()),
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid(_MICROSOFT, 1)],
            ir_version=_IR_VERSION,
            producer_name="groundql",
        )

    # ---- parts of the model -----------------------------------------------------------------

    def _embeddings(self) -> str:
        words = self._weights["embeddings.word_embeddings.weight"]
        # Every text is of the first type.
        places = (
            self._weights["embeddings.position_embeddings.weight"]
            + self._weights["embeddings.token_type_embeddings.weight"][0]
        )
        # Half of the memory; float16 rounds far less than the integers of the layers do.
        table = words.astype(np.float16) if self._int8 else words
        states = self._node("Gather", self._constant("words", table), "ids")
        if self._int8:
            states = self._cast(states, TensorProto.FLOAT)
        count = self._node("Shape", "ids", start=1, end=2)
        first, axis = self._integers("zero", 0), self._integers("axis_0", 0)
        used = self._node("Slice", self._constant("places", places), first, count, axis)
        return self._norm("embeddings.LayerNorm", self._node("Add", states, used))

    def _layer(self, name: str, states: str, mask: str) -> str:
        attended = self._attention(f"{name}attention.", states, mask)
        linear = self._linear(f"{name}attention.output.dense", self._quantise(attended))
        states = self._norm(f"{name}attention.output.LayerNorm", self._node("Add", linear, states))
        linear = self._linear(f"{name}intermediate.dense", self._quantise(states), bias=False)
        bias = self._weight(f"{name}intermediate.dense.bias")
        inner = self._node("BiasGelu", linear, bias, domain=_MICROSOFT)
        if self._int8:
            linear = self._linear(f"{name}output.dense", self._quantise_gelu(inner), shifted=True)
        else:
            linear = self._linear(f"{name}output.dense", inner)
        return self._norm(f"{name}output.LayerNorm", self._node("Add", linear, states))

    def _attention(self, name: str, states: str, mask: str) -> str:
        source = self._quantise(states)
        parts = [f"{name}self.{part}" for part in ("query", "key", "value")]
        projected = [self._linear(part, source, bias=False) for part in parts]
        biases = np.concatenate([self._weights[f"{part}.bias"] for part in parts])
        return self._node(
            "MultiHeadAttention",
            *projected,
            self._constant(f"{name}self.bias", biases),
            mask,
            domain=_MICROSOFT,
            num_heads=self._config.heads,
        )

    def _pool(self, states: str) -> None:
        if self._config.pooling == "cls":
            zero, axis = self._constant("first", np.array(0, dtype=np.int64)), 1
            pooled = self._node("Gather", states, zero, axis=axis)
        else:
            # The sum has the direction of the mean, and only that is kept.
            mask = self._cast("mask", TensorProto.FLOAT)
            mask = self._node("Unsqueeze", mask, self._integers("axis_2", 2))
            pooled = self._node(
                "ReduceSum",
                self._node("Mul", states, mask),
                self._integers("axis_1", 1),
                keepdims=0,
            )
        self._nodes.append(helper.make_node("LpNormalization", [pooled], ["vectors"], axis=-1, p=2))

    # ---- linear layers ----------------------------------------------------------------------

    def _linear(
        self,
        name: str,
        source: str | _Quantised,
        *,
        bias: bool = True,
        shifted: bool = False,
    ) -> str:
        matrix = self._weights[f"{name}.weight"].T
        offset = self._weights[f"{name}.bias"]
        if isinstance(source, str):
            result = self._node("MatMul", source, self._constant(f"{name}.weight", matrix))
        else:
            scales = np.maximum(np.abs(matrix).max(axis=0) / 127, _TINY).astype(np.float32)
            integers = np.clip(np.rint(matrix / scales), -127, 127).astype(np.int8)
            if shifted:
                sums = integers.astype(np.float64).sum(axis=0) * scales
                offset = (offset - _GELU_FLOOR * sums).astype(np.float32)
            product = self._node(
                "MatMulIntegerToFloat",
                source.values,
                self._constant(f"{name}.integers", integers),
                self._number("one", 1.0),
                self._constant(f"{name}.scales", scales),
                self._zero_point(0 if shifted else 128),
                domain=_MICROSOFT,
            )
            result = self._node("Mul", product, source.scales)
        if bias:
            result = self._node("Add", result, self._constant(f"{name}.offset", offset))
        return result

    def _quantise(self, source: str) -> str | _Quantised:
        """Symmetric about 128, a scale for each token."""
        if not self._int8:
            return source
        largest = self._node("Abs", source)
        largest = self._node("ReduceMax", largest, self._integers("last", -1), keepdims=1)
        largest = self._node("Add", largest, self._number("tiny", _TINY))
        return self._scaled(source, largest, steps=127, zero_point=128)

    def _quantise_gelu(self, source: str) -> _Quantised:
        shifted = self._node("Add", source, self._number("floor", _GELU_FLOOR))
        largest = self._node("ReduceMax", shifted, self._integers("last", -1), keepdims=1)
        largest = self._node("Add", largest, self._number("tiny", _TINY))
        return self._scaled(shifted, largest, steps=255, zero_point=0)

    def _scaled(self, source: str, largest: str, *, steps: int, zero_point: int) -> _Quantised:
        factor = self._node("Div", self._number(f"steps_{steps}", steps), largest)
        step = self._number(f"step_{steps}", 1 / steps)
        values = self._node(
            "QuantizeLinear",
            self._node("Mul", source, factor),
            self._number("one", 1.0),
            self._zero_point(zero_point),
        )
        return _Quantised(values, self._node("Mul", largest, step))

    # ---- nodes and constants ----------------------------------------------------------------

    def _norm(self, name: str, source: str) -> str:
        # Not the fused SkipLayerNormalization, which is slower on a CPU than its parts.
        return self._node(
            "LayerNormalization",
            source,
            self._weight(f"{name}.weight"),
            self._weight(f"{name}.bias"),
            epsilon=self._config.epsilon,
        )

    def _cast(self, source: str, to: int) -> str:
        return self._node("Cast", source, to=to)

    def _node(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        output = f"n{len(self._nodes)}"
        node = helper.make_node(kind, list(inputs), [output], domain=domain, **attributes)
        self._nodes.append(node)
        return output

    def _weight(self, name: str) -> str:
        return self._constant(name, self._weights[name])

    def _number(self, name: str, value: float) -> str:
        return self._constant(name, np.array(value, dtype=np.float32))

    def _integers(self, name: str, *values: int) -> str:
        return self._constant(name, np.array(values, dtype=np.int64))

    def _zero_point(self, value: int) -> str:
        return self._constant(f"zero_point_{value}", np.array(value, dtype=np.uint8))

    def _constant(self, name: str, value: NDArray[Any]) -> str:
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.asarray(value, order="C"), name)
        return name
