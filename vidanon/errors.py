"""Every error vidanon raises on purpose, and the exit code the command line turns it into.

    VidanonError ............. 1   anything of ours; also: some of several inputs failed
    ├── UsageError ........... 2   the request makes no sense: options, paths, presets
    │   └── SettingsError .... 2   a preset or a setting is wrong
    ├── InputError ........... 3   the input is missing, empty, not a video or picture, or damaged
    ├── OutputError .......... 4   the output cannot be written: permission, disk full, exists already
    ├── PlanError ............ 5   the plan is missing, damaged, unfinished, or of another file
    ├── WeightsError ......... 6   a weight file is missing or its checksum does not fit
    ├── DeviceError .......... 7   the asked-for device is not there, ran out of memory, or gave no numbers
    └── RenderError .......... 8   a face could not be covered, so there is no output
    (Ctrl-C) ................. 130

A message says what happened and where; `hint` says what to do next.
"""

from __future__ import annotations


class VidanonError(Exception):
    """Base of all. Args: `message`, one line; `hint`, one line or None."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(VidanonError):
    """The request makes no sense."""

    exit_code = 2


class SettingsError(UsageError):
    """A preset or a setting is wrong."""


class InputError(VidanonError):
    """The input is missing, empty, not a video or picture, or damaged."""

    exit_code = 3


class OutputError(VidanonError):
    """The output cannot be written."""

    exit_code = 4


class PlanError(VidanonError):
    """The plan is missing, damaged, unfinished, or belongs to another file."""

    exit_code = 5


class WeightsError(VidanonError):
    """A weight file is missing or does not fit its checksum."""

    exit_code = 6


class DeviceError(VidanonError):
    """The asked-for device is not there, ran out of memory for a single picture, or gave no numbers."""

    exit_code = 7


class RenderError(VidanonError):
    """A face could not be covered, so there is no output."""

    exit_code = 8
