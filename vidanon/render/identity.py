"""From a secret key and an identity's name to the latent of a face that nobody has.

In: a key file and a string. Out: 32 bytes, or a vector of standard normals, the same on every machine. Without the
key nobody can find out which latent a person got, or draw it again; with it two clips can share one false face.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
import stat
import time
from pathlib import Path
from statistics import NormalDist

import numpy as np

from vidanon.errors import UsageError
from vidanon.types import FloatArray

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
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read(path)
    except OSError as e:
        if path.exists():  # a folder, or one that may be read but not written
            return _read(path)
        raise UsageError(f"key file {path} cannot be made: {e.strerror}", hint=_ELSEWHERE) from e
    key = secrets.token_bytes(KEY_BYTES)
    with os.fdopen(handle, "wb") as stream:
        stream.write(key)
        stream.flush()
        os.fsync(stream.fileno())
    return key


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            key = stream.read(_LONGEST + 1)
            for _ in range(20):  # another process may be between making the file and filling it
                if key:
                    break
                time.sleep(0.02)
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


def seed(key: bytes, identity: str) -> bytes:
    """32 bytes for an identity: HKDF-SHA256 (RFC 5869) of the key, with the identity's name as info."""
    extracted = hmac.digest(b"vidanon", key, "sha256")
    return hmac.digest(extracted, _PURPOSE + identity.encode() + b"\x01", "sha256")


def latent(key: bytes, identity: str, dim: int, *, truncation: float = 1.0) -> FloatArray:
    """The latent [dim] of an identity: standard normal times `truncation` (0 = the mean face).

    Drawn from SHAKE-256 through the inverse normal distribution, not from a library's generator, whose stream may
    change with its version: a plan rendered again in a year gets the same faces.
    """
    words = np.frombuffer(hashlib.shake_256(seed(key, identity)).digest(8 * dim), "<u8") >> np.uint64(11)
    draw = NormalDist().inv_cdf
    return np.array([draw((int(word) + 0.5) / 2**53) for word in words], np.float32) * np.float32(truncation)
