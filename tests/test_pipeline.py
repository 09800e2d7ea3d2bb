"""The whole way of a frame, on drawn streets with known faces."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from street import CardDetector, CardLandmarker, Walker, cards_in, make_street

from vidanon.errors import InputError, OutputError, PlanError, RenderError, UsageError
from vidanon.media.compare import compare
from vidanon.media.probe import fingerprint
from vidanon.media.reader import Reader
from vidanon.models.generator import Generator, GeneratorConfig
from vidanon.models.painting import CpuPainter
from vidanon.pipeline import render as render_stage
from vidanon.pipeline import run as run_stage
from vidanon.pipeline import scan as scan_stage
from vidanon.pipeline.events import Event, Progress, Started
from vidanon.plan.store import Plan
from vidanon.render.align import face_pose
from vidanon.render.generate import FacePainter
from vidanon.render.mask import core_mask, outline_px
from vidanon.settings import OutputSettings, RenderSettings, RunSettings, Settings
from vidanon.types import ImageArray, Region

KEY = bytes(range(32))
SOLID = Settings(
    render=RenderSettings(method="solid"),
    output=OutputSettings(crf=6, encoder_preset="ultrafast"),
    run=RunSettings(device="cpu", threads=1),
)
GAN = msgspec.structs.replace(SOLID, render=RenderSettings(method="gan"))


def walkers() -> list[Walker]:
    """One that crosses, one that stands, one that comes late."""
    return [
        Walker(0, 99, lambda n: (10 + 3 * n, 30, 40 + 3 * n, 66)),
        Walker(0, 99, lambda _: (150, 90, 178, 124)),
        Walker(14, 99, lambda n: (60, 100 - n, 82, 127 - n)),
    ]


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> Callable[..., CardDetector]:
    """Puts the stand-in detector and landmarker in place; call it for a fresh one."""
    monkeypatch.setattr(scan_stage.FaceLandmarker, "shipped", lambda _: CardLandmarker())

    def place(**how: Any) -> CardDetector:
        detector = CardDetector(**how)
        monkeypatch.setattr(scan_stage, "build_detector", lambda *_, **__: detector)
        return detector

    place()
    return place


@pytest.fixture
def tiny_painter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small untrained generator in place of the shipped one."""
    torch.manual_seed(5)
    network = Generator(GeneratorConfig(resolution=32, latent_dim=16, width=128, max_channels=16))
    monkeypatch.setattr(FacePainter, "shipped", classmethod(lambda cls, device: cls(network, device)))


def frames_of(path: Path) -> list[ImageArray]:
    with Reader(path) as reader:
        return [frame.rgb() for frame in reader]


def with_batch(settings: Settings, size: int) -> Settings:
    return msgspec.structs.replace(settings, run=msgspec.structs.replace(settings.run, batch_size=size))


@pytest.mark.usefixtures("cards")
def test_no_card_shows_in_any_frame_of_the_output(tmp_path: Path) -> None:
    """Every face of every frame is covered, and what lies far from faces stays as it was."""
    source = make_street(tmp_path / "in.mp4", walkers(), frames=40)
    report = run_stage.anonymize([source], tmp_path / "out.mp4", settings=SOLID)
    assert report.ok
    assert report.files[0].frames == 40
    assert report.files[0].fallbacks == 0
    before, after = frames_of(source), frames_of(tmp_path / "out.mp4")
    for number, (a, b) in enumerate(zip(before, after, strict=True)):
        assert cards_in(a).any(), number
        assert not cards_in(b).any(), f"a card shows in frame {number}"
    corner = (slice(0, 24), slice(0, 8))
    assert (
        max(np.abs(a[corner].astype(int) - b[corner].astype(int)).max() for a, b in zip(before, after, strict=True))
        < 24
    )


