"""Training of the generator and the landmarker on a dozen cartoon faces: it learns, it resumes, it publishes."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_faces import write_faces

from vidanon.errors import InputError, UsageError, WeightsError
from vidanon.locations import weights_dir
from vidanon.models.generator import Generator, GeneratorConfig
from vidanon.models.landmarks import Landmarker, LandmarkerConfig
from vidanon.models.layout import CANONICAL
from vidanon.models.weights import load_weights, read_manifest, save_weights
from vidanon.train import generator as gan
from vidanon.train import landmarks, losses
from vidanon.train.batches import CropSampler
from vidanon.train.faces import MIRROR, load_faces, rarity
from vidanon.train.patterns import PatternChoice, choose
from vidanon.train.recipes import GeneratorTraining, phases_for
from vidanon.train.runs import load_checkpoint
from vidanon.train.views import blinking, disturbed, elsewhere, nudged
from vidanon.types import FACE_POINT_INDEX, FACE_POINTS


@pytest.fixture(scope="module")
def faces_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_faces(tmp_path_factory.mktemp("faces"))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def options(folder: Path, run: Path, **changes: object) -> GeneratorTraining:
    base = GeneratorTraining(
        data=folder, run=run, images=48, resolution=16, width=128, max_channels=16, batch=8, threads=1
    )
    return dataclasses.replace(base, **changes)


def test_crops_are_upright_and_their_keypoints_lie_on_the_features(faces_folder: Path) -> None:
    """The dark inner mouth is where lip points say, in crops that were moved, turned and mirrored."""
    faces = load_faces(faces_folder, px=128, split="train")
    sampler = CropSampler(faces, device=torch.device("cpu"), seed=1)
    crops = sampler.batch(torch.arange(len(faces)), 64, photometric=False)
    right, left = (crops.points[:, FACE_POINT_INDEX[n]] for n in ("right_eye", "left_eye"))
    assert (left[:, 0] - right[:, 0]).min() > 0.1, "the subject's right eye is on the left of every crop"
    at = (crops.points[:, FACE_POINT_INDEX["mouth_right"]] * 64).long().clamp(0, 63)
    red = crops.image[torch.arange(len(faces)), :, at[:, 1], (at[:, 0] + 1).clamp(max=63)]
    assert (red[:, 0] - red[:, 1]).median() > 0.2, "the mouth is red"


def test_mirroring_twice_gives_every_point_back() -> None:
    """The mirror table is its own inverse, and swaps left with right only."""
    mirror = np.array(MIRROR)
    assert (mirror[mirror] == np.arange(len(FACE_POINTS))).all()
    assert FACE_POINTS[mirror[FACE_POINT_INDEX["left_ear"]]] == "right_ear"
    assert FACE_POINTS[mirror[FACE_POINT_INDEX["jaw_4"]]] == "jaw_4"


def test_the_context_never_holds_a_pixel_of_the_face(faces_folder: Path) -> None:
    """Eyes and mouth of the training crops are hidden with every mask that is drawn."""
    faces = load_faces(faces_folder, px=128, split="train")
    sampler = CropSampler(faces, device=torch.device("cpu"), seed=2)
    for _ in range(5):
        crops = sampler.batch(torch.arange(len(faces)), 64)
        for name in ("right_eye", "left_eye", "nose", "lip_lower_inner"):
            at = (crops.points[:, FACE_POINT_INDEX[name]] * 64).long().clamp(0, 63)
            assert (crops.hidden[torch.arange(len(faces)), 0, at[:, 1], at[:, 0]] == 1).all()
        assert (crops.context * crops.hidden).abs().max() == 0


def test_a_nudged_crop_takes_its_keypoints_along(faces_folder: Path) -> None:
    """The dark inner mouth is still where the lip points say, and the grid says where everything came from."""
    sampler = CropSampler(load_faces(faces_folder, px=128, split="train"), device=torch.device("cpu"), seed=1)
    crops = sampler.batch(torch.arange(8), 64, jitter=0.0, photometric=False)
    moved, grid = nudged(crops, torch.Generator().manual_seed(2), amount=0.08)
    index = [FACE_POINT_INDEX["nose"], FACE_POINT_INDEX["mouth_left"]]
    old, new = crops.points[:, index], moved.points[:, index]
    assert (new - old).abs().max() > 0.02
    back = torch.nn.functional.grid_sample(
        grid.permute(0, 3, 1, 2), new[:, None] * 2 - 1, align_corners=False
    )  # what the grid says at the new place is the old place
    torch.testing.assert_close(back[:, :, 0].transpose(1, 2), old * 2 - 1, atol=1e-4, rtol=0)
    again = torch.nn.functional.grid_sample(crops.image, grid, padding_mode="border", align_corners=False)
    inside = (1 - moved.outside).bool().expand_as(again)
    torch.testing.assert_close(moved.image[inside], again[inside], atol=1e-5, rtol=0)


def test_turned_heads_are_more_pictures_of_the_same_people(faces_folder: Path) -> None:
    """They come last, belong to somebody, keep their lips on their mouth, and say what of them is not known."""
    faces = load_faces(faces_folder, px=128, split="train", turned_heads=6, seed=3)
    assert len(faces) == 18
    assert faces.people[:12].tolist() == list(range(12))
    assert len(set(faces.people[12:].tolist())) == 6
    assert faces.images[:12, ..., 4].max() == 0
    assert faces.weights.sum() == pytest.approx(1)
    sampler = CropSampler(faces, device=torch.device("cpu"), seed=1)
    index = torch.arange(12, 18)
    crops = sampler.batch(index, 64, jitter=0.0, photometric=False)
    assert crops.rows.tolist() == faces.people[12:].tolist()
    assert (sampler.batch(index, 64, flip=True).rows - sampler.count).tolist() == faces.people[12:].tolist()
    eyes = [FACE_POINT_INDEX[n] for n in ("right_eye", "left_eye")]
    widths = crops.points[:, eyes[1], 0] - crops.points[:, eyes[0], 0]
    before = sampler.batch(crops.rows, 64, jitter=0.0, photometric=False).points
    assert (widths < (before[:, eyes[1], 0] - before[:, eyes[0], 0]) + 0.01).float().mean() > 0.8
    at = (crops.points[:, FACE_POINT_INDEX["lip_upper_inner"]] * 64).long().clamp(1, 62)
    near = [crops.image[torch.arange(6), :, at[:, 1] + dy, at[:, 0]] for dy in (-1, 0, 1)]
    assert (torch.stack(near).amin(0)[:, 1] < 0).float().mean() > 0.7, "lips are dark or red, not green"
    assert len(load_faces(faces_folder, px=64, split="val", turned_heads=0)) == 4


def test_a_disturbed_view_shows_no_pixel_of_the_face_and_keeps_its_place(faces_folder: Path) -> None:
    """Whatever is under the mask, the disturbed surroundings are the same; points and picture's edge do not move."""
    sampler = CropSampler(load_faces(faces_folder, px=128, split="train"), device=torch.device("cpu"), seed=1)
    crops = sampler.batch(torch.arange(8), 64)
    noise = torch.rand(crops.image.shape, generator=torch.Generator().manual_seed(1))
    other = dataclasses.replace(crops, image=torch.where(crops.hidden.bool(), noise, crops.image))
    one, two = (disturbed(c, torch.Generator().manual_seed(5)) for c in (crops, other))
    assert torch.equal(one.context, two.context)
    assert (one.context - crops.context).abs().mean() > 0.002
    assert torch.equal(one.points, crops.points)
    assert torch.equal(one.outside, crops.outside)
    assert (one.hidden >= crops.hidden).all()
    assert (one.hidden - crops.hidden).mean() < 0.05


