"""`evaluate temporal` on drawn clips: a face that sways, and copies of which it is known what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from street import CardDetector, CardLandmarker, Walker, make_street

from vidanon.cli import main
from vidanon.errors import InputError, OutputError, PlanError, UsageError
from vidanon.evaluate import plots
from vidanon.evaluate.modes import MODES, mode_plan
from vidanon.evaluate.strips import strip, worst_moment
from vidanon.evaluate.temporal import Output, measure
from vidanon.media.probe import fingerprint
from vidanon.models.embeddings import SIDE as CROP
from vidanon.pipeline import scan as scan_stage
from vidanon.plan import Plan
from vidanon.settings import Settings
from vidanon.types import (
    N_FACE_POINTS,
    Detections,
    FloatArray,
    ImageArray,
    Observation,
    ScannedFace,
    ScannedFrame,
    Track,
)

FRAMES, WIDTH, HEIGHT, SIDE = 20, 160, 112, 56
UNKNOWN = np.full((N_FACE_POINTS, 2), np.nan, np.float32)


def texture(seed: int, height: int, width: int) -> ImageArray:
    """A random pattern with detail of a few px."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).standard_normal((height, width, 3)), (0, 0), 2.0)
    return np.clip(120 + 40 * noise / noise.std(), 0, 255).astype(np.uint8)


def place(number: int) -> tuple[int, int]:
    """Left and top of the face: two px to the right, then two to the left."""
    return 40 + 2 * abs(number % 16 - 8), 30


def film(path: Path, face: Callable[[int], int | None], *, frames: int = FRAMES, size: int = WIDTH) -> Path:
    """A clip of a patterned wall; `face` says which pattern the face has in a frame, None for the wall's own."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = size, HEIGHT, "yuv444p"
        stream.time_base = Fraction(1, 25)
        for number in range(frames):
            image = texture(99, HEIGHT, size)
            pattern = face(number)
            if pattern is not None:
                x, y = place(number)
                image[y : y + SIDE, x : x + SIDE] = texture(pattern, SIDE, SIDE)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv444p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def box(number: int, *, shift: float = 0.0) -> FloatArray:
    x, y = place(number)
    return np.array([x + shift, y, x + shift + SIDE, y + SIDE], np.float32)


def plan_of(clip: Path, path: Path, *, tracks: int = 1) -> Path:
    """A settled plan: the face is found in every frame, with a tremble, and the last two are only padded."""
    with Plan.create(
        path,
        source_name=clip.name,
        fingerprint=fingerprint(clip),
        width=WIDTH,
        height=HEIGHT,
        time_base=Fraction(1, 1000),
        settings_json="{}",
    ) as plan:
        for number in range(FRAMES):
            tremble = box(number, shift=3.0 * (-1) ** number)
            face = ScannedFace(tremble, 0.9, UNKNOWN, np.zeros(N_FACE_POINTS, np.float32), (0.0, 0.0))
            plan.append([ScannedFrame(number, 40 * number, (face,), 0.0, 0.0, (0.0, 0.0))])
        plan.finish_scan()
        seen = [Observation(n, 1, box(n), UNKNOWN, 0.9, "detected") for n in range(FRAMES - 2)]
        seen += [Observation(n, 1, box(n), UNKNOWN, 0.9, "padded") for n in range(FRAMES - 2, FRAMES)]
        plan.write_tracks([(Track(1, 0, FRAMES - 1, "track-1", "anonymize"), seen)] if tracks else [])
    return path


class Colours:
    """An embedder to whom a face is its mean colour."""

    def embed(self, crop: ImageArray) -> FloatArray:
        """[3] 0..1"""
        middle = crop[80:176, 80:176]
        return np.asarray(middle.reshape(-1, 3).mean(axis=0) / 255, np.float32)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source: one face, its pattern the same throughout."""
    return film(tmp_path_factory.mktemp("temporal") / "source.mkv", lambda _: 1)


