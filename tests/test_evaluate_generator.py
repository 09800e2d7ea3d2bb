"""`evaluate generator` on drawn people: faces are magenta cards, and what painters and covers do to them is known."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
import torch
from drawn_faces import write_faces
from PIL import Image
from street import CardDetector, CardLandmarker

from vidanon.cli import main
from vidanon.errors import InputError, OutputError, UsageError, WeightsError
from vidanon.evaluate import frechet, groups, recognition
from vidanon.evaluate.covering import MOSAIC_CELLS, cover, looks_under_mask, renderer
from vidanon.evaluate.crops import Place, cut
from vidanon.evaluate.examine import COLUMNS, JITTER, METHODS, NONE, Equipment, Examiner, Seen, Tools, jittered
from vidanon.evaluate.face_sheets import CELL_PX, draw_sheets
from vidanon.evaluate.generator import figures_of
from vidanon.evaluate.generator_report import Figures, GeneratorReport, Speed
from vidanon.evaluate.generator_tables import write_report
from vidanon.evaluate.paint_speed import paint_speed
from vidanon.evaluate.photos import FaceFinder, Photo, photos_in, unpack_face_set
from vidanon.evaluate.workers import Workers
from vidanon.geometry import centre_size
from vidanon.media.reader import Reader
from vidanon.render.generate import PaintRequest
from vidanon.settings import RenderSettings, Settings
from vidanon.types import FACE_POINT_INDEX, N_FACE_POINTS, FloatArray, ImageArray, Method, Observation

SIZE, FACE = 96, 40
SHARED = Path(__file__).parent.parent.parent / "shared" / "data"
SPEED = Speed(32, "cpu", 1, 50.0)
UNKNOWN = np.full((N_FACE_POINTS, 2), np.nan, np.float32)


def draw(path: Path, colour: tuple[int, int, int], *, shift: int = 0) -> Path:
    """A photo: a card of a colour on a grey wall, a bit off the middle."""
    image = np.full((SIZE, SIZE, 3), 128, np.uint8)
    x = (SIZE - FACE) // 2 + shift
    image[28 : 28 + FACE, x : x + FACE] = colour
    Image.fromarray(image).save(path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photos each of four people, cards to the detector and 20 levels apart in colour; and one of a stranger."""
    made = tmp_path_factory.mktemp("people")
    for i in range(4):
        for photo in range(2):
            draw(made / f"Person_{i}__{photo}.png", (170 + 20 * i, 10 + 2 * photo, 245 - 20 * i), shift=photo)
    draw(made / "somebody.png", (250, 90, 250))
    return made


class Colours:
    """To whom a face is its mean colour, and 20 levels more are somebody else; sees faces that are cards."""

    def embed(self, crop: ImageArray) -> FloatArray:
        """[3]"""
        return np.asarray(crop[80:176, 80:176].reshape(-1, 3).mean(axis=0) / 20, np.float32)

    def sees(self, crop: ImageArray) -> bool:
        """Whether the middle is a card."""
        r, g, b = (float(v) for v in crop[108:148, 108:148].reshape(-1, 3).mean(axis=0))
        return r > 150 and g < 110 and b > 150


class Painter:
    """Paints a card whose colour is the latent's."""

    resolution, latent_dim, device = 32, 4, "cpu"

    expects = False

    def paint(self, requests: Sequence[PaintRequest]) -> list[FloatArray | None]:
        """As `FacePainter.paint`."""
        return [self.face(request) for request in requests]

    def features(self, _request: PaintRequest, _side: int) -> None:
        """Cards have no lashes."""

    def face(self, request: PaintRequest) -> FloatArray | None:
        """One crop."""
        shade = 0.05 * np.tanh(request.latent[:2])
        return np.full((32, 32, 3), (0.9 + shade[0], 0.05, 0.9 + shade[1]), np.float32)


class Forgetful(Painter):
    """Paints something else every time, as if it saw what it must not."""

    def __init__(self) -> None:
        self._calls = itertools.count()

    def face(self, request: PaintRequest) -> FloatArray | None:
        """One crop."""
        return np.full((32, 32, 3), 0.5 + 0.01 * next(self._calls), np.float32)


