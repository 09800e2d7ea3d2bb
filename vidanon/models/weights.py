"""Weights on disk: safetensors beside one manifest, loaded with a checksum. No pickle anywhere.

`weights/manifest.json` maps a network's name to its record: file, sha256, licence, data, run, measured figures.
The network's config travels inside the safetensors header, so a file alone can be rebuilt.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from vidanon.errors import WeightsError
from vidanon.locations import weights_dir

MANIFEST = "manifest.json"


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_manifest(folder: Path | None = None) -> dict[str, dict[str, Any]]:
    """The manifest as a dict, network name to record. Raises WeightsError if it is missing or damaged."""
    path = (folder or weights_dir()) / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as e:
        raise WeightsError(f"no weights manifest at {path}", hint="reinstall vidanon, or train: vidanon train") from e
    except (OSError, ValueError) as e:
        raise WeightsError(f"weights manifest {path} cannot be read: {e}", hint="reinstall vidanon") from e
    if not isinstance(manifest, dict):
        raise WeightsError(f"weights manifest {path} is not a table of networks", hint="reinstall vidanon")
    return manifest


def record_beside(path: Path, name: str) -> dict[str, Any]:
    """What the manifest beside a weight file says of network `name`, but for file and checksum; {} without one."""
    record = read_manifest(path.parent).get(name, {}) if (path.parent / MANIFEST).exists() else {}
    return {key: value for key, value in record.items() if key not in {"file", "sha256"}}


def save_weights(
    name: str,
    state: Mapping[str, torch.Tensor],
    *,
    config: Mapping[str, Any],
    record: Mapping[str, Any],
    folder: Path | None = None,
    dtype: torch.dtype | None = None,
) -> Path:
    """Writes `<name>.safetensors` and its record in the manifest; returns the file.

    `config` rebuilds the network; `record` says licence, data, run and measured figures.
    Floating tensors are stored as `dtype` if given (float16 halves the file).
    """
    folder = folder or weights_dir()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.safetensors"
    tensors = {
        key: (value.to(dtype) if dtype is not None and value.is_floating_point() else value).detach().cpu().contiguous()
        for key, value in state.items()
    }
    part = path.with_suffix(".part")
    save_file(tensors, part, metadata={"network": name, "config": json.dumps(dict(config), sort_keys=True)})
    part.chmod(0o644)  # safetensors makes files for their owner alone
    part.replace(path)
    manifest = read_manifest(folder) if (folder / MANIFEST).exists() else {}
    manifest[name] = {"file": path.name, "sha256": sha256(path), **record}
    text = json.dumps(dict(sorted(manifest.items())), indent=2, ensure_ascii=False) + "\n"
    scratch = folder / f"{MANIFEST}.{os.getpid()}.part"
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(folder / MANIFEST)
    return path


def read_weights(path: Path, *, checksum: str | None = None) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """(state, config) of a safetensors file; floating tensors come back as float32.

    Raises WeightsError if the file is missing, not ours, or its SHA-256 is not `checksum`.
    """
    if not path.is_file():
        raise WeightsError(f"weight file {path} is missing", hint="reinstall vidanon, or train: vidanon train")
    if checksum is not None and sha256(path) != checksum:
        raise WeightsError(f"weight file {path} does not fit its checksum", hint="it was changed; reinstall vidanon")
    try:
        with safe_open(path, framework="pt") as stream:
            metadata = stream.metadata() or {}
            state = {key: stream.get_tensor(key) for key in stream.keys()}  # noqa: SIM118 - not a dict
        config = json.loads(metadata["config"])
    except (SafetensorError, KeyError, ValueError, OSError) as e:
        raise WeightsError(f"weight file {path} cannot be read: {e}", hint="reinstall vidanon") from e
    return {k: v.float() if v.is_floating_point() else v for k, v in state.items()}, config


def load_weights(name: str, *, folder: Path | None = None) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """(state, config) of a shipped network, its checksum verified against the manifest. Raises WeightsError."""
    folder = folder or weights_dir()
    record = read_manifest(folder).get(name)
    if record is None or "file" not in record or "sha256" not in record:
        raise WeightsError(f"no weights of {name!r} in {folder / MANIFEST}", hint=f"train them: vidanon train {name}")
    return read_weights(folder / str(record["file"]), checksum=str(record["sha256"]))