@pytest.fixture(scope="module")
def copies(clip: Path) -> list[Output]:
    """Copies: nothing changed, a new face that moves along, a new face in every frame."""
    folder = clip.parent
    plan_of(clip, folder / "plan.vidanon")
    return [
        Output("bare", film(folder / "bare.mkv", lambda _: 1)),
        Output("steady", film(folder / "steady.mkv", lambda _: 2)),
        Output("flicker", film(folder / "flicker.mkv", lambda number: 10 + number)),
    ]


def test_a_steady_face_a_flickering_one_and_a_naked_one_are_told_apart(clip: Path, copies: list[Output]) -> None:
    """All that matters is in the figures: who is naked, who flickers, whose crop trembles."""
    measured = measure(clip, copies, clip.parent / "plan.vidanon", embedder=Colours())
    source, bare, steady, flicker = (c.whole for c in measured.report.clips)
    assert [c.name for c in measured.report.clips] == ["source", "bare", "steady", "flicker"]
    assert {f.faces for f in (source, bare, steady, flicker)} == {FRAMES - 2}
    assert (bare.naked, bare.coverage) == (FRAMES - 2, 0)
    assert (steady.naked, flicker.naked) == (0, 0)
    assert steady.coverage == pytest.approx(1, abs=0.02)
    assert bare.e_warp_ratio == pytest.approx(1)
    assert steady.e_warp is not None
    assert flicker.e_warp is not None
    assert steady.e_warp < flicker.e_warp / 10
    assert steady.t_of is not None
    assert flicker.t_of is not None
    assert steady.t_of < 0.1 < 5 * steady.t_of + 0.1 < flicker.t_of
    assert steady.step_p95 is not None
    assert flicker.step_median is not None
    assert steady.step_p95 < 0.01 < flicker.step_median
    assert source.jitter == pytest.approx(3, abs=0.6)
    assert steady.jitter is not None
    assert steady.jitter < 1
    assert measured.report.clips[2].tracks[0].size_px == pytest.approx(SIDE)


def test_every_nth_pair_is_embedded(clip: Path, copies: list[Output]) -> None:
    """What is slow can be thinned; pairs stay pairs."""
    measured = measure(clip, copies[1:2], clip.parent / "plan.vidanon", embedder=Colours(), every=4)
    steps = measured.series[1][1].step
    assert [i for i, step in enumerate(steps) if np.isfinite(step)] == list(range(1, FRAMES - 2, 4))


def test_who_stays_visible_on_purpose_is_no_naked_face(clip: Path, copies: list[Output], tmp_path: Path) -> None:
    """A kept track is not measured, and its detections are not faces nobody holds."""
    plan = plan_of(clip, tmp_path / "kept.vidanon")
    with Plan.open(plan) as opened:
        opened.set_action(1, "keep")
    report = measure(clip, copies[:1], plan).report
    assert (report.clips[1].whole.faces, report.clips[1].tracks) == (0, ())


def test_a_sure_detection_that_no_track_holds_is_a_face(clip: Path, copies: list[Output], tmp_path: Path) -> None:
    """A face that linking lost is naked where it shows."""
    plan = plan_of(clip, tmp_path / "lost.vidanon", tracks=0)
    report = measure(clip, copies[:2], plan).report
    assert [(c.whole.faces, c.whole.naked) for c in report.clips[1:]] == [(FRAMES, FRAMES), (FRAMES, 0)]


def test_clips_that_do_not_belong_together_are_refused(clip: Path, copies: list[Output], tmp_path: Path) -> None:
    """Another length, another size, another clip's plan."""
    plan = clip.parent / "plan.vidanon"
    with pytest.raises(InputError, match=r"short\.mkv: ends at frame 9"):
        measure(clip, [Output("short", film(tmp_path / "short.mkv", lambda _: 2, frames=9))], plan)
    wide = film(tmp_path / "wide.mkv", lambda _: 2, size=WIDTH + 16)
    with pytest.raises(InputError, match="176x112, the source is 160x112"):
        measure(clip, [Output("wide", wide)], plan)
    with pytest.raises(PlanError, match="another file"):
        measure(copies[2].path, copies[:1], plan)


