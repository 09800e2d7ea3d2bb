"""What the painted pictures of an output depend on, as one number: work of an earlier run fits only where it is equal.

In: the settled plans of the source, the settings, the secret key. Out: hex text in which nothing of them
can be read; without the key nobody can try out what it stands for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import msgspec
import torch

from vidanon import __version__
from vidanon.models.weights import read_manifest
from vidanon.plan.store import Plan
from vidanon.settings import Settings

_PURPOSE = b"vidanon journal"
_PLANNED = (
    "SELECT idx, pts FROM frames ORDER BY idx",
    "SELECT number, identity, action FROM tracks ORDER BY number",
    "SELECT track, frame, x0, y0, x1, y1, points, score, source FROM observations ORDER BY frame, track",
)


def work_identity(plans: Sequence[Plan], *, settings: Settings, key: bytes, device: str) -> str:
    """BLAKE2b (RFC 7693), keyed with `key`, over all that has a say in the painted pictures and their encoding.

    The plans know the source's fingerprint; `device` is where the networks run: kinds differ in the last bits.
    Raises PlanError for a damaged plan, WeightsError where the weights' manifest cannot be read.
    """
    # BLAKE2b takes keys up to 64 bytes.
    digest = hashlib.blake2b(key=hashlib.blake2b(key).digest(), person=_PURPOSE)
    weights = read_manifest().get("generator", {}).get("sha256") if settings.render.method == "gan" else None
    output = msgspec.structs.replace(settings.output, overwrite=False)
    marks = [plan.header.fingerprint for plan in plans]
    facts = (__version__, marks, settings.render, output, weights, device.partition(":")[0], torch.__version__)
    digest.update(repr(facts).encode())
    for plan in plans:
        for sql in _PLANNED:
            for row in plan.query(sql):
                digest.update(b"".join(_framed(row)))
            digest.update(b"\0end\0")
    return digest.hexdigest()


def _framed(row: Iterable[object]) -> Iterable[bytes]:
    # Each value with its length, so that no two rows run together into the same bytes.
    for value in row:
        data = value if isinstance(value, bytes) else repr(value).encode()
        yield len(data).to_bytes(4, "little")
        yield data