def test_frames_in_which_the_detector_was_blind_are_covered_too(cards: Any, tmp_path: Path) -> None:
    """Gaps of up to ten frames, and a late start, are filled from both sides."""
    cards(blind=frozenset({0, 1, 7, 8, *range(15, 25), 33, 38, 39}))
    source = make_street(tmp_path / "in.mp4", walkers(), frames=40)
    run_stage.anonymize([source], tmp_path / "out.mp4", settings=SOLID)
    naked = [n for n, image in enumerate(frames_of(tmp_path / "out.mp4")) if cards_in(image).sum() > 4]
    assert naked == []


@pytest.mark.usefixtures("cards")
def test_a_cut_ends_every_track(tmp_path: Path) -> None:
    """No track has observations on both sides of a hard cut."""
    source = make_street(tmp_path / "in.mp4", walkers(), frames=40, cut_at=20)
    scan_stage.scan(source, tmp_path / "p", settings=SOLID)
    with Plan.open(tmp_path / "p") as plan:
        spans = [(track.first, track.last) for track in plan.tracks()]
    assert spans
    assert all(last < 20 or first >= 20 for first, last in spans)


@pytest.mark.usefixtures("cards", "tiny_painter")
@pytest.mark.parametrize("size", [(199, 143), (200, 144)])
def test_the_copy_is_exact_in_everything_but_the_faces(tmp_path: Path, size: tuple[int, int]) -> None:
    """Frame count, times and size are the source's, odd sizes too."""
    fmt = "yuv420p" if size[0] % 2 == 0 else "yuv444p"
    source = make_street(tmp_path / "in.mp4", walkers(), frames=20, size=size, pix_fmt=fmt)
    report = run_stage.anonymize([source], tmp_path / "out.mp4", settings=GAN)
    assert report.files[0].painted == {"gan": report.files[0].faces}
    result = compare(source, tmp_path / "out.mp4")
    assert result.frames_in == result.frames_out == 20
    assert result.pts_equal
    with Reader(tmp_path / "out.mp4") as reader:
        assert (reader.info.width, reader.info.height) == size


