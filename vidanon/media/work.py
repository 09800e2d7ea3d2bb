"""The private folder beside a target in which it grows: whole and named at the end, or not at all.

In: the target path and whether it may replace something. Out: paths to write to; then `commit` gives one of them the
target's name, and `close` removes the folder or keeps it for the next run to go on with.

    .<target name>.vidanon-work/    mode 0700, on the target's own file system
        work.json                   whose it is (`WorkNote`), locked (flock) as long as somebody works in it
        *.journal                   encoded packets of painted frames: what makes it worth keeping
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import socket
import stat
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from vidanon.errors import OutputError
from vidanon.files import claim

WORK_SUFFIX = ".vidanon-work"
"""how the name of a work folder ends; it begins with a dot"""
JOURNAL_SUFFIX = ".journal"
"""of the files in a work folder that a later run can go on with"""
NOTE_NAME = "work.json"
"""of the note in a work folder, which is its lock too"""
DISK_TROUBLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})
"""errors that are a disk's, whoever meets them"""
_LOOKS, _LOOK_SECONDS = 5, 0.02


class WorkNote(msgspec.Struct, frozen=True):
    """Whose work folder it is."""

    target: str
    """path of the output"""
    source: str | None
    """path of the clip, None where there is not one clip"""
    pid: int
    """process that worked in it last"""
    host: str
    """machine of that process"""


def work_folder(target: Path) -> Path:
    """Where `target` grows."""
    return target.with_name(f".{target.name}{WORK_SUFFIX}")


def read_note(folder: Path) -> WorkNote | None:
    """What the note in a work folder says; None where there is none or it was never finished."""
    try:
        return msgspec.json.decode((folder / NOTE_NAME).read_bytes(), type=WorkNote)
    except (OSError, msgspec.DecodeError):
        return None


def is_live(folder: Path) -> bool:
    """Whether some process works in the folder at this moment. One that cannot be looked into counts as live."""
    try:
        handle = os.open(folder / NOTE_NAME, os.O_RDWR)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        return not _try_lock(handle)
    finally:
        os.close(handle)


def remove_work_folder(folder: Path) -> bool:
    """Empties and removes a work folder under its own lock, so that no run goes on with it meanwhile.

    False if somebody works in it. Raises OSError where it cannot be looked into or removed.
    """
    try:
        handle = os.open(folder / NOTE_NAME, os.O_RDWR)
    except FileNotFoundError:
        shutil.rmtree(folder)
        return True
    try:
        if not _try_lock(handle):
            return False
        for path in _note_last(folder):
            _remove(path)
        folder.rmdir()
        return True
    finally:
        os.close(handle)


