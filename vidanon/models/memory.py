"""Running a network on as much at a time as the device's memory holds.

In: inputs, and a call that takes some of them. Out: all results in order, in smaller and smaller portions where the
device runs out of memory.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from vidanon.errors import DeviceError

In = TypeVar("In")
Out = TypeVar("Out")

_NO_CLASS_OF_ITS_OWN = (
    "DefaultCPUAllocator: can't allocate",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
_log = logging.getLogger(__name__)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a call failed for want of memory, on a GPU or on the CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _NO_CLASS_OF_ITS_OWN)


class Portions:
    """How much goes through a network in one call: less, for good, once the device has run out of memory.

    Args: `network`, its name in messages; `device`, where it runs; `budget`, what one call may cost at first, in the
    unit of `cost` (inputs, or px of them).
    """

    def __init__(self, network: str, device: torch.device, budget: int) -> None:
        self._network = network
        self._device = device
        self._budget = budget

    def size(self, cost: int = 1) -> int:
        """Inputs of one call, each at `cost`; one at least."""
        return max(1, self._budget // cost)

    def run(self, call: Callable[[Sequence[In]], Sequence[Out]], items: Sequence[In], *, cost: int = 1) -> list[Out]:
        """Results of `call` over all items, `size(cost)` at a time, or fewer at the end.

        Raises DeviceError where a single item is too much, and whatever else `call` raises.
        """
        done: list[Out] = []
        while len(done) < len(items):
            size = self.size(cost)
            try:
                done += call(items[len(done) : len(done) + size])
                continue
            except Exception as e:
                if not is_out_of_memory(e):
                    raise
                if size == 1:
                    raise DeviceError(
                        f"{self._device} ran out of memory in the {self._network}, with one picture at a time",
                        hint="free memory on it, lower detect.tile_px, or use another --device",
                    ) from e
            # Past the handler, where the error no longer keeps the tensors of the failed call.
            self._budget = cost * (size // 2)
            _log.warning(
                "%s ran out of memory in the %s with %d pictures at a time; going on with %d",
                self._device,
                self._network,
                size,
                size // 2,
            )
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
        return done