def tools_of(painter: Any) -> Tools:
    """Stand-ins for everything that is trained."""
    judge = CardDetector(name="judge")
    return Tools(CardDetector(), CardLandmarker(), Colours(), [judge, CardDetector(name="other")], painter)


def equipment(**more: Any) -> Equipment:
    """As the command line builds it, without detectors of other people."""
    return Equipment(Settings(), "cpu", **more)


def look(folder: Path, painter: Any, **more: Any) -> list[Seen]:
    """Everything seen of a folder's photos."""
    with Workers(equipment(**more), tools_of(painter), count=1) as workers:
        return list(workers.look(photos_in(folder)))


def report_of(seen: Sequence[Seen], **more: Any) -> GeneratorReport:
    return figures_of(seen, folder="people", weights="drawn", judges=["judge", "other"], speed=SPEED, **more)


@pytest.fixture(scope="module")
def seen(folder: Path) -> list[Seen]:
    """The folder through the stand-ins."""
    return look(folder, Painter(), latents=3)


def by_name(report: GeneratorReport) -> dict[str, Figures]:
    return {column.name: column for column in report.columns}


def test_ways_to_cover_a_face_are_told_apart(seen: list[Seen]) -> None:
    """Untouched photos are recognized and found; a new face is a face, but nobody; a flat patch is not even that."""
    report = report_of(seen)
    columns = by_name(report)
    assert tuple(columns) == COLUMNS
    none, gan, solid = columns[NONE], columns["gan"], columns["solid"]
    assert (report.photos, report.faceless, report.faces, report.fallbacks) == (9, 0, 9, 0)
    assert (none.found, none.found_again, none.recognized, none.rank1, none.distance) == (1, 1, 1, 1, 0)
    assert (none.looked_at, none.recognized_unaided) == (1, 1)
    assert (gan.found, gan.looked_at, gan.recognized) == (1, 1, 0)
    assert (solid.found, solid.found_again, solid.looked_at, solid.recognized_unaided) == (0, 0, 0, 0)
    assert (report.searches, report.gallery, report.chance) == (8, 4, 0.25)
    # whoever stands in for everybody finds one in four
    assert solid.rank1 == 0.25
    assert report.same_person == pytest.approx(0.1, abs=0.02)
    assert report.other_person == pytest.approx(2 * 2**0.5, abs=0.8)
    assert report.judges_faces == (9, 9)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_measured_is_what_a_run_makes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: Method
) -> None:
    """Scanned and rendered by the pipeline with the same key, the photo comes out with the same pixels."""
    from vidanon.pipeline import render as render_stage
    from vidanon.pipeline import scan as scan_stage
    from vidanon.render.generate import FacePainter

    monkeypatch.setattr(scan_stage, "build_detector", lambda *_, **__: CardDetector())
    monkeypatch.setattr(scan_stage.FaceLandmarker, "shipped", lambda *_: CardLandmarker())
    monkeypatch.setattr(FacePainter, "shipped", lambda *_: Painter())
    photo, plan, target, key = folder / "somebody.png", tmp_path / "plan.vidanon", tmp_path / "out.png", b"k" * 32
    render = msgspec.structs.replace(Settings().render, method=method, mosaic_cells=MOSAIC_CELLS)
    settings = msgspec.structs.replace(Settings(), render=render)
    scan_stage.scan(photo, plan, settings=settings)
    render_stage.render(photo, plan, target, settings=settings, key=key)
    still = FaceFinder(CardDetector(), CardLandmarker(), settings).find(photo)
    assert still is not None
    painter: Any = Painter()
    made = cover(still, renderer(Settings().render, method, key, painter), name=photo.name).frame
    with Reader(target) as reader:
        np.testing.assert_array_equal(made.rgb(), next(iter(reader)).rgb())
    assert not np.array_equal(made.rgb(), still.frame.rgb())


def test_the_same_latent_stays_and_another_one_changes(seen: list[Seen]) -> None:
    """A painter whose colour is the latent's: nothing comes of a moved crop, and a lot of a new latent."""
    gan = by_name(report_of(seen))["gan"]
    assert gan.jitter_distance is not None
    assert gan.latents_distance is not None
    assert 0 < gan.jitter_distance < 0.02
    assert gan.latents_distance > max(0.2, 10 * gan.jitter_distance)
    assert {len(one.others) for one in seen} == {2}
    others = [column for column in report_of(seen).columns if column.name != "gan"]
    assert {(column.jitter_distance, column.latents_distance) for column in others} == {(None, None)}


