"""Where things live: shipped folders in the source tree or the installed package, and the user's XDG folders.

Nothing here creates a folder; who writes, creates. The XDG variables are those of the base directory specification
(https://specifications.freedesktop.org/basedir-spec/): unset, empty and relative values mean the default.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def _shipped(name: str) -> Path:
    """A folder that the wheel carries inside the package and a checkout has beside it."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name


def presets_dir() -> Path:
    """The shipped presets."""
    return _shipped("presets")


def weights_dir() -> Path:
    """The shipped weights and their manifest."""
    return _shipped("weights")


def _xdg(variable: str, default: str, environ: Mapping[str, str] | None) -> Path:
    environ = os.environ if environ is None else environ
    named = environ.get(variable, "")
    base = Path(named) if named and Path(named).is_absolute() else Path(environ.get("HOME") or Path.home()) / default
    return base / "vidanon"


def config_dir(environ: Mapping[str, str] | None = None) -> Path:
    """The user's settings, ~/.config/vidanon unless XDG_CONFIG_HOME says otherwise."""
    return _xdg("XDG_CONFIG_HOME", ".config", environ)


def data_dir(environ: Mapping[str, str] | None = None) -> Path:
    """What must be kept, such as keys: ~/.local/share/vidanon unless XDG_DATA_HOME says otherwise."""
    return _xdg("XDG_DATA_HOME", ".local/share", environ)


def cache_dir(environ: Mapping[str, str] | None = None) -> Path:
    """What can be made again: ~/.cache/vidanon unless XDG_CACHE_HOME says otherwise."""
    return _xdg("XDG_CACHE_HOME", ".cache", environ)


def user_presets_dir(environ: Mapping[str, str] | None = None) -> Path:
    """The user's own presets; one with a shipped preset's name stands before it."""
    return config_dir(environ) / "presets"