class WorkFolder:
    """The work folder of one target, locked; a context manager that removes it on the way out.

    Raises OutputError on the way in: the target is the source (also through links), exists already, its folder is
    missing or cannot be written to, or another process is writing the same target.
    """

    def __init__(self, target: Path, *, source: Path | None, overwrite: bool) -> None:
        self.target = target
        self.path = work_folder(target)
        self._overwrite = overwrite
        self._check(source)
        self._lock = -1
        try:
            self._lock = self._enter()
            note = WorkNote(str(target.absolute()), str(source.absolute()) if source else None, os.getpid(), _host())
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, msgspec.json.encode(note), 0)
            for path in filter(_is_useless, self.path.iterdir()):
                _remove(path)
        except OSError as error:
            self.close(keep=True)
            raise output_error(self.path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def file(self, name: str) -> Path:
        """A new, empty file in the folder, readable by its owner alone; one of that name is replaced."""
        path = self.path / name
        try:
            path.unlink(missing_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except OSError as error:
            raise output_error(self.target, error) from error
        return path

    def journals(self) -> list[Path]:
        """The journals that lie in the folder."""
        return sorted(self.path.glob(f"*{JOURNAL_SUFFIX}"))

    def commit(self, path: Path) -> None:
        """Make a finished file of the folder durable and give it the target's name.

        Raises OutputError; the target is then untouched.
        """
        try:
            with path.open("rb+") as stream:
                os.fchmod(stream.fileno(), 0o666 & ~_umask())
                os.fsync(stream.fileno())
            if self._overwrite:
                path.replace(self.target)
            else:
                claim(path, self.target)
            _sync_folder(self.target.parent)
        except FileExistsError as error:
            raise OutputError(
                f"{self.target}: appeared while it was being written", hint="rename one of them"
            ) from error
        except OSError as error:
            raise output_error(self.target, error) from error

    def close(self, *, keep: bool = False) -> None:
        """Unlock the folder and remove it, unless it is to be kept for a later run. Closing twice is fine."""
        if self._lock < 0:
            return
        handle, self._lock = self._lock, -1
        with contextlib.suppress(OSError):
            for path in _note_last(self.path):
                if not keep or _is_useless(path):
                    _remove(path)
            if not keep:
                self.path.rmdir()
        os.close(handle)

    def _check(self, source: Path | None) -> None:
        target, folder = self.target, self.target.parent
        if not folder.is_dir():
            raise OutputError(f"{folder}: no such folder", hint="create it first")
        if source is not None and source.exists():
            inside = source.resolve().is_relative_to(self.path.resolve())
            if inside or (target.exists() and target.samefile(source)):
                raise OutputError(f"{target}: would overwrite its own source", hint="choose another name or folder")
        if target.is_dir():
            raise OutputError(f"{target}: is a folder")
        if target.exists() and not self._overwrite:
            raise OutputError(f"{target}: exists already", hint="choose another name, or allow overwriting")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OutputError(f"{folder}: cannot be written to", hint="check its permissions")

    def _enter(self) -> int:
        """The handle of the locked note in the folder, which is made if need be."""
        while True:
            with contextlib.suppress(FileExistsError):
                self.path.mkdir(mode=0o700)
            kind = self.path.lstat()
            if not stat.S_ISDIR(kind.st_mode) or kind.st_uid != os.geteuid():
                raise OutputError(f"{self.path}: is in the way", hint="remove it; it is no work folder of yours")
            self.path.chmod(0o700)
            handle = os.open(self.path / NOTE_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                _lock(handle)
                # Somebody may have removed the folder between opening and locking.
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(handle), (self.path / NOTE_NAME).stat()):
                        return handle
            except BlockingIOError as error:
                os.close(handle)
                note = read_note(self.path)
                by = f" (process {note.pid} on {note.host})" if note else ""
                raise OutputError(
                    f"{self.target}: is being written by another run{by}", hint="wait for it, or stop it"
                ) from error
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _note_last(folder: Path) -> list[Path]:
    """What is in a folder; the locked file goes last, so that nobody takes it over while it is being emptied."""
    return sorted(folder.iterdir(), key=lambda path: path.name == NOTE_NAME)


def _lock(handle: int) -> None:
    """Locks an open file, or raises BlockingIOError; `is_live`, which only looks, is waited for."""
    for _ in range(_LOOKS):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(_LOOK_SECONDS)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def output_error(path: Path, error: OSError) -> OutputError:
    """An OSError of writing `path`, as something the user can act on."""
    hint = {
        errno.ENOSPC: "free some space, or write to another disk",
        errno.EDQUOT: "your disk quota is used up",
        errno.EFBIG: "the file system or a limit allows no file this large",
        errno.EACCES: "check the permissions",
        errno.EROFS: "the file system is read-only",
        errno.ENOENT: "its folder has been removed or renamed meanwhile",
    }.get(error.errno or 0)
    return OutputError(f"{path}: cannot be written: {error.strerror or error}", hint=hint)


def _is_useless(path: Path) -> bool:
    """Whether a file of a work folder is of no use to a later run: half an output."""
    return path.name != NOTE_NAME and JOURNAL_SUFFIX not in path.name


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _host() -> str:
    return socket.gethostname()


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
