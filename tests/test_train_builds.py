"""How faces are built: the statistics a new build is drawn from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vidanon.errors import InputError
from vidanon.render.shape import USUAL, VARIETY
from vidanon.train.builds import Builds, measure, moods_of, variety
from vidanon.types import FACE_POINT_INDEX, N_FACE_POINTS

FACES = Path(__file__).parents[2] / "shared" / "data" / "faces"


def test_what_a_mood_explains_is_no_variety() -> None:
    """Two traits vary on their own, both nod along; only the former is left, heavy faces count more."""
    rng = np.random.default_rng(0)
    own = rng.normal(0, (2.0, 0.5), (20000, 2))
    nod, weights = rng.normal(0, 1, (20000, 1)), rng.uniform(0.1, 1, 20000)
    mean, factor = variety(own + nod * (3.0, -1.0) + (10.0, 20.0), nod, weights)
    np.testing.assert_allclose(mean, (10, 20), atol=0.1)
    np.testing.assert_allclose(factor, [[2, 0], [0, 0.5]], atol=0.05)
    own[:100], weights[:100] = 1000, 0
    np.testing.assert_allclose(variety(own, nod, weights)[1], [[2, 0], [0, 0.5]], atol=0.05)


@pytest.mark.parametrize(
    ("which", "names"),
    [
        (0, ("jaw_0", "jaw_8")),
        (1, ("mouth_right", "mouth_left")),
        (2, ("lip_lower_inner",)),
        (3, ("right_lid_lower", "left_lid_lower")),
    ],
)
def test_a_mood_is_told_from_its_points(which: int, names: tuple[str, ...]) -> None:
    """Moving them down by a tenth changes that mood by a tenth, and no other but the height of an opened mouth."""
    points = np.full((N_FACE_POINTS, 2), 0.5, np.float32)
    before = moods_of(points)
    for name in names:
        points[FACE_POINT_INDEX[name], 1] += 0.1
    change = moods_of(points) - before
    assert change[which] == pytest.approx(0.1)
    assert np.abs(np.delete(change, which)).max() <= 0.05 + 1e-6


def test_a_set_without_enough_faces_says_so(tmp_path: Path) -> None:
    """No set, or ten faces."""
    with pytest.raises(InputError):
        measure(Builds(tmp_path, tmp_path / "b.json"))
    kp, pose = np.full((10, 70, 2), 128, np.float16), np.zeros((10, 4, 3), np.float16)
    box = np.tile(np.array([60, 60, 200, 200], np.float16), (10, 1))
    np.savez(tmp_path / "labels.npz", kp=kp, pose=pose, box=box, split=np.full(10, "train"))
    with pytest.raises(InputError, match="are needed"):
        measure(Builds(tmp_path, tmp_path / "b.json"))
    assert not (tmp_path / "b.json").exists()


@pytest.mark.skipif(not FACES.exists(), reason="the face set is not here")
def test_what_ships_is_what_is_measured(tmp_path: Path) -> None:
    """The numbers in render/shape.py come from this command, and from nowhere else."""
    found = json.loads(measure(Builds(FACES, tmp_path / "b.json")).read_text())
    np.testing.assert_allclose(found["usual"], USUAL, atol=1e-4)
    np.testing.assert_allclose(found["variety"], VARIETY, atol=2e-5)
