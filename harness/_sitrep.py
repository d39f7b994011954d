"""What a subject's operations view tells, in the harness's own words: figures, lines about tasks, and remarks.

A subject says where in its answers each of these stands, by keys joined with dots.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FIGURES = {
    "total": "task_metrics.total_tasks",
    "active": "task_metrics.active_tasks",
    "completed": "task_metrics.completed_tasks",
    "failed": "task_metrics.failed_tasks",
    "pending": "task_metrics.pending_tasks",
    "success_rate": "task_metrics.success_rate",
}
LINE_FIELDS = (
    "task_id",
    "name",
    "status",
    "description",
    "started_at",
    "completed_at",
    "duration_seconds",
    "error_message",
    "worker",
    "args",
    "kwargs",
    "retries",
)
REMARKS = (
    "workers_answered",
    "registry_answered",
    "results_answered",
    "workers",
    "unread",
    "malformed",
    "age_seconds",
    "gathered_at",
)
WORDS = ("pending", "in_progress", "completed", "failed", "cancelled")


@dataclass(frozen=True)
class SitrepShape:
    """A subject's own words: `figures` and `remarks` by dotted keys; `recent` leads to the newest tasks.

    `line` is what a line calls each of `LINE_FIELDS`; `words` what it calls each status of `WORDS`. In a page of the
    list, `items` holds its lines and `next` the cursor of the next.
    """

    figures: Mapping[str, str]
    remarks: Mapping[str, str]
    line: Mapping[str, str]
    words: Mapping[str, str]
    recent: str = "recent_tasks"
    items: str = "tasks"
    next: str = "next"


def sitrep_shape(section: Mapping[str, Any]) -> SitrepShape:
    """From a subject's file."""
    return SitrepShape(
        figures={**FIGURES, **section.get("figures", {})},
        remarks=section.get("remarks", {}),
        line={name: name for name in LINE_FIELDS} | section.get("line", {}),
        words={word: word for word in WORDS} | section.get("words", {}),
        **{name: section[name] for name in ("recent", "items", "next") if name in section},
    )


def sitrep_of(body: object, shape: SitrepShape) -> dict[str, Any]:
    """`figures`, `lines` and `remarks` of an answer; a figure that it does not tell is None."""
    return {
        "figures": {name: _at(body, key) for name, key in shape.figures.items()},
        "remarks": {name: _at(body, key) for name, key in shape.remarks.items()},
        "lines": _lines(_at(body, shape.recent), shape),
    }


def page_of(body: object, shape: SitrepShape) -> dict[str, Any]:
    """`lines` of a page, and `next`."""
    return {"lines": _lines(_at(body, shape.items), shape), "next": _at(body, shape.next)}


def _lines(told: object, shape: SitrepShape) -> list[dict[str, Any]]:
    if not isinstance(told, list):
        return []
    ours = {theirs: word for word, theirs in shape.words.items()}
    lines = []
    for each in told:
        line = {name: _at(each, key) for name, key in shape.line.items()}
        lines.append(line | {"status": ours.get(line["status"], line["status"])})
    return lines


def _at(body: object, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(body, Mapping):
            return None
        body = body.get(part)
    return body
