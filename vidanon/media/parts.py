"""A file that appears whole or not at all: it grows under `<name>.part` and gets its name at the very end.

In: the target path and whether it may replace something. Out: the path to write to; then `commit` or `discard`.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from vidanon.errors import OutputError


class PartFile:
    """The unfinished file beside a target. It is readable by its owner alone until it is finished.

    Raises OutputError on the way in: the target is the source (also through links), exists already, or its folder
    is missing or cannot be written to.
    """

    def __init__(self, target: Path, *, source: Path | None, overwrite: bool) -> None:
        self.target = target
        self.path = target.with_name(target.name + ".part")
        self._overwrite = overwrite
        folder = target.parent
        if not folder.is_dir():
            raise OutputError(f"{folder}: no such folder", hint="create it first")
        for path in (target, self.path):
            if source is not None and path.exists() and source.exists() and path.samefile(source):
                raise OutputError(f"{target}: would overwrite its own source", hint="choose another name or folder")
        if target.is_dir():
            raise OutputError(f"{target}: is a folder")
        if target.exists() and not overwrite:
            raise OutputError(f"{target}: exists already", hint="choose another name, or allow overwriting")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OutputError(f"{folder}: cannot be written to", hint="check its permissions")
        try:
            # What a killed run left behind is of no use to anybody.
            self.path.unlink(missing_ok=True)
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except OSError as error:
            raise output_error(self.path, error) from error

    def commit(self) -> None:
        """Make the file durable and give it its name. Raises OutputError; the target is then untouched."""
        try:
            with self.path.open("rb+") as stream:
                os.fchmod(stream.fileno(), 0o666 & ~_umask())
                os.fsync(stream.fileno())
            if self._overwrite:
                self.path.replace(self.target)
            else:
                self._claim()
            _sync_folder(self.target.parent)
        except OSError as error:
            raise output_error(self.target, error) from error

    def discard(self) -> None:
        """Remove the unfinished file, if it is there."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _claim(self) -> None:
        """Rename without replacing what somebody else has put there meanwhile."""
        try:
            os.link(self.path, self.target)
        except FileExistsError as error:
            raise OutputError(
                f"{self.target}: appeared while it was being written", hint="rename one of them"
            ) from error
        except OSError:
            # A file system without hard links: the check and the rename are then two steps.
            if self.target.exists():
                raise OutputError(f"{self.target}: appeared while it was being written") from None
            self.path.replace(self.target)
        else:
            self.path.unlink()


def output_error(path: Path, error: OSError) -> OutputError:
    """An OSError of writing `path`, as something the user can act on."""
    hint = {
        errno.ENOSPC: "free some space, or write to another disk",
        errno.EDQUOT: "your disk quota is used up",
        errno.EFBIG: "the file system or a limit allows no file this large",
        errno.EACCES: "check the permissions",
        errno.EROFS: "the file system is read-only",
    }.get(error.errno or 0)
    return OutputError(f"{path}: cannot be written: {error.strerror or error}", hint=hint)


def _umask() -> int:
    # Asking the kernel has no side effect on other threads; setting and resetting would.
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    # Not every file system lets a folder be synced; the rename itself has succeeded by now.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
