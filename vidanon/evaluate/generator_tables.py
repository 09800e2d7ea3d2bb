"""A `GeneratorReport` for people: the same table on a terminal, as Markdown and as a web page.

In: a report. Out: rows of text; files whose kind their names say.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from vidanon.errors import OutputError, UsageError
from vidanon.evaluate.generator_report import GeneratorReport

NAMES = {
    "none": "not anonymized",
    "gan": "vidanon",
    "blur": "blur",
    "mosaic": "mosaic 8x8",
    "solid": "black-out",
}
"""of the columns"""
DASH = "-"
SUFFIXES = (".html", ".md", ".json")

_TEMPLATE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2rem; max-width: 75rem }}
table {{ border-collapse: collapse; margin: 1rem 0 }}
th, td {{ border: 1px solid #ccc; padding: .25rem .6rem; text-align: right }}
th:first-child, td:first-child {{ text-align: left }}
</style>
<h1>{title}</h1>
{body}
</html>
"""


@dataclass(frozen=True, slots=True)
class Table:
    """One table."""

    title: str
    """what it is of"""
    heads: tuple[str, ...]
    """of the columns"""
    rows: tuple[tuple[str, ...], ...]
    """cells"""


def tables(report: GeneratorReport) -> list[Table]:
    """The main table, and the groups' where there are any."""
    rows = [(words, goal, *cells) for words, goal, cells in _rows(report)]
    heads = ("measure", "goal", *(NAMES[column.name] for column in report.columns))
    out = [Table("Every photo", heads, tuple(rows))]
    if report.groups:
        groups = [
            (
                f"{g.kind}: {g.name}",
                str(g.photos),
                *(_percent(v) for v in (g.found, g.recognized, g.rank1)),
                _two(g.mouth),
            )
            for g in report.groups
        ]
        heads = ("vidanon, by group", "photos", "faces still found", "recognized", "rank 1", "mouth")
        out.append(Table("By group", heads, tuple(groups)))
    return out


def notes(report: GeneratorReport) -> list[str]:
    """Sentences that belong to the tables."""
    size = DASH if report.size_px is None else f"{report.size_px:.0f}"
    judges = zip(report.judges, report.judges_faces, strict=True)
    lines = [
        f"{report.folder}: {report.photos} photos, {report.faces} faces covered, main face {size} px in the median",
        f"left out of all figures, as our detector finds no face in them: {report.faceless} photos",
        f"failed on by the generator, and covered by the fallback: {report.fallbacks} faces",
        "judges: " + ", ".join(f"{judge} ({faces} of these faces in the originals)" for judge, faces in judges),
    ]
    if report.searches:
        lines.append(
            f"rank 1: {report.searches} searches among {report.gallery} photos, chance {_percent(report.chance)}; dlib "
            f"distance between two originals of one person {_two(report.same_person)}, of two people "
            f"{_two(report.other_person)}, medians"
        )
    else:
        lines.append("nobody has two photos (NAME__0.jpg, NAME__1.jpg), so nobody could be looked for")
    intervals = (("recognized", report.recognized_within), ("rank 1", report.rank1_within))
    known = [f"{what} {_percent(low)} to {_percent(high)}" for what, (low, high) in _given(intervals)]
    if known:
        lines.append(f"95 % confidence intervals of vidanon's shares: {', '.join(known)}")
    if report.frechet_halves is not None:
        lines.append(
            f"two halves of the real faces ({report.frechet_real}) are {report.frechet_halves:.4f} apart (Fréchet)"
        )
    s = report.speed
    lines.append(
        f"generator {report.weights}, {s.resolution} px: alone it paints {s.faces_a_second:.1f} faces a second, 8 at a "
        f"time, on {s.device} with {s.threads} CPU threads"
    )
    return lines