def test_lips_that_follow_are_told_from_lips_that_do_not(clip: Path, copies: list[Output]) -> None:
    """Openings are measured on source and copy, in the same crop."""

    class Lips:
        """Sees a mouth that opens and closes in the source's pattern, and stays shut in any other."""

        calls = 0

        def locate(self, image: ImageArray, found: Detections) -> tuple[FloatArray, FloatArray]:
            """As `FaceLandmarker.locate`; called for the source, then for each copy."""
            clip_number, frame = self.calls % 3, self.calls // 3
            self.calls += 1
            points = np.full((len(found), N_FACE_POINTS, 2), np.nan, np.float32)
            opening = 10 * (1 + np.sin(frame)) if clip_number < 2 else 3.0
            points[0, 11], points[0, 12] = (128, 150), (128, 150 + opening)
            return points, np.ones((len(found), N_FACE_POINTS), np.float32)

    measured = measure(clip, copies[1:], clip.parent / "plan.vidanon", locator=Lips())
    _, follows, shut = (c.whole for c in measured.report.clips)
    assert follows.mouth == pytest.approx(1)
    assert shut.mouth == 0
    assert follows.lids is None


def test_a_plot_shows_every_clip(clip: Path, copies: list[Output], tmp_path: Path) -> None:
    """A PNG of some size, never in place of another."""
    pytest.importorskip("matplotlib")
    measured = measure(clip, copies[1:], clip.parent / "plan.vidanon")
    target = plots.plot(measured, tmp_path / "plot.png")
    image = cv2.imread(str(target))
    assert image is not None
    assert image.shape == (1000, 1200, 3)
    steady, flicker = ((image == colour).all(axis=2).sum() for colour in ([2, 95, 217], [179, 112, 117]))
    assert min(steady, flicker) > 50
    with pytest.raises(OutputError, match="exists"):
        plots.plot(measured, target)
    with pytest.raises(UsageError, match="no such track"):
        plots.plot(measured, tmp_path / "other.png", track=7)


def test_a_strip_shows_the_worst_moment_of_every_clip(clip: Path, copies: list[Output], tmp_path: Path) -> None:
    """Rows of consecutive frames around the jump that the last copy makes; the source above it."""
    jumps = Output("jumps", film(tmp_path / "jumps.mkv", lambda number: 2 if number < 10 else 3))
    plan = clip.parent / "plan.vidanon"
    measured = measure(clip, [jumps], plan)
    assert worst_moment(measured, 1) == 6
    target = strip(measured, clip, [jumps], plan, tmp_path / "strip.png")
    image = cv2.imread(str(target))
    assert image is not None
    cells = image[:, : 8 * CROP].reshape(2, -1, 8, CROP, 3).swapaxes(1, 2)[:, :, :CROP].astype(int)
    middle = cells[:, :, 90:160, 90:160]
    change = np.abs(np.diff(middle, axis=1)).mean(axis=(2, 3, 4))
    assert change[1].argmax() == 3
    assert change[1, 3] > 1.5 * change[0, 3]
    with pytest.raises(OutputError, match="exist"):
        strip(measured, clip, [jumps], plan, target)


