"""Settings: four layers, each value knows where it came from, nothing wrong slips through."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidanon import locations
from vidanon.errors import SettingsError
from vidanon.settings import DEFAULT_PRESET, Settings, expected, find_preset, load, presets, setting_types

SHIPPED = sorted(path.stem for path in locations.presets_dir().glob("*.toml"))


def written(folder: Path, text: str, name: str = "mine.toml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_preset_loads_and_describes_itself(name: str) -> None:
    """A preset that ships is valid and has a line for the list."""
    settings, _ = load(name, environ={})
    assert settings.description
    assert settings.detect.weak_threshold <= settings.detect.threshold


@pytest.mark.parametrize("name", SHIPPED)
def test_no_shipped_preset_drops_a_track_for_being_short(name: str) -> None:
    """One confident detection is enough to be covered, whatever the preset."""
    assert load(name, environ={})[0].track.min_detections == 1


def test_the_default_preset_is_shipped() -> None:
    """A run without --preset finds its preset."""
    assert DEFAULT_PRESET in SHIPPED
    assert load(environ={})[0] == load(DEFAULT_PRESET, environ={})[0]


def test_later_layers_win_and_say_so(tmp_path: Path) -> None:
    """Default, preset, environment, caller: the last one that speaks is the value and the origin."""
    path = written(tmp_path, "[detect]\nthreshold = 0.6\nmin_face_px = 20\n[run]\nbatch_size = 4\n")
    settings, origins = load(
        path,
        overrides={"run.batch_size": 2, "run.device": None},
        environ={"VIDANON_DETECT__MIN_FACE_PX": "30", "VIDANON_RUN__BATCH_SIZE": "3"},
        names={"run.batch_size": "--batch-size"},
    )
    assert (settings.detect.threshold, settings.detect.min_face_px, settings.run.batch_size) == (0.6, 30.0, 2)
    assert origins["detect.threshold"] == f"preset {path}"
    assert origins["detect.min_face_px"] == "environment VIDANON_DETECT__MIN_FACE_PX"
    assert origins["run.batch_size"] == "--batch-size"
    assert origins["run.device"] == origins["render.method"] == "default"


def test_every_setting_has_an_origin() -> None:
    """Origins cover all keys, also those nobody set."""
    _, origins = load(environ={})
    assert list(origins) == list(setting_types())


@pytest.mark.parametrize("key", ["detect.threshold", "detect__threshold", "threshold"])
def test_a_caller_may_write_a_key_in_three_ways(key: str) -> None:
    """Dotted, with a double underscore, or short."""
    assert load(overrides={key: 0.7}, environ={})[0].detect.threshold == 0.7


def test_text_is_read_as_the_type_a_setting_has() -> None:
    """What comes from a command line is text, and becomes numbers and booleans."""
    texts = {"output.crf": "12", "output.overwrite": "true", "run.threads": "2", "render.method": "blur"}
    settings, _ = load(overrides=texts, environ={})
    assert (settings.output.crf, settings.output.overwrite) == (12.0, True)
    assert (settings.run.threads, settings.render.method) == (2, "blur")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[detect]\nthresold = 0.3\n", ["detect.thresold", "did you mean detect.threshold?"]),
        ("[detekt]\nthreshold = 0.3\n", ["detekt.threshold", "did you mean detect.threshold?"]),
        ("colour = 3\n", ["unknown setting colour"]),
        ("detect = 3\n", ["detect", "is a section"]),
        ("[detect]\nthreshold = 1.5\n", ["detect.threshold = 1.5", "a number from 0 to 1"]),
        ("[detect]\nthreshold = nan\n", ["detect.threshold = nan", "a number from 0 to 1"]),
        ("[detect]\nmin_face_px = inf\n", ["detect.min_face_px = inf", "a number above 0"]),
        ('[detect]\nthreshold = "0.5"\n', ["detect.threshold = '0.5'"]),
        ('[render]\nmethod = "gna"\n', ["render.method = 'gna'", "gan"]),
        ("[run]\nbatch_size = 0\n", ["run.batch_size = 0", "a whole number of at least 1"]),
        ("[run\n", ["cannot be read"]),
        ("[detect]\nthreshold = 0.3\nweak_threshold = 0.4\n", ["detect.weak_threshold = 0.4", "is above"]),
    ],
)
def test_a_wrong_preset_is_refused_in_one_line_that_says_what_and_where(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    """What is wrong, in which preset, and what to do about it."""
    path = written(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load(path, environ={})
    said = str(caught.value)
    assert "\n" not in said
    assert str(path) in said
    for word in words:
        assert word in said


def test_a_misspelt_preset_is_met_with_a_suggestion() -> None:
    """The nearest name is offered."""
    with pytest.raises(SettingsError, match="did you mean broadcast"):
        find_preset("brodcast", {})


def test_an_unknown_setting_in_the_environment_is_refused() -> None:
    """A misspelt variable does not silently do nothing."""
    with pytest.raises(SettingsError, match="VIDANON_DETECT__THRESOLD"):
        load(environ={"VIDANON_DETECT__THRESOLD": "0.1"})


def test_variables_that_are_no_settings_are_left_alone() -> None:
    """VIDANON_DEBUG has no section, and an empty variable is an unset one."""
    assert load(environ={"VIDANON_DEBUG": "1", "VIDANON_RUN__DEVICE": ""})[0] == load(environ={})[0]


def test_lowering_the_threshold_takes_a_presets_weak_threshold_along() -> None:
    """Who asks for more sensitivity with one option gets it, and sees what followed."""
    settings, origins = load(overrides={"detect.threshold": 0.1}, environ={}, names={"detect.threshold": "--threshold"})
    assert settings.detect.weak_threshold == 0.1
    assert origins["detect.weak_threshold"] == "lowered with detect.threshold (--threshold)"


def test_a_weak_threshold_asked_for_above_the_threshold_is_refused() -> None:
    """What continues a track is never surer than what starts one."""
    with pytest.raises(SettingsError, match=r"detect\.weak_threshold = 0\.9"):
        load(overrides={"detect.weak_threshold": 0.9}, environ={})


def test_a_users_preset_stands_before_a_shipped_one(tmp_path: Path) -> None:
    """The user's folder is searched, and its presets say by their path that they are not the shipped ones."""
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    path = written(tmp_path, 'description = "mine"\n', f"vidanon/presets/{DEFAULT_PRESET}.toml")
    assert presets(environ)[DEFAULT_PRESET] == path
    settings, origins = load(environ=environ)
    assert settings.description == "mine"
    assert origins["description"] == f"preset {path}"


def test_relative_xdg_folders_are_ignored() -> None:
    """As the base directory specification demands."""
    assert locations.config_dir({"XDG_CONFIG_HOME": "here", "HOME": "/home/her"}) == Path("/home/her/.config/vidanon")


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_whatever_number_is_asked_for_a_loaded_threshold_is_between_0_and_1(number: float) -> None:
    """Refused or in range, there is no third."""
    try:
        settings, _ = load(overrides={"detect.threshold": number}, environ={})
    except SettingsError:
        return
    assert 0 <= settings.detect.weak_threshold <= settings.detect.threshold <= 1


def test_what_is_allowed_is_said_for_every_setting() -> None:
    """`presets show` has words for each type there is."""
    words = {key: expected(kind) for key, kind in setting_types().items()}
    assert words["render.fallback"] == "one of blur, mosaic, solid"
    assert words["output.overwrite"] == "true or false"
    assert words["run.threads"] == "a whole number of at least 0"
    assert all(words.values())


def test_settings_cannot_be_changed_after_loading() -> None:
    """Frozen, so that no room can change what another one runs by."""
    with pytest.raises(AttributeError):
        Settings().detect.threshold = 0.1  # type: ignore[misc]