def test_another_background_changes_nothing_near_the_face(faces_folder: Path) -> None:
    """Of all crops, of none, or of about half; face, mask and points stay, and the picture's edge is no background."""
    sampler = CropSampler(load_faces(faces_folder, px=128, split="train"), device=torch.device("cpu"), seed=1)
    crops = sampler.batch(torch.arange(8).repeat(4), 64)
    random = torch.Generator().manual_seed(5)
    changed = [(elsewhere(crops, random, share=s).image - crops.image).abs().amax(1) for s in (0.0, 0.5, 1.0)]
    face = (crops.hidden - crops.outside)[:, 0].bool()
    assert changed[0].max() == 0
    assert 8 <= (changed[1].amax((1, 2)) > 0.02).sum() <= 24
    assert (changed[2].amax((1, 2)) > 0.02).all()
    assert all(c[face].max() == 0 and c[crops.outside[:, 0].bool()].max() == 0 for c in changed)


def test_who_blinks_or_speaks_is_shown_more_often() -> None:
    """Closed eyes four times, the widest mouths twice as often as the rest."""
    points = np.tile(np.linspace(0, 1, 30, dtype=np.float32)[:, None], (50, 1, 2))
    at = FACE_POINT_INDEX
    for i in range(50):
        for side in ("right", "left"):
            points[i, at[f"{side}_lid_lower"]] = points[i, at[f"{side}_lid_upper"]] + 0.01 + 0.001 * i
        points[i, at["lip_lower_inner"]] = points[i, at["lip_upper_inner"]] + 0.001 * i
    often = rarity(points)
    assert often[:3].tolist() == [4, 4, 4]
    assert often[-5:].tolist() == [2] * 5
    assert (often[3:45] == 1).all()


