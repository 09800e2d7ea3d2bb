"""Is a settled plan whole: would a render of it leave a face bare that it knows of?

In: the open database of a plan. Out: what is wrong, or None. Plans are open to any SQLite tool, and a row deleted by
hand must not become a naked frame.
"""

from __future__ import annotations

import sqlite3

_OWNERLESS = """
SELECT o.track, o.frame FROM observations o LEFT JOIN tracks t ON t.number = o.track
WHERE t.number IS NULL OR t.action NOT IN ('anonymize', 'keep') ORDER BY o.frame LIMIT 1
"""
_INCOMPLETE = """
SELECT t.number, t.last - t.first + 1, coalesce(o.n, 0)
FROM tracks t LEFT JOIN
    (SELECT track, count(DISTINCT frame) AS n, min(frame) AS low, max(frame) AS high FROM observations GROUP BY track) o
    ON o.track = t.number
WHERE o.n IS NOT t.last - t.first + 1 OR o.low IS NOT t.first OR o.high IS NOT t.last ORDER BY t.number LIMIT 1
"""


def missing(db: sqlite3.Connection) -> str | None:
    """What a settled plan lacks: faces of a track that is not there, or frames of one that is. None if nothing."""
    row = db.execute(_OWNERLESS).fetchone()
    if row is not None:
        return f"frame {row[1]} has a face of track {row[0]}, which is missing"
    row = db.execute(_INCOMPLETE).fetchone()
    if row is not None:
        return f"track {row[0]} runs over {row[1]} frames and has faces for {row[2]} of them"
    return None
