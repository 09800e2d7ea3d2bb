"""ONNX Runtime as we use it: networks on CPU threads, one picture a call, the same bits every time.

Measured on one thread, it runs our detector and the generator's U-Net in two fifths to a half of torch's time:
activations are fused into the convolutions and pointwise ones do not take a slow path.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vidanon.models.onnx_graph import OUTPUT, PICTURES, Shape, to_onnx
from vidanon.types import FloatArray

_NO_MEMORY = ("bad_alloc", "bad allocation", "Failed to allocate memory")
"""how its errors say so; they have no class of their own"""


def open_session(model: bytes | Path, *, threads: int = 0) -> Any:
    """An `onnxruntime.InferenceSession` on `threads` CPU threads, 0 = as many as torch uses.

    Raises ImportError without onnxruntime, and whatever it raises for a model it cannot read.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # 0 would bind threads to cores, of which a container may have been given others
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.use_deterministic_compute = True
    options.enable_mem_pattern = False  # it would remember a plan for every size of picture there ever was
    # Threads that wait inside a call may spin, but between calls the cores belong to decoding and encoding.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


class CpuNetwork:
    """A torch network in evaluation mode, run by ONNX Runtime; inputs and result as `to_onnx` has them."""

    def __init__(self, network: nn.Module, inputs: Mapping[str, Shape] = PICTURES, *, threads: int = 0) -> None:
        self._session = open_session(to_onnx(network, inputs), threads=threads)
        self._names = list(inputs)

    def __call__(self, *arrays: FloatArray) -> FloatArray:
        """The network's result for its inputs in order. Raises MemoryError where they do not fit."""
        try:
            (result,) = self._session.run([OUTPUT], dict(zip(self._names, arrays, strict=True)))
        except Exception as e:
            if any(text in str(e) for text in _NO_MEMORY):
                raise MemoryError(str(e)) from e
            raise
        return result  # type: ignore[no-any-return]
