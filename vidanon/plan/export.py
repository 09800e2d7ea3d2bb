"""A plan as JSON, streamed: valid JSON (no NaN), one line a frame, of any length in constant memory.

    {"vidanon_plan": 1,
     "source": name, "fingerprint": ..., "width": px, "height": px, "time_base": "1/90000",
     "settings": {...}, "state": "settled", "frame_count": n,
     "edits": [{"track": 1, "kind": "action", "value": "keep", "applied": true}, ...],
     "tracks": [{"number": 1, "first": frame, "last": frame, "identity": name, "action": "anonymize"}, ...],
     "frames": [{"index": 0, "pts": 0, "seconds": 0.0, "faces": [
         {"track": 1, "box": [x0, y0, x1, y1], "keypoints": {"right_eye": [x, y], "nose": null, ...},
          "score": 0.97, "source": "detected"}]}, ...]}

Coordinates are px of the upright picture, rounded to 1/1000 px; a keypoint that is not known is null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, TextIO

import msgspec

from vidanon.plan.schema import PLAN_SCHEMA
from vidanon.plan.store import Plan
from vidanon.types import FACE_POINTS, Observation


def export(plan: Plan) -> Iterator[str]:
    """The plan as pieces of one JSON document, in the order of the file. Raises PlanError if the plan is damaged."""
    header = plan.header
    head = {
        "vidanon_plan": PLAN_SCHEMA,
        "source": header.source_name,
        "fingerprint": header.fingerprint,
        "width": header.width,
        "height": header.height,
        "time_base": str(header.time_base),
        "settings": _settings(header.settings_json),
        "state": header.state,
        "frame_count": header.frames,
        "edits": [{"track": e.track, "kind": e.kind, "value": e.value, "applied": e.applied} for e in plan.edits()],
        "tracks": [
            {"number": t.number, "first": t.first, "last": t.last, "identity": t.identity, "action": t.action}
            for t in plan.tracks()
        ],
    }
    yield _text(head)[:-1] + ',"frames":['
    faces = plan.observations(0, None)
    ahead = next(faces, None)
    for index, pts in plan.frame_times():
        found: list[Observation] = []
        if ahead is not None and ahead[0] == index:
            found = ahead[1]
            ahead = next(faces, None)
        frame = {
            "index": index,
            "pts": pts,
            "seconds": float(pts * header.time_base),
            "faces": [_face(item) for item in found],
        }
        yield ("\n" if index == 0 else ",\n") + _text(frame)
    yield "\n]}\n"


def write_json(plan: Plan, stream: TextIO) -> None:
    """Writes `export(plan)` to a text stream."""
    stream.writelines(export(plan))


def _face(item: Observation) -> dict[str, Any]:
    points = item.points.tolist()
    return {
        "track": item.track,
        "box": [round(v, 3) for v in item.box.tolist()],
        "keypoints": {
            name: [round(x, 3), round(y, 3)] if math.isfinite(x) and math.isfinite(y) else None
            for name, (x, y) in zip(FACE_POINTS, points, strict=True)
        },
        "score": round(item.score, 4),
        "source": item.source,
    }


def _settings(text: str) -> Any:
    # A plan made by a program of its own may carry any text there; it is passed on rather than refused.
    try:
        return json.loads(text)
    except ValueError:
        return text


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
