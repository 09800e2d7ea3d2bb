"""A run folder is the record of a training: options.json, stats.jsonl, checkpoints, fixed-seed grids.

Checkpoints are safetensors (tensors) plus JSON (numbers), so that resuming needs no pickle. Also here: EMA.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from vidanon.errors import InputError, UsageError

Network = TypeVar("Network", bound=nn.Module)


class RunFolder:
    """The folder of one run. `options` is a dataclass, written down at the start."""

    def __init__(self, path: Path, options: Any) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        text = json.dumps(dataclasses.asdict(options), indent=2, default=str)
        (path / "options.json").write_text(text + "\n", encoding="utf-8")
        self._stats = (path / "stats.jsonl").open("a", encoding="utf-8")
        self._start = time.monotonic()

    def log(self, **stats: Any) -> None:
        """Appends one line to stats.jsonl (with seconds since the start) and prints it."""
        line = json.dumps({"seconds": round(time.monotonic() - self._start, 1), **stats})
        self._stats.write(line + "\n")
        self._stats.flush()
        print(line, flush=True)

    def save(self, name: str, tensors: Mapping[str, torch.Tensor], numbers: Mapping[str, Any]) -> Path:
        """Writes checkpoint `name` so that a killed run never leaves half of one."""
        path = self.path / f"{name}.safetensors"
        part = path.with_suffix(".part")
        flat = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
        save_file(flat, part, metadata={"numbers": json.dumps(dict(numbers))})
        part.replace(path)
        return path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stats.close()


def load_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """(tensors, numbers) of a checkpoint. Raises InputError if it is missing or damaged."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise InputError(f"no checkpoint at {path}", hint="name a .safetensors file of a run folder")
    try:
        with safe_open(path, framework="pt") as stream:
            numbers = json.loads((stream.metadata() or {}).get("numbers", "{}"))
        tensors = load_file(path)
    except (SafetensorError, ValueError, OSError) as e:
        raise InputError(f"checkpoint {path} cannot be read: {e}") from e
    if not numbers:
        raise InputError(f"{path} is no checkpoint", hint="weights are given with --weights, a run's with --resume")
    return tensors, numbers


def pack(prefix: str, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Keys with a prefix, so that several state dicts share one checkpoint."""
    return {f"{prefix}/{key}": value for key, value in state.items()}


def unpack(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The inverse of `pack`."""
    start = f"{prefix}/"
    return {key[len(start) :]: value for key, value in tensors.items() if key.startswith(start)}


def pack_optimizer(prefix: str, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """An optimizer's per-parameter state as flat tensors."""
    flat = {}
    for index, state in optimizer.state_dict()["state"].items():
        for key, value in state.items():
            flat[f"{prefix}/{index}/{key}"] = value if torch.is_tensor(value) else torch.tensor(float(value))
    return flat


def unpack_optimizer(prefix: str, tensors: Mapping[str, torch.Tensor], optimizer: torch.optim.Optimizer) -> None:
    """Restores what `pack_optimizer` wrote."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in unpack(prefix, tensors).items():
        index, name = key.split("/", 1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


class EMA(Generic[Network]):
    """Exponential moving average of a network's weights; buffers are copied."""

    def __init__(self, network: Network) -> None:
        self.network: Network = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)

    @torch.no_grad()
    def update(self, network: nn.Module, *, decay: float) -> None:
        """average <- decay * average + (1 - decay) * network"""
        means: list[torch.Tensor] = list(self.network.parameters())
        now: list[torch.Tensor] = list(network.parameters())
        torch._foreach_lerp_(means, now, 1 - decay)  # one launch on a GPU instead of one for each
        for held, live in zip(self.network.buffers(), network.buffers(), strict=True):
            held.copy_(live)


def check_budget(*, minutes: float | None, steps: int | None) -> None:
    """Raises UsageError unless a run has an end."""
    if minutes is None and steps is None:
        raise UsageError("a training run needs an end", hint="give --minutes or --steps")