def test_what_looks_under_the_mask_is_caught(folder: Path, seen: list[Seen]) -> None:
    """Blur and mosaic look at the face and are seen to do so, which shows that the test can fail; the others do not."""
    columns = by_name(report_of(seen))
    tried = report_of(seen).blind_tried
    assert tried == 2
    assert {name: columns[name].peeked for name in METHODS} == {"gan": 0, "blur": tried, "mosaic": tried, "solid": 0}
    still = FaceFinder(CardDetector(), CardLandmarker(), Settings()).find(folder / "somebody.png")
    assert still is not None
    for painter, looks in ((Painter(), False), (Forgetful(), True)):
        painted: Any = painter
        found = looks_under_mask(still, "gan", RenderSettings(), key=b"k" * 32, painter=painted, name="a", seed=1)
        assert found == looks


def test_what_the_generator_is_shown_is_compared_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A painter that would not show it is caught if its surroundings were read from under the mask."""
    from vidanon.render import compose

    still = FaceFinder(CardDetector(), CardLandmarker(), Settings()).find(folder / "somebody.png")
    assert still is not None
    honest = compose.warp

    def peeking(image: Any, matrix: Any, size: Any, *, valid: Any = None, **more: Any) -> Any:
        return honest(image, matrix, size, valid=None, **more)

    monkeypatch.setattr(compose, "warp", peeking)
    painter: Any = Painter()
    assert looks_under_mask(still, "gan", RenderSettings(), key=b"k" * 32, painter=painter, name="a", seed=1)


def test_a_failing_generator_is_counted(folder: Path) -> None:
    """Faces it gave nothing for are covered by the fallback, and the report says how many."""

    class Broken(Painter):
        """Never has a face."""

        def face(self, request: PaintRequest) -> FloatArray | None:
            """None."""
            return None

    report = report_of(look(folder, Broken()))
    columns = by_name(report)
    assert report.fallbacks == 9
    assert columns["gan"].found == columns["solid"].found == 0
    assert columns["gan"].distance == columns["solid"].distance


def test_photos_without_a_face_are_counted_and_left_out(folder: Path, tmp_path: Path) -> None:
    """They are in the report's count and in no figure; a folder of nothing else has no figures at all."""
    for name in ("Person_0__0.png", "Person_0__1.png"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    Image.new("RGB", (SIZE, SIZE), (128, 128, 128)).save(tmp_path / "Wall__0.png")
    report = report_of(look(tmp_path, Painter()))
    assert (report.photos, report.faceless, report.faces, by_name(report)[NONE].found) == (3, 1, 2, 1)
    (tmp_path / "Person_0__0.png").unlink()
    (tmp_path / "Person_0__1.png").unlink()
    empty = report_of(look(tmp_path, Painter()))
    assert (empty.photos, empty.faceless, empty.searches, empty.size_px, empty.groups) == (1, 1, 0, None, ())
    assert all(column.found is None and column.recognized is None for column in empty.columns)


def test_figures_do_not_depend_on_the_order_or_the_company(folder: Path, seen: list[Seen]) -> None:
    """Each photo's latents, jitter and vectors are its own, and a second run has the same."""
    again = look(folder, Painter(), latents=3)
    alone = Examiner(tools_of(Painter()), equipment(latents=3)).look(photos_in(folder)[5], 5)
    for one, other in ((seen[5], again[5]), (seen[5], alone)):
        assert one.jittered is not None
        assert other.jittered is not None
        np.testing.assert_array_equal(one.jittered, other.jittered)
        np.testing.assert_array_equal(np.stack(one.others), np.stack(other.others))
        assert all((one.vectors[column] == other.vectors[column]).all() for column in COLUMNS)
    other_seed = look(folder, Painter(), seed=1)
    assert not np.array_equal(seen[5].vectors["gan"], other_seed[5].vectors["gan"])
    assert np.array_equal(seen[5].vectors["blur"], other_seed[5].vectors["blur"])


def test_the_second_crop_is_off_by_no_more_than_it_says() -> None:
    """Shifted on both axes and scaled, uniformly up to JITTER of the face's size, the keypoints where they were."""
    face = Observation(0, 1, np.array([100, 100, 180, 200], np.float32), UNKNOWN, 0.9, "detected")
    rng = np.random.default_rng(3)
    made = np.array([centre_size(jittered(face, rng).box) for _ in range(300)])
    shifts, scale = (made[:, :2] - (140, 150)) / 100, made[:, 2:] / (80, 100) - 1
    np.testing.assert_allclose(scale[:, 0], scale[:, 1], atol=1e-5)
    both = np.hstack([shifts, scale[:, :1]])
    assert np.abs(both).max() <= JITTER + 1e-5
    assert (both.max(axis=0) > 0.9 * JITTER).all()
    assert (both.min(axis=0) < -0.9 * JITTER).all()


def test_a_search_never_finds_the_photo_itself() -> None:
    """First photos among second ones and the other way about; who has one photo takes no part."""
    search = recognition.plan_search(["ada", "bob", None, "ada", "eve", "bob", "ada"])
    assert (search.queries, search.gallery) == (4, 2)
    for queries, gallery, _ in search.rounds:
        assert not set(queries.tolist()) & set(gallery.tolist())
    vectors = np.array([[0, 0], [5, 5], [9, 9], [0, 1], [7, 7], [5, 6], [0, 0]], np.float32)
    assert search.hits(vectors, vectors) == 4
    assert search.right(vectors, vectors) == dict.fromkeys((0, 1, 3, 5), True)
    assert search.hits(vectors[[1, 0, 2, 5, 4, 3, 6]], vectors) == 0
    assert recognition.plan_search([None, None, "ada"]).queries == 0


def test_frechet_distance_is_that_of_gaussians() -> None:
    """Known exactly for diagonal covariances; 0 for a set and itself."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((4000, 3)).astype(np.float32)
    b = (rng.standard_normal((4000, 3)) * (1, 2, 3) + (1, 0, 0)).astype(np.float32)
    assert frechet.frechet(a, a) == pytest.approx(0, abs=1e-5)
    assert frechet.frechet(a, b) == pytest.approx(1 + (2 - 1) ** 2 + (3 - 1) ** 2, rel=0.06)
    assert frechet.frechet(a, b) == pytest.approx(frechet.frechet(b, a), rel=1e-4)


def test_untouched_copies_are_as_far_apart_as_halves_of_the_real_faces() -> None:
    """The yardstick: nobody is compared with himself, neither as a copy nor by his other photo."""
    rng = np.random.default_rng(1)
    people = [f"p{i // 2}" for i in range(120)]
    real = (np.repeat(rng.standard_normal((60, 4)), 2, axis=0) + 0.1 * rng.standard_normal((120, 4))).astype(np.float32)
    for first, second in frechet.halves(people, seed=0):
        assert len(first) == len(second)
        assert not {people[i] for i in first} & {people[i] for i in second}
    same, own = frechet.between_halves(real, real, people) or (0, 1)
    assert same == own
    far, own_again = frechet.between_halves(real, real + 2, people) or (0, 1)
    assert own_again == own
    assert far == pytest.approx(own + 16, rel=0.1)
    near, halves = frechet.to_others(real, real[::-1] + 2) or (0, 1)
    assert near == pytest.approx(halves + 16, rel=0.15)
    assert frechet.between_halves(real[:40], real[:40], people[:40]) is None
    assert frechet.to_others(real[:20], real) is None


def test_photos_are_read_by_name_and_pairs_stay_whole(folder: Path, tmp_path: Path) -> None:
    """The person is what stands before the last two underscores; a limit takes people, evenly."""
    photos = photos_in(folder)
    assert [photo.person for photo in photos[:4]] == ["Person_0", "Person_0", "Person_1", "Person_1"]
    assert photos[-1] == Photo(folder / "somebody.png", None)
    assert recognition.plan_search([photo.person for photo in photos]).gallery == 4
    for limit, (count, pairs) in {9: (9, 4), 4: (3, 1), 2: (2, 1), 1: (1, 0)}.items():
        few = photos_in(folder, limit=limit)
        assert len(few) == count
        assert recognition.plan_search([photo.person for photo in few]).gallery == pairs
    with pytest.raises(InputError, match="no pictures"):
        photos_in(tmp_path)


def test_a_face_set_gives_its_held_out_half(tmp_path: Path) -> None:
    """The pictures of the val split, unpacked; another folder is refused."""
    faces = write_faces(tmp_path / "faces", train=5, val=3)
    target = tmp_path / "unpacked"
    target.mkdir()
    assert [photo.path.name for photo in unpack_face_set(faces, target)] == [f"{i:05d}.webp" for i in range(3)]
    with pytest.raises(InputError, match="no face set"):
        unpack_face_set(tmp_path, target)
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="'test' has no pictures"):
        unpack_face_set(faces, tmp_path / "none", split="test")


def test_the_photo_is_of_the_face_in_its_middle(tmp_path: Path) -> None:
    """A larger face at the edge is covered as well, but it is somebody else's photo."""
    image = np.full((SIZE, 2 * SIZE, 3), 128, np.uint8)
    image[30:60, 85:115] = (230, 20, 230)
    image[10:80, 5:65] = (230, 20, 230)
    Image.fromarray(image).save(tmp_path / "two.png")
    finder = FaceFinder(CardDetector(), CardLandmarker(), Settings())
    still = finder.find(tmp_path / "two.png")
    assert still is not None
    assert len(still.faces) == 2
    assert still.place().pose.cx == pytest.approx(100, abs=3)


def points_of(**known: tuple[float, float]) -> FloatArray:
    points = UNKNOWN.copy()
    for name, at in known.items():
        points[FACE_POINT_INDEX[name]] = at
    return points


def test_groups_are_told_by_cheeks_and_nose(tmp_path: Path) -> None:
    """Skin colours of known typology angles; a nose that moves off the middle; nothing said without keypoints."""
    eyes = {"right_eye": (38.0, 40.0), "left_eye": (58.0, 40.0)}
    points = points_of(**eyes, mouth_right=(40.0, 60.0), mouth_left=(56.0, 60.0), nose=(48.0, 50.0))
    colours = {"light": (235, 205, 185), "medium": (190, 145, 115), "dark": (95, 65, 45)}
    for name, colour in colours.items():
        Image.new("RGB", (SIZE, SIZE), colour).save(tmp_path / "skin.png")
        finder = FaceFinder(CardDetector(), CardLandmarker(), Settings())
        draw(tmp_path / "card.png", (230, 20, 230))
        still = finder.find(tmp_path / "card.png")
        assert still is not None
        place = Place.of(np.array([28, 28, 68, 68], np.float32), points)
        with Reader(tmp_path / "skin.png") as reader:
            crop = cut(next(iter(reader)), place)
        assert groups.tone(groups.skin(crop, place)) == name
        assert groups.tone(groups.skin(crop, Place.of(place_box(), UNKNOWN))) == groups.UNKNOWN
    assert groups.pose(points) == "facing"
    assert groups.pose(points_of(**eyes, nose=(52.0, 50.0))) == "turned"
    assert groups.pose(points_of(**eyes, nose=(57.0, 50.0))) == "far turned"
    assert groups.pose(UNKNOWN) == groups.UNKNOWN


def place_box() -> FloatArray:
    return np.array([28, 28, 68, 68], np.float32)


def test_speed_is_that_of_the_quickest_call() -> None:
    """Eight faces a call; the first one, which warms up, does not count."""
    calls: list[int] = []

    class Counting(Painter):
        """Remembers how many faces each call had."""

        def paint(self, requests: Sequence[PaintRequest]) -> list[FloatArray | None]:
            """As `FacePainter.paint`."""
            calls.append(len(requests))
            return super().paint(requests)

    times = iter([0.0, 2.0, 2.0, 2.5, 3.0, 4.0])
    painter: Any = Counting()
    speed = paint_speed(painter, calls=3, clock=lambda: next(times))
    assert calls == [8] * 4
    assert speed.faces_a_second == 16
    assert (speed.resolution, speed.device) == (32, "cpu")


def test_sheets_show_many_people_and_many_latents(folder: Path, tmp_path: Path) -> None:
    """One face a photo, and a row a person: the original, then eight that differ; never in place of another sheet."""
    examiner = Examiner(tools_of(Painter()), equipment())
    many, few = draw_sheets(photos_in(folder), examiner, equipment(), tmp_path / "sheets")
    step = CELL_PX + 4
    shape = cv2.imread(str(many)).shape
    assert shape == (2 * step, 8 * step, 3)
    rows = cv2.imread(str(few))[:, :, ::-1].astype(int)
    assert rows.shape == (8 * step, 9 * step, 3)
    middles = rows[CELL_PX // 2 :: step, CELL_PX // 2 :: step][:8, :9]
    assert len({tuple(colour) for colour in middles[0].tolist()}) > 6
    np.testing.assert_allclose(middles[0, 0], (170, 10, 245), atol=3)
    with pytest.raises(OutputError, match="exists"):
        draw_sheets(photos_in(folder), examiner, equipment(), tmp_path / "sheets")


def test_reports_have_the_same_table_in_every_form(seen: list[Seen], tmp_path: Path) -> None:
    """Markdown, a page, JSON; a suffix of another kind is refused."""
    report = report_of(seen)
    for suffix in (".md", ".html", ".json"):
        write_report(report, tmp_path / f"report{suffix}")
    text, page, data = ((tmp_path / f"report{s}").read_text(encoding="utf-8") for s in (".md", ".html", ".json"))
    assert "| faces still found, relative | >= 99.5 % | 100.00 % | 100.00 % |" in text
    assert "<td>same photo recognized (dlib &lt; 0.6)</td><td>&lt;= 1 %</td><td>100.00 %</td><td>0.00 %</td>" in page
    assert json.loads(data)["columns"][0]["rank1"] == 1
    assert "vectors" not in data
    with pytest.raises(UsageError, match=r"\.html, \.md, \.json"):
        write_report(report, tmp_path / "report.txt")


@pytest.fixture
def verb(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The verb with stand-ins for what is trained, in this process."""
    monkeypatch.setattr(Equipment, "tools", lambda _: tools_of(Painter()))

    # a single detection without keypoints is no face to the preset
    common = ["--workers", "1", "--set", "track.veto_confidence=0"]

    def call(*arguments: str) -> int:
        with pytest.raises(SystemExit) as left:
            main(["evaluate", "generator", str(folder), *common, *arguments])
        return int(left.value.code or 0)

    return call


def test_the_verb_prints_and_writes_what_it_measured(
    verb: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table on stdout, the report in its file, the grids in their folder; then JSON, of fewer photos."""
    target, grids = tmp_path / "report.md", tmp_path / "grids"
    assert verb("--out", str(target), "--grids", str(grids)) == 0
    out = capsys.readouterr().out
    head = next(line for line in out.splitlines() if line.startswith("measure"))
    assert head.split()[1:] == ["goal", "not", "anonymized", "vidanon", "blur", "mosaic", "8x8", "black-out"]
    assert "0 of 2" in out
    assert target.exists()
    assert sorted(path.name for path in grids.iterdir()) == ["latents.png", "outputs.png"]
    assert verb("--json", "--limit", "3") == 0
    assert json.loads(capsys.readouterr().out)["photos"] == 3


def test_the_verb_refuses_before_it_begins(
    verb: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Reports and grids that are there, names of no kind, scales that are none."""
    taken = tmp_path / "taken.json"
    taken.write_text("mine")
    assert verb("--out", str(taken)) == OutputError.exit_code
    assert taken.read_text() == "mine"
    assert verb("--out", str(tmp_path / "report.pdf")) == UsageError.exit_code
    assert verb("--against", "yunet.onnx@big") == UsageError.exit_code
    (tmp_path / "latents.png").write_text("mine")
    assert verb("--grids", str(tmp_path)) == OutputError.exit_code
    assert "latents.png exists" in capsys.readouterr().err
    assert verb("--overwrite", "--out", str(taken), "--limit", "2") == 0
    assert json.loads(taken.read_text())["photos"] == 2


def test_other_real_faces_can_be_the_yardstick(
    verb: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder of photos: their halves are told beside every column's distance."""
    for i in range(32):
        draw(tmp_path / f"{i:02}.png", (160 + i, i, 250 - i), shift=i % 3)
    assert verb("--real", str(tmp_path), "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["frechet_real"] == tmp_path.name
    # the nine photos of the folder are fewer than a covariance wants
    assert report["frechet_halves"] is None


def test_other_weights_are_measured_or_refused(tmp_path: Path) -> None:
    """A generator's own file is loaded; a missing one and another network's are weight errors that name the file."""
    from vidanon.models.generator import Generator, GeneratorConfig
    from vidanon.models.weights import save_weights

    config = GeneratorConfig(resolution=16)
    own = save_weights("generator", Generator(config).state_dict(), config=config.to_dict(), record={}, folder=tmp_path)
    assert equipment(weights=own).painter().resolution == 16
    other = save_weights("other", {"a": torch.zeros(1)}, config=config.to_dict(), record={}, folder=tmp_path)
    for path, message in ((tmp_path / "no.safetensors", "missing"), (other, "other.safetensors: does not fit")):
        with pytest.raises(WeightsError, match=message):
            equipment(weights=path).painter()


@pytest.mark.skipif(not (SHARED / "lfw-dev").is_dir(), reason="wants photos of people beside the project")
def test_real_people_in_real_processes() -> None:
    """Two people through everything that ships, by two processes: known untouched, unknown under a flat patch."""
    pytest.importorskip("dlib")
    made = Equipment(Settings(), "cpu")
    photos = photos_in(SHARED / "lfw-dev", limit=4)
    with Workers(made, made.tools(), count=2) as workers:
        seen = list(workers.look(photos))
    report = figures_of(seen, folder="lfw", weights="as shipped", judges=["ours"], speed=SPEED)
    columns = by_name(report)
    assert [one.photo for one in seen] == photos
    assert (columns[NONE].recognized, columns[NONE].rank1, columns[NONE].found) == (1, 1, 1)
    assert columns["solid"].recognized_unaided == 0
    assert columns["solid"].found < columns["gan"].found, "a flat patch on a head is sometimes taken for a face"
    assert (columns["gan"].peeked, columns["solid"].peeked) == (0, 0)
    assert report.fallbacks == 0


def test_groups_of_a_table_have_figures_of_their_own(seen: list[Seen], tmp_path: Path) -> None:
    """By the files' names; photos that are not listed are in no group, small groups are left out."""
    table = tmp_path / "groups.csv"
    names = [one.photo.path.name for one in seen]
    lines = [f"{name},{'yes' if i < 5 else 'no'},{'old' if i == 0 else ''}" for i, name in enumerate(names[:-1])]
    table.write_text("\n".join(["file,glasses,age", *lines, "nobody__0.png,yes,old"]))
    kinds = groups.read_groups(table)
    report = report_of(seen, kinds=kinds)
    told = {(g.kind, g.name): g.photos for g in report.groups if g.kind not in {"skin tone", "pose"}}
    others = len(names) - 6
    assert told == {("glasses", "yes"): 5} | ({("glasses", "no"): others} if others >= 5 else {})
    assert len(report_of(seen).groups) == len(report.groups) - len(told)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "wants a column file"),
        ("file\na__0.jpg\n", "at least one more"),
        ("name,age\na__0.jpg,old\n", "wants a column file"),
        ("file,age\na__0.jpg\n", "line 2 has another number"),
        ("file,age\na__0.jpg,old,yes\n", "line 2 has another number"),
        ("file,age\na__0.jpg,old\na__0.jpg,young\n", "line 3 lists a__0.jpg again"),
        (b"file,age\n\xff\xfe,old\n", "is no table of groups"),
        (None, "is no table of groups"),
    ],
)
def test_what_is_no_table_of_groups_is_refused(text: str | bytes | None, what: str, tmp_path: Path) -> None:
    """With the line, and with what such a table looks like."""
    table = tmp_path / "groups.csv"
    if text is not None:
        table.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=what) as caught:
        groups.read_groups(table)
    assert "file,age" in str(caught.value.hint)
