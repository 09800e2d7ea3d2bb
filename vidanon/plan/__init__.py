"""The written-down decision: one SQLite file beside the clip that says which face is where and what happens to it.

`store.Plan` reads and writes it, `export` turns it into JSON, `summary` into numbers. No pixel is ever written down.
"""

from __future__ import annotations

from vidanon.plan.schema import PLAN_SCHEMA, Edit, Header
from vidanon.plan.store import Plan

__all__ = ["PLAN_SCHEMA", "Edit", "Header", "Plan"]
