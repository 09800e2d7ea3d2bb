"""Who is hardly a face gets no face: the back of a head, a ball; and nobody is painted over somebody else's hair."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from faulty import GAN, stand_ins, street_clip
from street import CardDetector
from test_plan_store import empty_frames, new_plan, track

from vidanon.models.generator import Generator, GeneratorConfig
from vidanon.pipeline import render as render_stage
from vidanon.pipeline import run as run_stage
from vidanon.pipeline.doubts import certainties
from vidanon.pipeline.events import Event, Note
from vidanon.plan.store import Plan
from vidanon.render.generate import FacePainter
from vidanon.settings import RenderSettings
from vidanon.types import N_FACE_POINTS, Detections, FloatArray, ImageArray, Observation

KEY = bytes(range(32))


class Doubting(CardDetector):
    """Is sure of the card on the left in every frame, and of the one on the right in every fourth."""

    def _one(self, image: ImageArray) -> Detections:
        number, found = self.seen, super()._one(image)
        right = found.boxes[:, 0] > 90
        doubted = np.where(right & (number % 4 > 0), np.float32(0.5), found.scores)
        return replace(found, scores=doubted)


@pytest.fixture
def scanned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A street of two cards, one doubtful, and its plan."""
    stand_ins(monkeypatch, detector=Doubting())
    torch.manual_seed(5)
    network = Generator(GeneratorConfig(resolution=32, latent_dim=16, width=128, max_channels=16))
    monkeypatch.setattr(FacePainter, "shipped", classmethod(lambda cls, device: cls(network, device)))
    source = street_clip(tmp_path / "in.mp4")
    assert run_stage.anonymize([source], tmp_path / "first.mp4", settings=GAN).ok
    return source, tmp_path / "first.mp4.vidanon"


def painted(scanned: tuple[Path, Path], target: Path, **how: object) -> tuple[dict[str, int], list[str]]:
    settings = msgspec.structs.replace(GAN, render=RenderSettings(method="gan", **how))  # type: ignore[arg-type]
    told: list[Event] = []
    report = render_stage.render(*scanned, target, settings=settings, key=KEY, listen=told.append)
    assert report.fallbacks == 0
    return report.painted, [event.message for event in told if isinstance(event, Note)]


def test_who_is_hardly_a_face_is_covered_without_one_and_named(scanned: tuple[Path, Path], tmp_path: Path) -> None:
    """As the setting says, in all of the clip; a person who is given a name gets a face."""
    with Plan.open(scanned[1]) as plan:
        (doubtful,) = (number for number, sure in certainties(plan).items() if sure < RenderSettings().doubt)
    for method in ("blur", "solid"):
        counts, notes = painted(scanned, tmp_path / f"{method}.mp4", doubtful=method)
        assert set(counts) == {"gan", method}
        assert counts["gan"] >= 12
        assert counts[method] >= 12
        assert [n for n in notes if f"tracks {doubtful} are" in n and method in n]
    for how in ({"doubtful": "gan"}, {"doubt": 0.0}):
        assert set(painted(scanned, tmp_path / f"{len(how)}{next(iter(how))}.mp4", **how)[0]) == {"gan"}
    with Plan.open(scanned[1]) as plan:
        plan.set_name(doubtful, "Ms Doe")
    counts, notes = painted(scanned, tmp_path / "named.mp4")
    assert set(counts) == {"gan"}
    assert not notes


def test_what_is_hardly_a_face_covers_no_new_one(
    scanned: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is pasted first in every frame, though the larger of two faces comes last otherwise."""
    with Plan.open(scanned[1]) as plan:
        tracks = plan.tracks()
        seen = {t.number: [o for _, faces in plan.observations() for o in faces if o.track == t.number] for t in tracks}
        larger = np.array([-9, -9, 9, 9], np.float32)
        sure = certainties(plan)
        grown = {
            n: [replace(o, box=o.box + larger) if sure[n] < RenderSettings().doubt else o for o in items]
            for n, items in seen.items()
        }
        plan.write_tracks([(t, grown[t.number]) for t in tracks])
    orders = []
    real = render_stage.paste
    monkeypatch.setattr(
        render_stage,
        "paste",
        lambda frame, patches: orders.append([p.region.x0 for p in patches]) or real(frame, patches),
    )
    painted(scanned, tmp_path / "out.mp4", doubtful="solid")
    assert len(orders) == 12
    assert all(len(order) == 2 and order[0] > order[1] for order in orders)


@pytest.mark.parametrize(
    ("moved", "score", "left"),
    [((0, 130), 0.7, 0.35), ((30, 40), 0.7, 0.35), ((150, 0), 0.7, 0.7), ((0, 130), 0.85, 0.85)],
    ids=["neck", "on the face", "beside it", "found for certain"],
)
def test_a_neck_the_detector_is_sure_of_is_doubted_all_the_same(
    moved: tuple[int, int], score: float, left: float, tmp_path: Path
) -> None:
    """What always lies below a close-up's chin, or on its face, is a part of it, unless it is found for certain."""
    points = np.full((N_FACE_POINTS, 2), np.nan, np.float32)
    face = np.array([100, 40, 220, 200], np.float32)
    part = np.array([120, 60, 200, 140], np.float32) + np.tile(np.float32(moved), 2)

    def seen(number: int, box: FloatArray, score: float) -> list[Observation]:
        return [Observation(i, number, box, points, score, "detected") for i in range(10)]

    with new_plan(tmp_path) as plan:
        plan.append(empty_frames(10))
        plan.finish_scan()
        boxes = {1: (face, 0.95), 2: (part, score)}
        plan.write_tracks([(track(n, 0, 9), seen(n, *how)) for n, how in boxes.items()])
        assert certainties(plan) == pytest.approx({1: 0.95, 2: left})
        plan.set_name(2, "child")
        assert certainties(plan)[2] == 1


@pytest.mark.parametrize(("shift", "left_out"), [(5, True), (16, False)])
def test_who_is_behind_a_face_that_is_seen_is_left_to_it(
    *, shift: float, left_out: bool, scanned: tuple[Path, Path], tmp_path: Path
) -> None:
    """More than half of the one that is thought to be hidden lies in the other: its hair is not painted over."""
    with Plan.open(scanned[1]) as plan:
        tracks = plan.tracks()
        seen = {t.number: [o for _, faces in plan.observations() for o in faces if o.track == t.number] for t in tracks}
        front, back = sorted(seen, key=lambda number: float(seen[number][0].box[0]), reverse=True)
        behind = [
            replace(o, track=back, source="hidden", box=o.box + np.float32(shift)) for o in seen[front] if o.frame > 4
        ]
        own = [o for o in seen[back] if o.frame <= 4]
        plan.write_tracks([(t, own + behind if t.number == back else seen[t.number]) for t in tracks])
    counts, _ = painted(scanned, tmp_path / "out.mp4", doubtful="gan")
    assert counts["gan"] == len(seen[front]) + len(own) + (0 if left_out else len(behind))
