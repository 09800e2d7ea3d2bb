"""A plan as JSON and in numbers."""

from __future__ import annotations

import io
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vidanon.plan import Plan
from vidanon.plan.export import export, write_json
from vidanon.plan.summary import summary
from vidanon.types import FACE_POINTS, N_FACE_POINTS, Observation, ScannedFace, ScannedFrame, Track


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    plan = Plan.create(
        tmp_path / "clip.plan",
        source_name='quote " and ä.mp4',
        fingerprint="f00d",
        width=640,
        height=360,
        time_base=Fraction(1, 100),
        settings_json='{"track": {"min_iou": 0.2}}',
    )
    points = np.full((N_FACE_POINTS, 2), np.nan, np.float32)
    points[0] = (1.5, 2.25)
    box = np.array([10, 10, 30, 50], np.float32)
    face = ScannedFace(box, 0.9, points, np.zeros(N_FACE_POINTS, np.float32), (0.0, 0.0))
    plan.append([ScannedFrame(i, 100 + 50 * i, (face,) * (i % 2), 0.0, 0.0, (0.0, 0.0)) for i in range(4)])
    plan.finish_scan()
    items = [Observation(i, 1, box, points, 0.5 + i / 10, "detected" if i == 1 else "padded") for i in range(3)]
    plan.write_tracks([(Track(1, 0, 2, "track-1", "anonymize"), items)])
    plan.set_action(1, "keep")
    return plan


def test_the_export_is_valid_json_with_every_frame(plan: Plan) -> None:
    """Any JSON reader gets the whole plan; unknown keypoints are null, never NaN."""
    with plan:
        stream = io.StringIO()
        write_json(plan, stream)
    got = json.loads(stream.getvalue(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert got["source"] == 'quote " and ä.mp4'
    assert got["settings"] == {"track": {"min_iou": 0.2}}
    assert got["tracks"] == [{"number": 1, "first": 0, "last": 2, "identity": "track-1", "action": "keep"}]
    assert got["edits"] == [{"track": 1, "kind": "action", "value": "keep", "applied": True}]
    assert [(f["index"], f["pts"], f["seconds"], len(f["faces"])) for f in got["frames"]] == [
        (0, 100, 1.0, 1),
        (1, 150, 1.5, 1),
        (2, 200, 2.0, 1),
        (3, 250, 2.5, 0),
    ]
    face = got["frames"][1]["faces"][0]
    assert face["box"] == [10, 10, 30, 50]
    assert face["source"] == "detected"
    assert face["keypoints"].pop("right_eye") == [1.5, 2.25]
    assert face["keypoints"] == dict.fromkeys(FACE_POINTS[1:])


def test_the_export_of_a_clip_without_frames_is_valid_json(tmp_path: Path) -> None:
    """An empty scan is a document with no frames."""
    with Plan.create(
        tmp_path / "e.plan",
        source_name="e",
        fingerprint="",
        width=1,
        height=1,
        time_base=Fraction(1, 25),
        settings_json="not json",
    ) as plan:
        got = json.loads("".join(export(plan)))
        numbers = summary(plan)
    assert (got["frames"], got["tracks"], got["settings"]) == ([], [], "not json")
    assert (numbers.frames, numbers.faces, numbers.tracks) == (0, 0, ())


def test_the_summary_counts_what_the_plan_holds(plan: Plan) -> None:
    """The numbers of `plan show` are those of the rows."""
    with plan:
        numbers = summary(plan)
    assert (numbers.frames, numbers.seconds, numbers.detections) == (4, 1.5, 2)
    assert (numbers.faces, numbers.frames_with_faces) == (3, 3)
    (one,) = numbers.tracks
    assert one.observations == {"detected": 1, "padded": 2}
    assert (one.first_seconds, one.last_seconds, one.mean_size, one.action) == (0.0, 1.0, 40.0, "keep")
    assert one.lowest_score == pytest.approx(0.5)
