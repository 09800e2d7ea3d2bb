"""Which device the networks run on, said once and checked before work begins."""

from __future__ import annotations

import os

import torch

from vidanon.errors import DeviceError, UsageError
from vidanon.models.allocator import keep_freed_memory


def pick_device(wanted: str) -> str:
    """The device that "auto", "cpu", "cuda" or "cuda:N" stands for: "cpu" or "cuda:N".

    Raises UsageError for anything else, DeviceError if that GPU is not there: never a silent fall-back to the CPU.
    """
    if wanted == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    if wanted == "cpu":
        return "cpu"
    kind, _, number = wanted.partition(":")
    if kind != "cuda" or (number and not number.isdigit()):
        raise UsageError(f"unknown device {wanted!r}", hint="auto, cpu, cuda or cuda:N")
    if not torch.cuda.is_available():
        raise DeviceError(f"device {wanted} was asked for, and torch sees no GPU here", hint="use --device cpu or auto")
    index = int(number or 0)
    if index >= torch.cuda.device_count():
        raise DeviceError(
            f"device {wanted} was asked for, and there are {torch.cuda.device_count()} GPUs",
            hint=f"cuda:0 to cuda:{torch.cuda.device_count() - 1}",
        )
    return f"cuda:{index}"


def limit_threads(threads: int) -> None:
    """CPU threads of the networks, 0 = one per core; memory they free is kept for their next call."""
    torch.set_num_threads(threads or os.cpu_count() or 1)
    keep_freed_memory()