def _rows(report: GeneratorReport) -> list[tuple[str, str, list[str]]]:
    columns = report.columns

    def row(words: str, goal: str, field: str, form: str) -> tuple[str, str, list[str]]:
        return words, goal, [_cell(getattr(column, field), form) for column in columns]

    chance = DASH if report.chance is None else f"<= 1 % (chance {_percent(report.chance)})"
    judges = [
        (f"  by {name}", "", [_percent(column.found_by[j]) for column in columns])
        for j, name in enumerate(report.judges)
    ]
    peeked = [DASH if column.peeked is None else f"{column.peeked} of {report.blind_tried}" for column in columns]
    speed = [f"{report.speed.faces_a_second:.1f}" if column.name == "gan" else DASH for column in columns]
    return [
        row("faces still found, relative", ">= 99.5 %", "found", "%"),
        *(judges if len(judges) > 1 else []),
        row("  of those found in the original", "", "found_again", "%"),
        row("same photo recognized (dlib < 0.6)", "<= 1 %", "recognized", "%"),
        row("  and dlib's own detector sees a face", "", "recognized_unaided", "%"),
        row("dlib's own detector sees a face", "", "looked_at", "%"),
        row("dlib distance to the original, median", "", "distance", ".3f"),
        row("person found at rank 1 by the other photo", chance, "rank1", "%"),
        row("crop off by up to 4 %: dlib distance, median", "<= 0.25", "jitter_distance", ".3f"),
        row("another latent: dlib distance, median", ">= 0.55", "latents_distance", ".3f"),
        row("Fréchet distance from real faces", "", "frechet", ".4f"),
        row("skin colour off by (dE), median", "", "skin", ".1f"),
        row("mouth opening, correlation", ">= 0.9", "mouth", ".3f"),
        row("  how far for the original's 1", "", "mouth_gain", ".2f"),
        row("lid opening, correlation", ">= 0.9", "lids", ".3f"),
        row("  how far for the original's 1", "", "lids_gain", ".2f"),
        ("changed by pixels under the mask", "0", peeked),
        ("faces a second, 8 at a time", ">= 25", speed),
    ]


def _cell(value: float | None, form: str) -> str:
    if value is None:
        return DASH
    return _percent(value) if form == "%" else format(value, form)


def _given(
    pairs: Sequence[tuple[str, tuple[float, float] | None]],
) -> list[tuple[str, tuple[float, float]]]:
    return [(what, value) for what, value in pairs if value is not None]


def _percent(value: float | None) -> str:
    return DASH if value is None else f"{100 * value:.2f} %"


def _two(value: float | None) -> str:
    return DASH if value is None else f"{value:.2f}"


def require_writable(target: Path, *, overwrite: bool) -> None:
    """Raises, before the photos are looked at, what would keep a report from being written.

    That is UsageError for a name of no kind we write, OutputError if it is there already.
    """
    if target.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{target}: a report is one of {', '.join(SUFFIXES)}", hint="name it report.html")
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists", hint="choose another name, or pass --overwrite")


def write_report(report: GeneratorReport, target: Path) -> None:
    """Writes a report as its suffix says. Raises UsageError for a suffix of another kind, OutputError as files do."""
    require_writable(target, overwrite=True)
    kind = target.suffix.lower()
    if kind == ".json":
        text = msgspec.json.format(msgspec.json.encode(asdict(report)), indent=2).decode() + "\n"
    else:
        text = _markdown(report) if kind == ".md" else _page(report)
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as e:
        raise OutputError(f"{target}: cannot be written: {e.strerror}", hint="choose another folder") from e


def _title(report: GeneratorReport) -> str:
    return f"New faces for {report.folder}"


def _markdown(report: GeneratorReport) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    parts = [f"# {_title(report)}", "", *(f"- {note}" for note in notes(report)), ""]
    for table in tables(report):
        parts += [line(table.heads), line(["---"] * len(table.heads)), *(line(row) for row in table.rows), ""]
    return "\n".join(parts)


def _page(report: GeneratorReport) -> str:
    parts = ["<ul>", *(f"<li>{html.escape(note)}</li>" for note in notes(report)), "</ul>"]
    for table in tables(report):
        parts.append("<table><tr>" + "".join(f"<th>{html.escape(head)}</th>" for head in table.heads) + "</tr>")
        for row in table.rows:
            cells = (html.escape(cell).replace("  ", "&emsp;") for cell in row)
            parts.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
        parts.append("</table>")
    return _TEMPLATE.format(title=html.escape(_title(report)), body="\n".join(parts))
