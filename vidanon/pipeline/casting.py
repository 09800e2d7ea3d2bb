"""Before a clip is painted: who gets which new face, by what is around theirs in a few of its frames.

In: a camera's settled plan and its clip. Out: a `Cast` for every person, the same wherever a render begins and however
it is batched. Nothing of it is kept on disk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidanon.geometry import area
from vidanon.media.pixels import read_region
from vidanon.media.reader import Frame, Reader
from vidanon.pipeline.cameras import Camera
from vidanon.pipeline.events import Listener
from vidanon.pipeline.meter import Meter
from vidanon.plan.store import Plan
from vidanon.render.casting import Cast, Look
from vidanon.render.compose import FaceRenderer
from vidanon.render.identity import unnamed
from vidanon.render.jobs import Drawn, FaceJob
from vidanon.types import FloatArray, Observation

LOOKS = 3
"""looks at every track: the largest face of each third of the time in which it was detected"""

Place = tuple[int, int]
"""a track's number, and which of its looks"""


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a face is to be found for."""

    identity: str
    """as `FaceJob.identity`"""
    build: FloatArray | None
    """as `FaceJob.build`"""


@dataclass(frozen=True, slots=True)
class _Pose:
    """A frame in which somebody is looked at."""

    face: Observation
    others: Sequence[Observation]
    """the other faces of the frame that are to be covered"""


def cast_all(
    camera: Camera,
    plan: Plan,
    people: Mapping[int, Person],
    renderer: FaceRenderer,
    *,
    covered: frozenset[int],
    framerate: float,
    listen: Listener,
) -> dict[str, Cast]:
    """The cast of each identity of `people` (by track), in the order in which they were looked at for the last time.

    Those who have names have their faces, and the others' are chosen around them.

    `covered` are the tracks that are painted: no pixel of them is looked at. Raises what reading the clip raises.
    """
    poses = _poses(plan, people, covered)
    looks: dict[str, list[Look]] = {people[number].identity: [] for number in sorted(people)}
    by_frame: dict[int, list[_Pose]] = {}
    for place in sorted(poses):
        by_frame.setdefault(poses[place].face.frame, []).append(poses[place])
    waiting = Counter(people[pose.face.track].identity for pose in poses.values())
    drawn: dict[str, Drawn] = {}
    taken: set[int] = set()
    for identity in looks:
        if not unnamed(identity):
            renderer.draw(identity, [], taken)
    last = max(by_frame, default=-1)
    if last >= 0:
        meter = Meter("cast", camera.info.path, camera.info, listen, total=last + 1)
        with Reader(camera.info.path, stream=camera.info.stream, framerate=framerate) as reader:
            for frame in reader:
                here = by_frame.get(frame.index, ())
                for pose in here:
                    person = people[pose.face.track]
                    looks[person.identity] += _looked(renderer, frame, pose, person)
                    waiting[person.identity] -= 1
                    if not waiting[person.identity]:  # looks are let go of as soon as may be: a street has thousands
                        drawn[person.identity] = renderer.draw(person.identity, looks.pop(person.identity), taken)
                meter.step(frame.index + 1, len(here))
                if frame.index >= last:
                    break
        meter.finish()
    drawn |= {identity: renderer.draw(identity, seen, taken) for identity, seen in looks.items()}
    casts = renderer.cast(list(drawn.values()), _together(list(drawn), plan, people))
    return dict(zip(drawn, casts, strict=True))


def _together(identities: Sequence[str], plan: Plan, people: Mapping[int, Person]) -> NDArray[np.bool_]:
    """[P, P] who has a track while the other has one: no track crosses a cut, so they are in one shot and one light."""
    spans = [
        (track.first, track.last, people[track.number].identity) for track in plan.tracks() if track.number in people
    ]
    row = {identity: k for k, identity in enumerate(identities)}
    first, last = (np.array([span[k] for span in spans], np.int64) for k in (0, 1))
    who = np.array([row[identity] for *_, identity in spans], np.int64)
    out = np.zeros((len(identities), len(identities)), np.bool_)
    for k, one in enumerate(who):
        out[one, who[(first <= last[k]) & (last >= first[k])]] = True
    return out


def _poses(plan: Plan, people: Mapping[int, Person], covered: frozenset[int]) -> dict[Place, _Pose]:
    """The frames in which to look at each track."""
    spans, found = plan.seen_spans(), dict[Place, _Pose]()
    with closing(plan.observations()) as groups:
        for frame, faces in groups:
            for face in faces:
                if face.track not in people or face.source not in {"detected", "edited"}:
                    continue
                first, last = spans[face.track]
                place = (face.track, (frame - first) * LOOKS // (last - first + 1))
                if place not in found or area(face.box) > area(found[place].face.box):
                    others = [other for other in faces if other is not face and other.track in covered]
                    found[place] = _Pose(face, others)
    return found


def _looked(renderer: FaceRenderer, frame: Frame, pose: _Pose, person: Person) -> Iterator[Look]:
    size = (frame.width, frame.height)
    region = renderer.region(pose.face, *size)
    if region is None:
        return
    rgb = read_region(frame, region)
    look = renderer.look(FaceJob(pose.face, person.identity, rgb, region, *size, pose.others, build=person.build))
    if look is not None:
        yield look
