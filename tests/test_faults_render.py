"""Fail closed, while painting: generator, blend, cover, paste, encoder, journal, muxer, disk, folder.

Each stage fails once, in every way it can. Either the face is covered and counted as a fallback, or the exit code is
not 0 and there is nothing at the final path; whatever else is left holds no packet of the source.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import av.error
import msgspec
import pytest
import torch
from faulty import GAN, SOLID, covered, failing, journaled, on_a_full_disk, packets, refused, stand_ins, street_clip
from PIL import Image

import vidanon.render.compose as compose_module
from vidanon.media import stills, work
from vidanon.media import writer as writer_module
from vidanon.media.encoding import PicturePreparer, SegmentEncoder
from vidanon.media.extras import ExtrasCopier
from vidanon.media.journal import Journal
from vidanon.media.mux import Muxer
from vidanon.media.work import WorkFolder, work_folder
from vidanon.models.generator import Generator, GeneratorConfig
from vidanon.models.painting import CpuPainter
from vidanon.pipeline import render as render_stage
from vidanon.pipeline import run as run_stage
from vidanon.pipeline import scan as scan_stage
from vidanon.render.generate import FacePainter
from vidanon.settings import Settings

BOOM = RuntimeError("boom")
NO_SPACE = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A street with two cards in each of twelve frames, detectors that know them, a small untrained generator."""
    stand_ins(monkeypatch)
    torch.manual_seed(5)
    network = Generator(GeneratorConfig(resolution=32, latent_dim=16, width=128, max_channels=16))
    monkeypatch.setattr(FacePainter, "shipped", classmethod(lambda cls, device: cls(network, device)))
    return street_clip(tmp_path / "in.mp4")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "out" / "safe.mp4"


@pytest.fixture
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of four frames, so that a render that stops late has something to go on with."""
    real = render_stage.Writer
    monkeypatch.setattr(render_stage, "Writer", lambda *a, **n: real(*a, **n, segment_frames=4))


def answers(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., torch.Tensor]:
    real = CpuPainter.__call__
    return lambda self, *inputs: change(real(self, *inputs))


GENERATOR_FAULTS: dict[str, Callable[..., Any]] = {
    "raises": failing(CpuPainter.__call__, BOOM),
    "raises later": failing(CpuPainter.__call__, BOOM, at=9),
    "is out of memory": failing(CpuPainter.__call__, torch.OutOfMemoryError("CUDA out of memory")),
    "is out of memory on the CPU": failing(CpuPainter.__call__, MemoryError()),
    "gives NaN": answers(lambda out: out * torch.nan),
    "gives one NaN": answers(lambda out: out.index_fill(3, torch.tensor([7]), torch.nan)),
    "gives infinity": answers(lambda out: out + torch.inf),
    "gives another size": answers(lambda out: out[..., :16, :16]),
    "gives too few": answers(lambda out: out[:0]),
}


@pytest.mark.parametrize("fault", GENERATOR_FAULTS)
def test_a_generator_that_fails_leaves_covered_faces_that_are_counted(
    fault: str, source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fallback covers what it could not paint."""
    monkeypatch.setattr(CpuPainter, "__call__", GENERATOR_FAULTS[fault])
    report = covered(source, target, GAN)
    assert report.fallbacks == report.painted["solid"] > 0
    assert sum(report.painted.values()) == report.faces
    assert ("gan" in report.painted) == (fault == "raises later")


