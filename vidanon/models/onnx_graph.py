"""A network of ours as an ONNX model in memory, for a runtime that is quicker on a CPU than torch.

In: a torch module in evaluation mode, traced with torch.fx. Out: the bytes of an ONNX model (operator set 13) whose
numbers are the module's own, so the weight file stays the only copy on disk. The few operators our detector and
generator are made of are known; any other is refused by name.

The encoding is that of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto; the package `onnx` would bring a whole
protocol buffer runtime for these few messages.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn

IR_VERSION, OPERATOR_SET = 8, 13
OUTPUT = "result"
Shape = Sequence[int | str]
"""sides, those named that are free"""
PICTURES: Mapping[str, Shape] = {"pictures": (1, 3, "height", "width")}
_ELEMENT_TYPES = {"float32": 1, "int64": 7}
_FLOAT, _INT, _STRING, _INTS = 1, 2, 3, 7
"""kinds of attributes"""


def _varint(value: int) -> bytes:
    value &= 2**64 - 1  # negative numbers are two's complement
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _attribute(name: str, value: float | str | Sequence[int]) -> bytes:
    if isinstance(value, float):
        return _field(1, name) + _varint(2 << 3 | 5) + struct.pack("<f", value) + _field(20, _FLOAT)
    if isinstance(value, int):
        return _field(1, name) + _field(3, value) + _field(20, _INT)
    if isinstance(value, str):
        return _field(1, name) + _field(4, value) + _field(20, _STRING)
    return _field(1, name) + b"".join(_field(8, each) for each in value) + _field(20, _INTS)


def _value(name: str, shape: Shape | None = None) -> bytes:
    if shape is None:
        return _field(1, name) + _field(2, _field(1, _field(1, _ELEMENT_TYPES["float32"])))
    dims = b"".join(_field(1, _field(1 if isinstance(side, int) else 2, side)) for side in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, _ELEMENT_TYPES["float32"]) + _field(2, dims)))


class _Graph:
    """A graph as it grows, each value known by its name."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self._constants = 0

    def constant(self, array: NDArray[Any]) -> str:
        self._constants += 1
        name = f"constant_{self._constants}"
        shape = b"".join(_field(1, side) for side in array.shape)
        kind = _field(2, _ELEMENT_TYPES[array.dtype.name])
        self.parts.append(_field(5, shape + kind + _field(8, name) + _field(9, np.ascontiguousarray(array).tobytes())))
        return name

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: float | str | Sequence[int]) -> str:
        ends = b"".join(_field(1, name) for name in inputs) + _field(2, output)
        told = b"".join(_field(5, _attribute(name, value)) for name, value in attributes.items())
        self.parts.append(_field(1, ends + _field(4, kind) + told))
        return output


def to_onnx(network: nn.Module, inputs: Mapping[str, Shape] = PICTURES) -> bytes:
    """The model of a network that takes these float32 inputs and gives one float32 tensor, named OUTPUT.

    A single input may have any name; several are named as the network's arguments, the n-th of a list NAME_n. Raises
    NotImplementedError for an operator that is not known here.
    """
    traced = fx.symbolic_trace(network)
    traced.graph.eliminate_dead_code()
    graph, names, last = _Graph(), dict[fx.Node, str](), ""
    for node in traced.graph.nodes:
        if node.op == "placeholder":
            names[node] = next(iter(inputs)) if len(inputs) == 1 else node.name
        elif node.op == "get_attr":
            names[node] = graph.constant(_attribute_of(traced, str(node.target)).detach().cpu().numpy())
        elif node.op == "output":
            (result,) = node.all_input_nodes
            last = graph.node("Identity", [names[result]], OUTPUT)
        else:
            names[node] = _translate(node, traced, graph, names)
    assert last == OUTPUT
    graph.parts += [_field(2, "network"), *(_field(11, _value(name, shape)) for name, shape in inputs.items())]
    graph.parts.append(_field(12, _value(OUTPUT)))
    return _field(1, IR_VERSION) + _field(7, b"".join(graph.parts)) + _field(8, _field(1, "") + _field(2, OPERATOR_SET))


def _attribute_of(traced: fx.GraphModule, path: str) -> Any:
    owner, _, name = path.rpartition(".")
    return getattr(traced.get_submodule(owner), name)


def _translate(node: fx.Node, traced: fx.GraphModule, graph: _Graph, names: Mapping[fx.Node, str]) -> str:
    """Adds what stands for one traced operation and returns the name of its result."""
    what: Any = traced.get_submodule(str(node.target)) if node.op == "call_module" else node.target
    inputs = [names[each] for each in node.all_input_nodes]
    if isinstance(what, nn.Identity):
        return inputs[0]
    kind = type(what) if isinstance(what, nn.Module) else what
    if kind not in _OPERATORS:
        raise NotImplementedError(f"no ONNX operator is known here for {node.format_node()}")
    return _OPERATORS[kind](graph, inputs, node, what)


