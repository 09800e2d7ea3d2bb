"""vidanon: replaces the people in a video by people who do not exist.

`import vidanon` is cheap; the networks are imported when `anonymize` is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vidanon.pipeline.events import Listener
    from vidanon.pipeline.reports import RunReport
    from vidanon.types import Method

__version__ = "0.1.0"
__all__ = ["__version__", "anonymize"]


def anonymize(
    inputs: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    preset: str | Path | None = None,
    method: Method | None = None,
    device: str | None = None,
    key_file: str | Path | None = None,
    plan: str | Path | None = None,
    overwrite: bool | None = None,
    on_event: Listener | None = None,
    **overrides: object,
) -> RunReport:
    """Scans, settles and renders: what `vidanon run` does.

    Args: `inputs`, videos, still pictures and folders of either; `output`, a file for one input file, else a folder
    in which the inputs' trees are mirrored; `preset`, a name or a .toml path, None for the default one; `method`,
    gan, blur, mosaic or solid; `device`, auto, cpu or cuda:N; `key_file`, the secret the new faces are derived from,
    made where it is missing; `plan`, where the plan of a single input is kept; `on_event`, called with the events of
    `vidanon.pipeline.events`; `overrides`, any other setting by its name ("min_face_px", "track__pad_seconds").
    None everywhere means: as the preset and the environment say.

    Returns what was written. With several inputs, one that fails does not stop the others and is listed in
    `.failures`; look at `.ok`.
    Raises VidanonError (see `vidanon.errors`): of any input when there is only one, else of the request as a whole.
    """
    from vidanon.pipeline import run
    from vidanon.settings import load

    asked = {"render.method": method, "run.device": device, "output.overwrite": overwrite, **overrides}
    settings, _ = load(preset, overrides=asked)
    paths = [inputs] if isinstance(inputs, str | Path) else inputs
    report = run.anonymize(
        [Path(path) for path in paths],
        Path(output),
        settings=settings,
        key_file=None if key_file is None else Path(key_file),
        plan=None if plan is None else Path(plan),
        listen=on_event,
    )
    if len(report.failures) == 1 and not report.files:
        raise report.failures[0][1]
    return report