@pytest.mark.parametrize("step", ["match_colour", "place", "add_grain", "latent", "warp", "grain_of", "painted_window"])
@pytest.mark.parametrize("at", [1, 7])
def test_a_blend_that_fails_leaves_covered_faces_that_are_counted(
    step: str, at: int, source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything between the generator and the patch may fail; latents are kept, so theirs fails at once or never."""
    monkeypatch.setattr(compose_module, step, failing(getattr(compose_module, step), BOOM, at=at))
    report = covered(source, target, GAN)
    assert sum(report.painted.values()) == report.faces
    assert report.fallbacks == report.painted.get("solid", 0)
    assert (report.fallbacks > 0) == (at == 1 or step != "latent")


def test_a_face_that_nothing_can_cover_is_no_output(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Generator and fallback both fail: exit code 8, and the frame is named."""
    monkeypatch.setattr(CpuPainter, "__call__", GENERATOR_FAULTS["raises"])
    monkeypatch.setattr(compose_module, "cover", failing(compose_module.cover, BOOM, at=5))
    code, message = refused(source, target, GAN)
    assert code == 8
    assert message.startswith("frame ")


@pytest.mark.parametrize(
    ("module", "step", "code"),
    [
        (compose_module, "cover", 8),
        (compose_module, "face_mask", 8),
        (compose_module, "face_pose", 8),
        (render_stage, "read_region", 1),
        (render_stage, "paste", 1),
    ],
)
@pytest.mark.parametrize("error", [BOOM, MemoryError(), ValueError("no number")])
def test_a_step_that_fails_without_a_second_way_is_no_output(
    *, module: Any, step: str, code: int, error: Exception, source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading, masking, covering, pasting: whatever they raise."""
    if step == "face_pose" and not isinstance(error, ValueError):
        code = 1  # what it is known to raise is about the box; anything else is a fault of ours
    monkeypatch.setattr(module, step, failing(getattr(module, step), error, at=5))
    assert refused(source, target)[0] == code


@pytest.mark.usefixtures("short_segments")
def test_finished_segments_are_gone_on_from_after_a_fault(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault gone, the same command finishes, and the faces of all frames are in its report."""
    with monkeypatch.context() as worn:
        worn.setattr(render_stage, "paste", failing(render_stage.paste, BOOM, at=10))
        refused(source, target)
    left = journaled(work_folder(target))
    assert len(left) == 8
    report = covered(source, target, SOLID)
    assert (report.resumed_at, report.frames, report.painted["solid"]) == (8, 12, report.faces)
    assert left <= packets(target)
    assert not work_folder(target).exists()


class Broken:
    """An encoder that fails at the n-th picture, or at the end (None)."""

    def __init__(self, real: Any, error: Exception, at: int | None) -> None:
        self.real, self.error, self.at, self.sent = real, error, at, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def encode(self, picture: Any) -> Any:
        """As `av.VideoCodecContext.encode`."""
        if picture is None if self.at is None else self.sent == self.at:
            raise self.error
        self.sent += 1
        return self.real.encode(picture)


@pytest.mark.parametrize("at", [0, 5, None])
@pytest.mark.parametrize(
    "error",
    [
        av.error.ExternalError(-542398533, "Generic error in an external library"),
        av.error.InvalidDataError(-1094995529, "Invalid data found"),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
        ValueError("invalid argument"),
    ],
)
def test_an_encoder_that_fails_is_no_output(
    error: Exception, at: int | None, source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first picture, in the middle, when it is flushed: exit code 4."""
    begin = SegmentEncoder.__init__

    def broken(self: Any, *args: Any, **named: Any) -> None:
        begin(self, *args, **named)
        self._context = Broken(self._context, error, at)

    monkeypatch.setattr(SegmentEncoder, "__init__", broken)
    assert refused(source, target)[0] == 4


@pytest.mark.parametrize(
    ("owner", "step", "at", "code"),
    [
        (PicturePreparer, "__call__", 5, 1),
        (Journal, "__init__", 1, 1),
        (Journal, "add", 5, 1),
        (Journal, "commit", 1, 1),
        (Journal, "times", 1, 1),
        (Muxer, "_start", 2, 1),
        (ExtrasCopier, "advance", 3, 1),
        (WorkFolder, "file", 2, 1),
        (WorkFolder, "commit", 1, 1),
    ],
)
def test_a_fault_of_ours_in_writing_is_no_output(
    *, owner: type, step: str, at: int, code: int, source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception nobody foresaw, wherever it comes from."""
    monkeypatch.setattr(owner, step, failing(getattr(owner, step), BOOM, at=at))
    got, message = refused(source, target)
    assert (got, "boom" in message) == (code, True)


@pytest.mark.parametrize(
    ("owner", "step", "at"),
    [
        (Journal, "__init__", 1),
        (Journal, "commit", 1),
        (Journal, "commit", 3),
        (Muxer, "__init__", 1),
        (Muxer, "__init__", 2),
        (Muxer, "write", 1),
        (WorkFolder, "__init__", 1),
        (WorkFolder, "__init__", 2),
    ],
)
@pytest.mark.usefixtures("short_segments")
def test_a_full_disk_is_no_output_and_one_line(
    *, owner: type, step: str, at: int, source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the work, in the journal, in the container: exit code 4. With space again, the same command finishes."""
    with monkeypatch.context() as full:
        full.setattr(owner, step, on_a_full_disk(getattr(owner, step), at=at))
        code, message = refused(source, target)
    assert (code, "cannot be written" in message) == (4, True), message
    assert covered(source, target, SOLID).frames == 12
    assert not work_folder(target).exists()


@pytest.mark.parametrize("step", ["fsync", "link", "fchmod"])
def test_a_file_that_cannot_be_made_durable_or_named_is_no_output(
    step: str, source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last step of all, after the last frame; a link that fails is tried as a rename, which fails too."""
    commit = WorkFolder.commit

    def refusing(self: WorkFolder, path: Path) -> None:
        with monkeypatch.context() as worn:
            worn.setattr(work.os, step, failing(getattr(os, step), NO_SPACE))
            worn.setattr(Path, "replace", failing(Path.replace, NO_SPACE))
            commit(self, path)

    monkeypatch.setattr(WorkFolder, "commit", refusing)
    code, message = refused(source, target)
    assert (code, "No space left" in message) == (4, True), message


@pytest.mark.parametrize("moment", ["scan", "render", "mux"])
@pytest.mark.parametrize("how", ["removed", "renamed"])
def test_a_target_folder_that_vanishes_is_an_error(
    moment: str, how: str, source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unplugged, unmounted, tidied up by somebody: non-zero, and no file under another name."""
    module, step, at = {
        "scan": (scan_stage, "settle_all", 1),
        "render": (render_stage, "paste", 6),
        "mux": (writer_module.Recorder, "finish", 1),
    }[moment]
    real, calls = getattr(module, step), 0
    moved = target.parent.with_name("moved")

    def vanishing(*args: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            shutil.rmtree(target.parent) if how == "removed" else target.parent.rename(moved)
        return real(*args, **named)

    monkeypatch.setattr(module, step, vanishing)
    code, _ = refused(source, target)
    assert code in (4, 5)
    assert not (moved / target.name).exists()


@pytest.mark.parametrize("fault", [NO_SPACE, BOOM])
def test_a_picture_that_cannot_be_written_is_no_output(
    fault: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stills go another way, and fail as closed."""
    stand_ins(monkeypatch)
    clip = street_clip(tmp_path / "in.mp4", frames=1)
    with av.open(str(clip)) as container:
        picture = next(container.decode(video=0)).to_image()
    source, target = tmp_path / "in.png", tmp_path / "out" / "safe.png"
    picture.save(source)
    monkeypatch.setattr(Image.Image, "save", failing(Image.Image.save, fault))
    report = run_stage.anonymize([source], target, settings=SOLID)
    ((_, error),) = report.failures
    assert error.exit_code == (4 if fault is NO_SPACE else 1)
    assert not target.exists()
    assert not work_folder(target).exists()
    assert stills.write_still is not None


def test_no_packet_of_the_source_is_in_the_output(source: Path, target: Path) -> None:
    """Every picture is coded anew, the unpainted ones too."""
    covered(source, target, SOLID)
    assert len(packets(source)) == 12
    assert not packets(source) & packets(target)


def test_with_a_lossless_codec_painted_frames_share_no_packet_either(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intra coding of equal pictures gives equal packets; those with a face in them differ."""
    lossless = msgspec.structs.replace(SOLID, output=msgspec.structs.replace(SOLID.output, codec="ffv1"))
    bare = target.with_name("bare.mkv")
    settings: Settings = lossless
    with monkeypatch.context() as unpainted:
        unpainted.setattr(render_stage, "paste", lambda frame, _: frame)
        assert run_stage.anonymize([source], bare, settings=settings).ok
    painted = target.with_name("painted.mkv")
    covered(source, painted, settings)
    assert len(packets(bare)) == 12
    assert not packets(bare) & packets(painted)
