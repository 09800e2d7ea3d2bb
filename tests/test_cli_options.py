"""What is typed for the output becomes the setting of that name."""

from __future__ import annotations

import pytest

from vidanon.cli.options import FLAGS, encoder_options, settings_of
from vidanon.errors import UsageError
from vidanon.settings import setting_types


def test_encoder_options_are_joined_as_ffmpeg_writes_them() -> None:
    """A colon within a value is not taken for the next option."""
    assert encoder_options(["tune=film", "x264-params=me=hex:subme=7"]) == r"tune=film:x264-params=me=hex\:subme=7"
    assert encoder_options([r"path=a\b"]) == r"path=a\\b"


@pytest.mark.parametrize("nothing", [None, []])
def test_an_option_that_was_not_typed_leaves_the_preset_in_charge(nothing: list[str] | None) -> None:
    """None is what `settings_of` takes for not typed."""
    assert encoder_options(nothing) is None


@pytest.mark.parametrize("text", ["film", "=film", " =film"])
def test_an_encoder_option_without_a_name_or_a_value_is_refused(text: str) -> None:
    """With the way to write it."""
    with pytest.raises(UsageError, match="write --encoder-option"):
        encoder_options([text])


def test_an_empty_list_of_tags_is_an_answer() -> None:
    """--keep-metadata "" keeps nothing, whatever the preset keeps."""
    settings, origins = settings_of("broadcast", {"output.keep_metadata": ""}, None)
    assert settings.output.keep_metadata == ""
    assert origins["output.keep_metadata"] == "--keep-metadata"


def test_every_flag_sets_a_setting_that_exists() -> None:
    """The table that messages are made of has no slip in it."""
    assert FLAGS.keys() <= setting_types().keys()


def test_the_strictest_preset_lets_no_time_of_day_pass() -> None:
    """A camera's timecode is often a clock."""
    assert "timecode" not in settings_of("strict", {}, None)[0].output.keep_metadata
