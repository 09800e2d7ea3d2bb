"""Do faces hold still, stay who they are, follow the speech, and cover: one clip against its anonymized copies.

In: a clip, its plan, and outputs. Out: a `TemporalReport` and the series behind it. All clips are read side by side, a
frame at a time; recognition vectors stay in memory and die with the measurement.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from vidanon.errors import InputError, PlanError
from vidanon.evaluate.following import Following
from vidanon.evaluate.report import Measured
from vidanon.evaluate.speech import Locator
from vidanon.media.probe import fingerprint
from vidanon.media.reader import Reader
from vidanon.models.embeddings import Embedder
from vidanon.plan import Plan
from vidanon.types import Observation, ScannedFace


@dataclass(frozen=True, slots=True)
class Output:
    """An anonymized copy to be measured."""

    name: str
    """of its column"""
    path: Path
    """the clip"""
    plan: Path | None = None
    """the plan it was rendered from, if that is another one than the source's"""


def measure(
    original: Path,
    outputs: Sequence[Output],
    plan: Path,
    *,
    embedder: Embedder | None = None,
    locator: Locator | None = None,
    every: int = 1,
) -> Measured:
    """Measures outputs of one clip against it; `every` n-th pair of frames for what wants the embedder, which is slow.

    Faces are those of the plan that are to be covered, without the padding at track ends, where there may be none, and
    sure detections that no track holds. Raises InputError if an output has other frames or another size than the
    source, PlanError if the plan is unfinished or does not fit the clip.
    """
    paths = [original, *(output.path for output in outputs)]
    with ExitStack() as stack:
        settled = stack.enter_context(Plan.open(plan))
        settled.require_source(fingerprint(original))
        settled.require_settled()
        plans = [settled, *(stack.enter_context(Plan.open(o.plan)) if o.plan else settled for o in outputs)]
        readers = [stack.enter_context(Reader(path)) for path in paths]
        for path, reader in zip(paths, readers, strict=True):
            _require_size(path, reader, readers[0])
        work = Following(
            ["source", *(output.name for output in outputs)],
            settled.tracks(),
            clock=settled.header.time_base,
            embedder=embedder,
            locator=locator,
            every=every,
        )
        # closed before the plans they read from
        streams = [stack.enter_context(closing(_by_frame(p))) for p in plans]
        found = stack.enter_context(closing(_scanned(settled)))
        for done, frames in enumerate(zip_longest(*readers)):
            if None in frames:
                short = paths[frames.index(None)]
                raise InputError(
                    f"{short}: ends at frame {done}, before another of the clips", hint="vidanon compare tells more"
                )
            faces, scanned = [next(stream, []) for stream in streams], next(found, None)
            if scanned is None:
                raise PlanError(f"{plan}: ends at frame {done}, before the clip", hint="scan the clip again")
            work.step(frames, faces, scanned)
    return work.measured(original.name)


def _require_size(path: Path, reader: Reader, source: Reader) -> None:
    size, wanted = (reader.info.width, reader.info.height), (source.info.width, source.info.height)
    if size != wanted:
        raise InputError(f"{path}: {size[0]}x{size[1]}, the source is {wanted[0]}x{wanted[1]}")


def _by_frame(plan: Plan) -> Generator[list[Observation]]:
    """The faces of every frame, in order."""
    with closing(plan.planned()) as frames:
        for _, _, faces in frames:
            yield faces


def _scanned(plan: Plan) -> Generator[tuple[ScannedFace, ...]]:
    """What the scan found in every frame, in order."""
    for frame in plan.scanned():
        yield frame.faces
