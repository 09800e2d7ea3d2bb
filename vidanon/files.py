"""Giving a finished file its name: `claim`."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def claim(made: Path, path: Path) -> None:
    """Renames `made` to `path` in one step, unless there is something already.

    Raises FileExistsError, and OSError; `made` is then still there.
    """
    try:
        os.link(made, path)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links: the check and the rename are then two steps.
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        made.replace(path)
    else:
        made.unlink()