def _conv(graph: _Graph, inputs: list[str], node: fx.Node, conv: nn.Conv2d) -> str:
    if conv.padding_mode != "zeros" or isinstance(conv.padding, str):
        raise NotImplementedError(f"padding of {node.format_node()}")
    arrays = [each.detach().cpu().numpy() for each in (conv.weight, conv.bias) if each is not None]
    return graph.node(
        "Conv",
        [*inputs, *(graph.constant(array) for array in arrays)],
        node.name,
        kernel_shape=conv.kernel_size,
        strides=conv.stride,
        pads=(*conv.padding, *conv.padding),
        dilations=conv.dilation,
        group=conv.groups,
    )


def _enlarge(graph: _Graph, inputs: list[str], node: fx.Node, _: object) -> str:
    how = _ENLARGING.get(str(node.kwargs["mode"]))
    if how is None or node.kwargs.get("align_corners") or not isinstance(node.kwargs["scale_factor"], int | float):
        raise NotImplementedError(f"interpolation of {node.format_node()}")
    factors = graph.constant(np.array([1, 1, *[node.kwargs["scale_factor"]] * 2], np.float32))
    return graph.node("Resize", [inputs[0], "", factors], node.name, **how)


_ENLARGING = {
    "nearest": {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    "bilinear": {"mode": "linear", "coordinate_transformation_mode": "half_pixel"},
}


def _mean(graph: _Graph, inputs: list[str], node: fx.Node, _: object) -> str:
    side = node.args[1]
    if not isinstance(side, int) or len(node.args) != 2 or node.kwargs:
        raise NotImplementedError(f"pooling of {node.format_node()}")
    return graph.node("AveragePool", inputs, node.name, kernel_shape=(side, side), strides=(side, side))


def _leaky(graph: _Graph, inputs: list[str], node: fx.Node, _: object) -> str:
    return graph.node("LeakyRelu", inputs, node.name, alpha=float(node.kwargs["negative_slope"]))  # type: ignore[arg-type]


def _item(_graph: _Graph, inputs: list[str], node: fx.Node, _: object) -> str:
    if node.all_input_nodes[0].op != "placeholder":
        raise NotImplementedError(f"indexing of {node.format_node()}")
    return f"{inputs[0]}_{node.args[1]}"


def _flatten(graph: _Graph, inputs: list[str], node: fx.Node, _: object) -> str:
    # 0 keeps a side, -1 is what is left
    shape = graph.constant(np.array([*[0] * int(node.args[1]), -1], np.int64))  # type: ignore[arg-type]
    return graph.node("Reshape", [inputs[0], shape], node.name)


def _transpose(graph: _Graph, inputs: list[str], node: fx.Node, _: object) -> str:
    if node.args[1:] != (1, 2):
        raise NotImplementedError(f"order of sides of {node.format_node()}")
    return graph.node("Transpose", inputs, node.name, perm=(0, 2, 1))


def _relu(graph: _Graph, inputs: list[str], node: fx.Node, _: object) -> str:
    return graph.node("Relu", inputs, node.name)


def _both(kind: str) -> Callable[[_Graph, list[str], fx.Node, Any], str]:
    def add_node(graph: _Graph, inputs: list[str], node: fx.Node, _: object) -> str:
        if len(inputs) != 2:  # a number, or a tensor and itself, would be no input of its own
            raise NotImplementedError(f"operands of {node.format_node()}")
        return graph.node(kind, inputs, node.name)

    return add_node


def _concat(graph: _Graph, inputs: list[str], node: fx.Node, _: object) -> str:
    return graph.node("Concat", inputs, node.name, axis=int(node.kwargs["dim"]))  # type: ignore[arg-type]


_OPERATORS: dict[Any, Callable[[_Graph, list[str], fx.Node, Any], str]] = {
    nn.Conv2d: _conv,
    nn.ReLU: _relu,
    torch.relu: _relu,
    nn.functional.leaky_relu: _leaky,
    nn.functional.avg_pool2d: _mean,
    operator.add: _both("Add"),
    operator.mul: _both("Mul"),
    operator.getitem: _item,
    torch.cat: _concat,
    nn.functional.interpolate: _enlarge,
    "flatten": _flatten,
    "transpose": _transpose,
}
"""what of torch is which operator of ONNX: by class of a module, by function, by name of a method"""