@pytest.mark.usefixtures("cards", "tiny_painter")
def test_source_pixels_inside_the_mask_have_no_say_in_the_output(tmp_path: Path) -> None:
    """With a fixed plan, a clip with other faces in the same masks gives bit-identical frames."""
    street = walkers()[:2]
    settings = msgspec.structs.replace(GAN, output=OutputSettings(codec="ffv1"))
    source = make_street(tmp_path / "a.mkv", street, frames=12, codec="ffv1")
    scan_stage.scan(source, tmp_path / "a.plan", settings=settings)
    with Plan.open(tmp_path / "a.plan") as plan:
        planned = dict(plan.observations())
    random = np.random.default_rng(0)

    def other_faces(number: int, planes: ImageArray) -> ImageArray:
        height, width = planes.shape[0] * 2 // 3, planes.shape[1]
        planes = planes.copy()
        noise = random.integers(16, 236, planes.shape, np.uint8)
        for item in planned[number]:
            outline = outline_px(face_pose(item.box, item.points), item.points, margin=settings.render.mask_margin)
            core = core_mask(outline, Region(0, 0, width, height))
            planes[:height][core] = noise[:height][core]
            # a chroma sample belongs to the face if all four of its pixels do
            chroma = core.reshape(height // 2, 2, width // 2, 2).all((1, 3))
            flat = planes[height:].reshape(2, height // 2, width // 2)
            flat[:, chroma] = noise[height:].reshape(flat.shape)[:, chroma]
        return planes

    twin = make_street(tmp_path / "b.mkv", street, frames=12, codec="ffv1", edit=other_faces)
    (tmp_path / "b.plan").write_bytes((tmp_path / "a.plan").read_bytes())
    with sqlite3.connect(tmp_path / "b.plan") as db:
        db.execute("UPDATE plan SET fingerprint = ?", (fingerprint(twin),))
    db.close()
    for clip, name in ((source, "a"), (twin, "b")):
        render_stage.render(clip, tmp_path / f"{name}.plan", tmp_path / f"{name}.out.mkv", settings=settings, key=KEY)
    same = list(zip(frames_of(source), frames_of(twin), strict=True))
    assert all((a != b).any() for a, b in same), "the sources differ in every frame"
    for number, (a, b) in enumerate(
        zip(frames_of(tmp_path / "a.out.mkv"), frames_of(tmp_path / "b.out.mkv"), strict=True)
    ):
        assert (a == b).all(), f"frame {number}"


@pytest.mark.usefixtures("tiny_painter")
def test_batch_size_and_a_resumed_scan_leave_the_output_as_it_is(cards: Any, tmp_path: Path) -> None:
    """Batches of 1, 4 and 7, and a scan stopped in the middle, give the same frames bit by bit."""
    source = make_street(tmp_path / "in.mp4", walkers(), frames=30)
    outputs = []
    for size in (1, 4, 7):
        cards(blind=frozenset({5, 6}))
        scan_stage.scan(source, tmp_path / f"{size}.plan", settings=with_batch(GAN, size))
        target = tmp_path / f"{size}.mp4"
        render_stage.render(source, tmp_path / f"{size}.plan", target, settings=with_batch(GAN, size), key=KEY)
        outputs.append(frames_of(target))
    cards(blind=frozenset({5, 6}), fail_at=17)
    with pytest.raises(KeyboardInterrupt):
        scan_stage.scan(source, tmp_path / "r.plan", settings=with_batch(GAN, 4))
    with Plan.open(tmp_path / "r.plan") as plan:
        done = plan.header.frames
    assert 10 <= done < 17
    cards(blind=frozenset({5 - done + 2, 6 - done + 2}))
    report = scan_stage.scan(source, tmp_path / "r.plan", settings=with_batch(GAN, 4))
    assert report.resumed_at == done
    render_stage.render(source, tmp_path / "r.plan", tmp_path / "r.mp4", settings=GAN, key=KEY)
    outputs.append(frames_of(tmp_path / "r.mp4"))
    for other in outputs[1:]:
        assert all((a == b).all() for a, b in zip(outputs[0], other, strict=True))


@pytest.mark.usefixtures("cards", "tiny_painter")
def test_another_key_gives_another_face_and_the_same_key_the_same(tmp_path: Path) -> None:
    """The face is a function of key and identity."""
    source = make_street(tmp_path / "in.mp4", walkers()[:2], frames=6)
    scan_stage.scan(source, tmp_path / "p", settings=GAN)
    outputs = []
    for number, key in enumerate((KEY, KEY, KEY[::-1])):
        target = tmp_path / f"{number}.mp4"
        render_stage.render(source, tmp_path / "p", target, settings=GAN, key=key)
        outputs.append(frames_of(target))
    assert all((a == b).all() for a, b in zip(outputs[0], outputs[1], strict=True))
    assert any((a != b).any() for a, b in zip(outputs[0], outputs[2], strict=True))


@pytest.mark.usefixtures("cards")
def test_a_kept_track_stays_visible_and_the_others_do_not(tmp_path: Path) -> None:
    """The reporter herself may stay in the picture."""
    source = make_street(tmp_path / "in.mp4", walkers()[:2], frames=8)
    scan_stage.scan(source, tmp_path / "p", settings=SOLID)
    with Plan.open(tmp_path / "p") as plan:
        standing = next(
            items[0].track for _, items in plan.observations(0, 1) for items in [sorted(items, key=lambda o: -o.box[0])]
        )
        plan.set_action(standing, "keep")
    render_stage.render(source, tmp_path / "p", tmp_path / "out.mp4", settings=SOLID, key=KEY)
    for image in frames_of(tmp_path / "out.mp4"):
        assert cards_in(image)[90:124, 150:178].mean() > 0.5
        assert not cards_in(image)[20:75].any()


@pytest.mark.usefixtures("cards", "tiny_painter")
def test_a_generator_that_fails_leaves_a_covered_face_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the network raises or returns, the original never shows."""
    source = make_street(tmp_path / "in.mp4", walkers()[:1], frames=6)
    for number, failure in enumerate((RuntimeError("boom"), None)):

        def broken(self: CpuPainter, *args: Any, failure: Exception | None = failure) -> torch.Tensor:
            if failure:
                raise failure
            return torch.full((len(args[0]), 3, 32, 32), torch.nan)

        monkeypatch.setattr(CpuPainter, "__call__", broken)
        target = tmp_path / f"{number}.mp4"
        report = run_stage.anonymize([source], target, settings=GAN)
        assert report.files[0].fallbacks == report.files[0].faces > 0
        assert report.files[0].painted == {"solid": report.files[0].faces}
        assert not any(cards_in(image).any() for image in frames_of(target))


@pytest.mark.usefixtures("cards")
def test_whatever_stops_a_render_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C and errors in the middle: nothing at the final path, no .part, the plan is kept."""
    source = make_street(tmp_path / "in.mp4", walkers(), frames=20)
    original = render_stage.paste
    for error in (KeyboardInterrupt(), RenderError("no cover"), MemoryError(), RuntimeError("boom")):
        count = 0

        def stops(*args: Any, error: BaseException = error) -> Any:
            nonlocal count
            count += 1
            if count == 12:
                raise error
            return original(*args)

        monkeypatch.setattr(render_stage, "paste", stops)
        try:
            report = run_stage.anonymize([source], tmp_path / "out" / "o.mp4", settings=SOLID)
            failure = report.failures[0][1]
            assert failure is error or failure.__cause__ is error
        except KeyboardInterrupt:
            pass
        left = sorted(p.name for p in (tmp_path / "out").rglob("*") if p.is_file())
        assert left == ["o.mp4.vidanon", "o.mp4.vidanon.key"]


@pytest.mark.usefixtures("cards")
def test_folders_are_mirrored_and_one_bad_file_does_not_stop_the_rest(tmp_path: Path) -> None:
    """Each good input gets its output at the same relative path, the bad one is reported."""
    tree = tmp_path / "in"
    (tree / "a").mkdir(parents=True)
    make_street(tree / "a" / "one.mp4", walkers(), frames=4)
    make_street(tree / "two.mkv", walkers(), frames=4)
    (tree / "bad.mp4").write_text("not a film")
    (tree / "notes.txt").write_text("ignored")
    events: list[Event] = []
    report = run_stage.anonymize([tree], tmp_path / "out", settings=SOLID, listen=events.append)
    assert [f.target.relative_to(tmp_path / "out").as_posix() for f in report.files] == ["a/one.mp4", "two.mkv"]
    assert [(path.name, type(error)) for path, error in report.failures] == [("bad.mp4", InputError)]
    assert not (tmp_path / "out" / "bad.mp4").exists()
    assert [e.number for e in events if isinstance(e, Started)] == [1, 2, 3]
    assert all(e.frame <= (e.frames_total or 0) for e in events if isinstance(e, Progress))


@pytest.mark.usefixtures("cards")
def test_requests_that_make_no_sense_are_refused_before_any_work(tmp_path: Path) -> None:
    """Collisions, an output that is an input, a missing input, an existing output."""
    one = make_street(tmp_path / "c.mp4", walkers(), frames=3)
    other = tmp_path / "more"
    other.mkdir()
    make_street(other / "c.mp4", walkers(), frames=3)
    before = one.read_bytes()
    with pytest.raises(UsageError, match="both be written"):
        run_stage.anonymize([one, other / "c.mp4"], tmp_path / "out", settings=SOLID)
    with pytest.raises(InputError, match="no such file"):
        run_stage.anonymize([tmp_path / "none.mp4"], tmp_path / "out", settings=SOLID)
    with pytest.raises(UsageError, match="no input"):
        run_stage.anonymize([], tmp_path / "out", settings=SOLID)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no video or picture"):
        run_stage.anonymize([tmp_path / "empty"], tmp_path / "out", settings=SOLID)
    report = run_stage.anonymize([one], one, settings=SOLID)
    assert isinstance(report.failures[0][1], OutputError)
    (tmp_path / "there.mp4").write_bytes(b"precious")
    report = run_stage.anonymize([one], tmp_path / "there.mp4", settings=SOLID)
    assert isinstance(report.failures[0][1], OutputError)
    assert (tmp_path / "there.mp4").read_bytes() == b"precious"
    assert one.read_bytes() == before


@pytest.mark.usefixtures("cards")
def test_a_plan_of_another_clip_or_other_settings_is_refused(tmp_path: Path) -> None:
    """A plan is used for the clip it was made of, and with the detection it was made with."""
    one = make_street(tmp_path / "one.mp4", walkers(), frames=4)
    two = make_street(tmp_path / "two.mp4", walkers()[:1], frames=4)
    scan_stage.scan(one, tmp_path / "p", settings=SOLID)
    with pytest.raises(PlanError, match="another file"):
        scan_stage.scan(two, tmp_path / "p", settings=SOLID)
    with pytest.raises(PlanError, match="another file"):
        render_stage.render(two, tmp_path / "p", tmp_path / "o.mp4", settings=SOLID, key=KEY)
    finer = msgspec.structs.replace(SOLID, detect=msgspec.structs.replace(SOLID.detect, min_face_px=6.0))
    with pytest.raises(PlanError, match="other detection settings"):
        scan_stage.scan(one, tmp_path / "p", settings=finer)
    assert not (tmp_path / "o.mp4").exists()


MEMORY = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from street import CardDetector, CardLandmarker
from test_pipeline import SOLID
from vidanon.pipeline import run, scan
scan.FaceLandmarker.shipped = lambda _: CardLandmarker()
scan.build_detector = lambda settings, **_: CardDetector()
report = run.anonymize([Path({source!r})], Path({target!r}), settings=SOLID)
assert report.ok, report.failures
print(report.files[0].peak_memory_mib)
"""


def test_memory_does_not_grow_with_the_length_of_the_clip(tmp_path: Path) -> None:
    """1,200 frames want what 300 want, within 60 MiB; to hold the 900 others as RGB would take 158."""
    peaks = []
    for frames in (300, 1200):
        loop = [Walker(0, frames, lambda n: (20 + 60 * np.sin(n / 30) + 60, 30, 50 + 60 * np.sin(n / 30) + 60, 66))]
        source = make_street(tmp_path / f"{frames}.mp4", loop, frames=frames, size=(320, 192))
        code = MEMORY.format(
            tests=str(Path(__file__).parent), source=str(source), target=str(tmp_path / f"o{frames}.mp4")
        )
        done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        peaks.append(float(done.stdout))
    assert peaks[1] - peaks[0] < 60, peaks


@pytest.mark.usefixtures("cards")
def test_where_faces_overlap_the_larger_one_lies_on_top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Patches are pasted smallest face first: a chin taken for a face never lies over the face it belongs to."""
    overlapping = [Walker(0, 9, lambda _: (60, 30, 110, 90)), Walker(0, 9, lambda _: (120, 60, 150, 96))]
    source = make_street(tmp_path / "in.mp4", overlapping, frames=6)
    pasted: list[list[int]] = []
    original = render_stage.paste

    def spy(frame: Any, patches: Any) -> Any:
        pasted.append([patch.region.width * patch.region.height for patch in patches])
        return original(frame, patches)

    monkeypatch.setattr(render_stage, "paste", spy)
    assert run_stage.anonymize([source], tmp_path / "out.mp4", settings=SOLID).ok
    assert len(pasted) == 6
    assert all(len(areas) == 2 and areas == sorted(areas) for areas in pasted)