def test_lids_and_lips_weigh_more_in_the_reconstruction() -> None:
    """The weight is highest at a lid, 1 on the brow, and 1 everywhere where nothing is known."""
    points = torch.full((2, 30, 2), torch.nan)
    points[0, FACE_POINT_INDEX["left_lid_upper"]] = torch.tensor([0.51, 0.27])
    points[0, FACE_POINT_INDEX["left_brow_outer"]] = torch.tensor([0.8, 0.8])
    weight = losses.telling(points, 64)
    assert weight.shape == (2, 1, 64, 64)
    assert weight[0, 0, 17, 32] > 3.5
    assert weight[0, 0, 51, 51] == pytest.approx(1, abs=1e-3)
    assert (weight[1] == 1).all()


class Card(Landmarker):
    """A landmarker that sees one gesture: the mouth is as open as the crop is light; all else lies in its middle."""

    def forward(self, crops: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Points and spreads."""
        points = torch.full((len(crops), 30, 2), 0.5)
        points[:, FACE_POINT_INDEX["lip_lower_inner"], 1] += crops.mean((1, 2, 3))
        return points, torch.zeros(len(crops), 30)


def test_a_face_is_asked_to_do_what_its_keypoints_do() -> None:
    """Nothing is to be gained where it does; unknown points ask for nothing, and gradients are numbers all the same."""
    landmarker, random = Card(LandmarkerConfig()), torch.Generator().manual_seed(0)
    asked = torch.full((2, 30, 2), 0.4)
    asked[:, FACE_POINT_INDEX["lip_lower_inner"], 1] += 0.1
    scale = 1.7 / landmarker.config.scale
    right = torch.full((2, 3, 64, 64), 0.1 * scale, requires_grad=True)
    shut = torch.zeros(2, 3, 64, 64, requires_grad=True)
    follows, fails = (losses.expression(x, asked, landmarker, random, scale=scale) for x in (right, shut))
    assert follows < 0.1 * fails
    assert float(fails.detach()) == pytest.approx(0.1 / 12, rel=0.01)
    fails.backward()
    assert shut.grad is not None
    assert (shut.grad[:, :, 16:-16, 16:-16] < 0).all()  # it looks at the middle
    unknown = torch.full((2, 30, 2), torch.nan)
    image = torch.zeros(2, 3, 64, 64, requires_grad=True)
    silent = losses.expression(image, unknown, landmarker, random, scale=scale)
    silent.backward()
    assert float(silent.detach()) == 0
    assert image.grad is not None
    assert torch.isfinite(image.grad).all()


def test_lids_are_put_off_together(faces_folder: Path) -> None:
    """Points are as far off as a detector's, those of an eye or mouth by the same: what they do stays legible."""
    trainer = gan.Trainer(options(faces_folder, Path()))
    sampler = CropSampler(load_faces(faces_folder, px=64, split="train"), device=torch.device("cpu"), seed=0)
    crops = sampler.batch(torch.zeros(400, dtype=torch.int64), 32, jitter=0.0)
    off = trainer.points(crops) - crops.points
    upper, lower, nose = (off[:, FACE_POINT_INDEX[n]] for n in ("left_lid_upper", "left_lid_lower", "nose"))
    assert 0.005 < upper.nan_to_num().std() < 0.007
    assert (upper - lower).nan_to_num().std() < 0.003
    assert (upper - nose).nan_to_num().std() > 0.006


def test_every_term_of_the_training_is_reported(faces_folder: Path, tmp_path: Path) -> None:
    """A term with weight 0 is not computed, the others are numbers."""
    gan.train(options(faces_folder, tmp_path / "run", images=24, reconstruction=0.0, log_seconds=0.0))
    (first, *_) = (tmp_path / "run" / "stats.jsonl").read_text().splitlines()
    stats = json.loads(first)
    assert stats["likeness"] > 0
    assert stats["steadiness"] > 0
    assert "reconstruction" not in stats
    assert {"held", "overfit"} <= set(stats), "how far the discriminator only remembers its faces"


def test_a_new_discriminator_is_heard_little_by_little(faces_folder: Path) -> None:
    """In the first step looking real weighs nothing, after the warm-up all it is given."""
    trainer = gan.Trainer(options(faces_folder, Path(), warm_up=100))
    sampler = CropSampler(load_faces(faces_folder, px=128, split="train"), device=torch.device("cpu"), seed=1)
    trainer.meet(sampler)
    assert trainer.step(sampler)["g"] == 0
    assert trainer.step(sampler)["g"] > 0


def test_training_faces_are_met_with_codes_that_mirror_with_them(faces_folder: Path) -> None:
    """Everybody has a code; a mirrored face has the same on axes that are their own mirror image, else its negative."""
    trainer = gan.Trainer(options(faces_folder, Path()))
    faces = load_faces(faces_folder, px=128, split="train")
    trainer.meet(CropSampler(faces, device=torch.device("cpu"), seed=1))
    plain, mirrored = trainer.codes.chunk(2)
    assert plain.shape == (len(faces), trainer.config.latent_dim)
    model = trainer.g.appearance
    image = model.axes.unflatten(1, (3, model.px, model.px))
    first = slice(0, len(faces) // 2)
    sign = torch.sign((image * image.flip(-1)).sum((1, 2, 3)))[first]
    assert ((plain[:, first] * sign - mirrored[:, first]).abs().median() < 0.1).item()
    assert torch.equal(model.axes, trainer.ema.network.appearance.axes)


def test_a_resumed_generator_run_goes_on_from_the_same_weights(faces_folder: Path, tmp_path: Path) -> None:
    """The checkpoint holds networks, averages, optimizers, randomness and the count of images."""
    path = gan.train(options(faces_folder, tmp_path / "run", images=24))
    tensors, numbers = load_checkpoint(path)
    assert (numbers["images"], numbers["steps"]) == (24, 3)
    trainer = gan.Trainer(options(faces_folder, tmp_path / "other"))
    trainer.load(path)
    for name, value in trainer.state().items():
        assert torch.equal(value, tensors[name]), name
    gan.train(options(faces_folder, tmp_path / "run", resume=path))
    assert load_checkpoint(path)[1]["images"] == 48
    assert list((tmp_path / "run").glob("grid-*.png"))


def test_growing_visits_every_size_and_fades_the_new_one_in() -> None:
    """Phases follow the share of images; a new size starts at fade 0 and ends at 1."""
    trainer = gan.Trainer(options(Path(), Path(), images=1000, resolution=64))
    seen = []
    for images in range(0, 1000, 10):
        trainer.images = images
        seen.append(trainer.now())
    assert [size for size, _ in seen] == sorted(size for size, _ in seen)
    assert {size for size, _ in seen} == {32, 64}
    first_of_64 = next(fade for size, fade in seen if size == 64)
    assert first_of_64 < 0.2
    assert seen[-1] == (64, 1.0)
    assert sum(phase.share for phase in phases_for(256)) == pytest.approx(1)
    assert [phase.size for phase in phases_for(128, 128)] == [128]


def test_published_weights_rebuild_the_same_generator(faces_folder: Path, tmp_path: Path) -> None:
    """What ships is the averaged network, with its config, checksum and the account of its run."""
    run = options(faces_folder, tmp_path / "run", images=16, publish=tmp_path / "weights")
    path = gan.train(run)
    state, config = load_weights("generator", folder=tmp_path / "weights")
    rebuilt = Generator(GeneratorConfig.from_dict(config))
    rebuilt.load_state_dict(state)
    trainer = gan.Trainer(run)
    trainer.load(path)
    for name, value in trainer.ema.network.state_dict().items():
        assert torch.allclose(state[name], value, atol=2e-3, rtol=2e-3), name
    begun = gan.Trainer(dataclasses.replace(run, weights=tmp_path / "weights" / "generator.safetensors"))
    assert all(torch.equal(value, state[name]) for name, value in begun.g.state_dict().items())
    record = read_manifest(tmp_path / "weights")["generator"]
    assert record["run"]["images"] == 16
    assert "MIT" in record["data"]


def test_a_changed_weight_file_is_refused(tmp_path: Path) -> None:
    """One flipped byte, and nothing is loaded."""
    path = save_weights("net", {"a": torch.zeros(4)}, config={"x": 1}, record={"licence": "none"}, folder=tmp_path)
    load_weights("net", folder=tmp_path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="checksum"):
        load_weights("net", folder=tmp_path)
    with pytest.raises(WeightsError, match="no weights of 'other'"):
        load_weights("other", folder=tmp_path)


def test_the_landmarker_learns_drawn_faces_and_resumes(faces_folder: Path, tmp_path: Path) -> None:
    """Some hundred crops bring the mean error well down, and a second sitting goes on from the first."""
    base = landmarks.LandmarksTraining(
        data=faces_folder, run=tmp_path / "run", images=64, batch=8, rate=6e-3, threads=1
    )
    path = landmarks.train(base)
    rows = [json.loads(line) for line in (tmp_path / "run" / "stats.jsonl").read_text().splitlines()]
    first = rows[-1]["mean_error_interocular"]
    landmarks.train(dataclasses.replace(base, images=640, resume=path, publish=tmp_path / "weights"))
    rows = [json.loads(line) for line in (tmp_path / "run" / "stats.jsonl").read_text().splitlines()]
    assert rows[-1]["images"] == 640
    assert rows[-1]["mean_error_interocular"] < 0.85 * first
    measured = read_manifest(tmp_path / "weights")["landmarks"]["measured"]
    assert {"val_mean_error_interocular", "val_covered_mean_error_face_sizes"} <= set(measured)
    again = dataclasses.replace(base, weights=tmp_path / "weights" / "landmarks.safetensors")
    begun, published = landmarks.begin(again).state_dict(), load_weights("landmarks", folder=tmp_path / "weights")[0]
    assert all(torch.equal(value, published[name]) for name, value in begun.items())
    other = landmarks.begin(dataclasses.replace(base, seed=1))
    halfway = landmarks.between(landmarks.begin(again), other, 0.5)
    for name, value in halfway.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, (begun[name] + other.state_dict()[name]) / 2)
    with pytest.raises(UsageError, match="holds no landmarker"):
        landmarks.begin(dataclasses.replace(base, weights=weights_dir() / "detector.safetensors"))


def test_somebody_blinks_with_both_eyes() -> None:
    """A share of the faces shuts its lids, both alike; pupils stay between them, and all else where it is."""
    points = CANONICAL.repeat(400, 1, 1)
    points[0, FACE_POINT_INDEX["left_lid_lower"]] = torch.nan
    shut = blinking(points, torch.Generator().manual_seed(0), share=0.5)
    open_ = {
        side: (shut[:, FACE_POINT_INDEX[f"{side}_lid_lower"]] - shut[:, FACE_POINT_INDEX[f"{side}_lid_upper"]])[:, 1]
        / float(
            (CANONICAL[FACE_POINT_INDEX[f"{side}_lid_lower"]] - CANONICAL[FACE_POINT_INDEX[f"{side}_lid_upper"]])[1]
        )
        for side in ("right", "left")
    }
    torch.testing.assert_close(open_["right"][1:], open_["left"][1:])
    assert open_["left"][0].isnan()
    assert 0.4 < (open_["right"] < 0.999).float().mean() < 0.6
    assert -1e-5 < open_["right"].min() < 0.05
    upper, pupil, lower = (
        shut[:, FACE_POINT_INDEX[f"right_{part}"], 1] for part in ("lid_upper", "pupil", "lid_lower")
    )
    assert (upper <= pupil + 1e-6).all()
    assert (pupil <= lower + 1e-6).all()
    others = [i for n, i in FACE_POINT_INDEX.items() if "_lid_" not in n and "_pupil" not in n]
    torch.testing.assert_close(shut[:, others], points[:, others], equal_nan=True)
    assert torch.equal(blinking(points[1:], torch.Generator().manual_seed(0), share=0.0), points[1:])


def test_a_run_without_data_or_end_says_so(faces_folder: Path, tmp_path: Path) -> None:
    """A missing folder and a missing checkpoint are the user's to mend, in one line."""
    with pytest.raises(InputError, match=r"labels\.npz"):
        gan.train(options(tmp_path, tmp_path / "run"))
    path = gan.train(options(faces_folder, tmp_path / "short", images=8))
    with pytest.raises(UsageError, match="another shape"):
        gan.train(options(faces_folder, tmp_path / "run", resume=path, resolution=32))
    with pytest.raises(UsageError, match="another shape") as refused:
        gan.train(options(faces_folder, tmp_path / "run", weights=weights_dir() / "generator.safetensors"))
    assert "--resolution 128 --width 1536" in str(refused.value.hint)
    with pytest.raises(InputError, match="no checkpoint"):
        gan.train(options(tmp_path, tmp_path / "run", resume=tmp_path / "none.safetensors"))
    with pytest.raises(UsageError, match="needs an end"):
        landmarks.check_budget(minutes=None, steps=None)


def test_patterns_are_exchanged_without_training(faces_folder: Path, tmp_path: Path) -> None:
    """Listed faces become patterns; all else of the weights and of their record stays; a name nobody has is refused."""
    data = tmp_path / "faces"
    shutil.copytree(faces_folder, data)
    with np.load(data / "labels.npz") as stored:
        labels = dict(stored)
    keys = [f"sheet {i}" for i in range(len(labels["source"]))]
    np.savez(data / "labels.npz", **{**labels, "key": np.array(keys)})
    gan.train(options(data, tmp_path / "run", images=8, publish=tmp_path / "before"))
    listed = tmp_path / "patterns.txt"
    listed.write_text("t2i/sheet 4\nt2i/sheet 6\n", encoding="utf-8")
    asked = PatternChoice(data, tmp_path / "before" / "generator.safetensors", tmp_path / "after", listed=listed)
    before, _ = load_weights("generator", folder=tmp_path / "before")
    assert choose(asked) == tmp_path / "after" / "generator.safetensors"
    after, config = load_weights("generator", folder=tmp_path / "after")
    assert len(after["appearance.ends"]) == len(after["appearance.patterns"]) == 2
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed <= {"appearance.pictures", "appearance.ends", "appearance.patterns"}
    old, new = (read_manifest(tmp_path / folder)["generator"] for folder in ("before", "after"))
    assert new["patterns"] == 2
    assert (new["licence"], new["run"]) == (old["licence"], old["run"])
    made = Generator(GeneratorConfig.from_dict(config))
    made.load_state_dict(after)
    latents = torch.tensor([[-2.0], [2.0]]).expand(2, made.config.latent_dim)
    one, two = made.appearance.person(latents).detail
    assert (one - two).abs().max() > 0.1
    listed.write_text("t2i/nobody\n", encoding="utf-8")
    with pytest.raises(InputError, match="nobody"):
        choose(asked)