def scanned_street(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A drawn street with one walker and stand-ins for the networks."""
    monkeypatch.setattr(scan_stage, "build_detector", lambda *_, **__: CardDetector(blind=frozenset({8})))
    monkeypatch.setattr(scan_stage.FaceLandmarker, "shipped", lambda *_: CardLandmarker())
    return make_street(
        folder / "street.mp4", [Walker(0, 19, lambda i: (30 + 3 * i, 40, 70 + 3 * i, 90))], frames=20, size=(160, 128)
    )


def test_modes_take_away_what_holds_a_face_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unsettled has the boxes as detected, per-frame moreover a name for every frame; edits hold in all of them."""
    street = scanned_street(tmp_path, monkeypatch)
    plan = tmp_path / "full.vidanon"
    scan_stage.scan(street, plan, settings=Settings())
    with Plan.open(plan) as opened:
        opened.set_identity(1, "Ada")
        frames = sum(len(group) for _, group in opened.observations())
    per_frame, unsettled, per_track, full = (
        mode_plan(plan, mode, tmp_path / f"{mode.name}.vidanon", settings=Settings()) for mode in MODES
    )
    assert full == per_track == plan
    assert [mode.settings(Settings()).render.blend_frames for mode in MODES[:3]] == [0, 0, 0]
    assert MODES[3].settings(Settings()) == Settings()
    with Plan.open(per_frame) as opened:
        names = [track.identity for track in opened.tracks()]
        assert len(set(names)) == len(names) == frames
        assert all(name.startswith("Ada") for name in names[1:])
        opened.require_settled()
    with Plan.open(unsettled) as opened:
        assert [track.identity for track in opened.tracks()] == ["Ada"]
        found = dict(opened.observations())
        for frame in opened.scanned():
            for face in frame.faces:
                np.testing.assert_allclose(found[frame.index][0].box, face.box, atol=0.51)
    assert not list(tmp_path.glob("*.rough"))
    assert {path.stat().st_mode & 0o777 for path in (per_frame, unsettled, full)} == {0o600}


def test_the_verb_renders_the_modes_and_tells_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One command from a clip to the table; and its JSON holds every track."""
    street = scanned_street(tmp_path, monkeypatch)
    common = ["--no-identity", "--progress", "none", "--set", "render.method=solid"]
    with pytest.raises(SystemExit) as left:
        main(["evaluate", "temporal", str(street), "--modes", "-o", str(tmp_path / "modes"), *common])
    out = capsys.readouterr().out
    assert left.value.code == 0
    assert [line.split() for line in out.splitlines() if line.startswith("measure")] == [
        ["measure", "source", "per-frame", "unsettled", "per-track", "full"]
    ]
    assert "naked face-frames" in out
    full = tmp_path / "modes" / "full.mp4"
    assert full.exists()
    plan = ["--plan", str(tmp_path / "modes" / "full.vidanon")]
    with pytest.raises(SystemExit) as left:
        main(["evaluate", "temporal", str(street), str(full), *plan, "--json", "--no-identity", "--progress", "none"])
    assert left.value.code == 0
    document = json.loads(capsys.readouterr().out)
    source, copy = document["clips"]
    assert (source["name"], copy["name"]) == ("source", "full.mp4")
    assert copy["whole"]["naked"] == 0
    assert len(copy["tracks"]) == 1


@pytest.mark.parametrize("arguments", [[], ["--modes"], ["copy.mp4", "--modes", "-o", "folder"]])
def test_the_verb_wants_either_copies_or_modes(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Neither, both, and modes without a folder are usage errors."""
    with pytest.raises(SystemExit) as left:
        main(["evaluate", "temporal", "clip.mp4", *arguments])
    assert left.value.code == UsageError.exit_code
    assert "name copies to measure" in capsys.readouterr().err


def test_embeddings_find_the_same_face_again() -> None:
    """One photograph in two crops is one person by dlib's own measure; a crop of another size is refused."""
    pytest.importorskip("dlib")
    pytest.importorskip("skimage")
    from skimage.data import astronaut

    from vidanon.evaluate.crops import Place
    from vidanon.models.embeddings import FaceEmbedder
    from vidanon.render.align import CROP_SCALE

    embedder = FaceEmbedder(scale=CROP_SCALE)
    picture = astronaut()

    def crop(x: float, y: float, size: float) -> ImageArray:
        matrix = Place.of(np.array([x, y, x + size, y + size], np.float32), UNKNOWN).matrix
        matrix = matrix + np.array([[0, 0, -0.5], [0, 0, -0.5]])
        return np.asarray(cv2.warpAffine(picture, matrix, (CROP, CROP), flags=cv2.INTER_AREA), np.uint8)

    one, other = embedder.embed(crop(170, 60, 110)), embedder.embed(crop(173, 62, 106))
    assert one.shape == (128,)
    assert np.linalg.norm(one - other) < 0.2
    assert np.linalg.norm(one - embedder.embed(crop(330, 380, 110))) > 0.4
    with pytest.raises(ValueError, match="uint8"):
        embedder.embed(picture)
