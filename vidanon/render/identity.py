"""From a secret key and an identity's name to the latent of a face that nobody has.

In: a key file and a string. Out: 32 bytes, or a vector of standard normals, the same on every machine. Without the
key nobody can find out which latent a person got, or draw it again; with it two clips can share one false face.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import os
import secrets
import stat
from pathlib import Path
from statistics import NormalDist

import numpy as np

from vidanon.errors import UsageError
from vidanon.files import claim
from vidanon.types import UNNAMED, FloatArray

KEY_BYTES = 32
"""Length of a key we make, and the least we take."""

_LONGEST = 4096
_PURPOSE = b"vidanon latent 1\0"
_ELSEWHERE = "name another file with --key-file"
_log = logging.getLogger(__name__)


def load_or_create_key(path: Path) -> bytes:
    """The key in the file at `path`, at least 32 bytes; made at random (mode 0600) where there is no such file.

    Logs a warning if others may read the file. Raises UsageError if it is too short or cannot be read or written.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as e:
        raise UsageError(f"the key's folder {path.parent} cannot be made: {e.strerror}", hint=_ELSEWHERE) from e
    if path.exists():
        return _read(path)
    # It gets its name when it is whole: half of one, left by a killed process, would be in everybody's way.
    unborn = path.with_name(f".{path.name}.{os.getpid()}.new")
    key = secrets.token_bytes(KEY_BYTES)
    try:
        with os.fdopen(os.open(unborn, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            stream.write(key)
            stream.flush()
            os.fsync(stream.fileno())
        claim(unborn, path)
    except FileExistsError:  # another process was quicker
        return _read(path)
    except OSError as e:
        raise UsageError(f"key file {path} cannot be made: {e.strerror}", hint=_ELSEWHERE) from e
    finally:
        with contextlib.suppress(OSError):
            unborn.unlink(missing_ok=True)
    return key


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            key = stream.read(_LONGEST + 1)
            mode = os.fstat(stream.fileno()).st_mode
    except OSError as e:
        raise UsageError(f"key file {path} cannot be read: {e.strerror}", hint="check its owner and mode") from e
    if not KEY_BYTES <= len(key) <= _LONGEST:
        size = str(len(key)) if len(key) <= _LONGEST else f"more than {_LONGEST}"
        raise UsageError(
            f"key file {path} holds {size} bytes, a key has {KEY_BYTES} to {_LONGEST}",
            hint="remove the file and a new key is made, which gives everybody a new face",
        )
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        _log.warning("key file %s may be read by others: chmod 600 it", path)
    return key


def person(identity: str, clip: str) -> str:
    """Who a plan's identity is: a name is the same person in every clip, "track-3" only means something in its own.

    `clip` is the name of the clip's file, as the plan has it. Without it, two strangers in two clips that share a key
    would get one face, because both are the first in their clip. Nothing of the clip's content has any say in a face.
    """
    return f"{clip}\0{identity}" if UNNAMED.fullmatch(identity) else identity


def seed(key: bytes, identity: str) -> bytes:
    """32 bytes for an identity: HKDF-SHA256 (RFC 5869) of the key, with the identity's name as info."""
    extracted = hmac.digest(b"vidanon", key, "sha256")
    return hmac.digest(extracted, _PURPOSE + identity.encode() + b"\x01", "sha256")


def unnamed(identity: str) -> bool:
    """Whether an identity that `person` returned means something in its own clip only."""
    return "\0" in identity


def latent(key: bytes, identity: str, dim: int, *, truncation: float = 1.0, draw: int = 0) -> FloatArray:
    """The latent [dim] of an identity: standard normal times `truncation` (0 = the mean face).

    `draw` counts those it may get instead.

    Drawn from SHAKE-256 through the inverse normal distribution, not from a library's generator, whose stream may
    change with its version: a plan rendered again in a year gets the same faces.
    """
    name = f"{identity}\0draw {draw}" if draw else identity
    words = np.frombuffer(hashlib.shake_256(seed(key, name)).digest(8 * dim), "<u8") >> np.uint64(11)
    normal = NormalDist().inv_cdf
    return np.array([normal((int(word) + 0.5) / 2**53) for word in words], np.float32) * np.float32(truncation)
