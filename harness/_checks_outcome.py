"""Checks on what became of tasks: executions, results, and the end that the record keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from harness._executions import executions
from harness._history import TERMINAL, History, Kind
from harness._verdict import Check, Finding, Inquiry

SIX = {"PENDING", "STARTED", "RETRY", "SUCCESS", "FAILURE", "REVOKED"}


def executed(task: str, *, exactly: int) -> Check:
    """The task was executed so many times. Violations: `duplicate`, `lost`."""

    def examine(history: History) -> Finding:
        inquiry = Inquiry("executed")
        if not list(history):
            inquiry.lacking("anything at all")
        runs = executions(history, task)
        starts = [run.start for run in runs]
        if len(runs) > exactly:
            message = f"{task} was executed {len(runs)} times, not {exactly}: on {', '.join(run.node for run in runs)}"
            inquiry.broken("duplicate", message, *starts)
        elif len(runs) < exactly:
            inquiry.broken("lost", f"{task} was executed {len(runs)} times, not {exactly}", *starts)
        inquiry.seen()
        return inquiry.finding(f"executed {exactly} times")

    return Check("executed", examine)


def outcome_unharmed(expected: Mapping[str, tuple[str, str | None]]) -> Check:
    """Whoever waits for the task gets its right end: `expected` maps ids to (state, described value).

    None for the value means any. Violations: `task-failed` (another state), `wrong-result`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("outcome-unharmed")
        for task, (state, value) in expected.items():
            seen = history.observations("result", task)
            if not seen:
                inquiry.lacking(f"the result of {task}")
                continue
            found = seen[-1].value
            if found["state"] != state:
                inquiry.broken(
                    "task-failed", f"{task} ended as {found['state']} ({found['error']}), not {state}", seen[-1]
                )
            elif value is not None and found["value"] != value:
                inquiry.broken("wrong-result", f"{task} returned {found['value']}, not {value}", seen[-1])
            else:
                inquiry.seen()
        return inquiry.finding("every caller got the right end")

    return Check("outcome-unharmed", examine)


def end_kept_back(task: str) -> Check:
    """The result backend had no end of the task when it was asked: proof that an outage reached it. Never a violation.

    It is told by notes `state`. A state that could not be had proves nothing.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("end-kept-back")
        told = [entry.value["state"] for entry in history.observations("state", task)]
        if not told or told[-1] is None:
            inquiry.lacking(f"what the result backend told of {task} during the outage")
        elif told[-1] in TERMINAL:
            inquiry.lacking(f"an outage that reached the result backend: it told {told[-1]} of {task} meanwhile")
        inquiry.seen()
        return inquiry.finding("the end did not reach the result backend during the outage")

    return Check("end-kept-back", examine)


def ends_kept(
    expected: Mapping[str, Mapping[str, Any]],
    *,
    result_limit_bytes: int = 0,
    truncated: Mapping[str, int] | None = None,
) -> Check:
    """The record keeps its end. `expected` maps ids to fields: of a tuple the parts occur, anything else is equal.

    Results are held against the limit, unless it is 0. `truncated` maps ids to the size in bytes of a result over
    it, of which the record keeps a part, a mark and the size. Violations: `wrong-end`, `end-without-time`,
    `end-without-cause`, `unbounded-result`, `unmarked-result`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("ends-kept")
        for task, fields in expected.items():
            seen = history.observations("record", task)[-1:]
            if not seen:
                inquiry.lacking(f"a record of {task}")
                continue
            record = seen[0].value
            if record.get("status") != fields["status"]:
                inquiry.broken(
                    "wrong-end", f"{task}: expected {fields['status']}, the record says {record.get('status')}", seen[0]
                )
                continue
            if record.get("completed_at") is None:
                inquiry.broken(
                    "end-without-time", f"{task} is {record['status']} without a time of completion", seen[0]
                )
            for name, wanted in fields.items():
                found = record.get(name)
                good = all(part in str(found) for part in wanted) if isinstance(wanted, tuple) else found == wanted
                if not good:
                    inquiry.broken("end-without-cause", f"{task}: {name} is {found!r}, expected {wanted!r}", seen[0])
                else:
                    inquiry.seen()
            stored = len(json.dumps(record.get("result")).encode())
            if result_limit_bytes and stored > result_limit_bytes:
                inquiry.broken(
                    "unbounded-result", f"{task}: {stored} bytes of result, the limit is {result_limit_bytes}", seen[0]
                )
            size = (truncated or {}).get(task)
            if size is not None and not _marked(record.get("result"), size):
                shown = json.dumps(record.get("result"))[:200]
                message = f"{task}: its result of {size} bytes is stored as {shown}, with no mark, size or part of it"
                inquiry.broken("unmarked-result", message, seen[0])
        return inquiry.finding("each record keeps its end")

    return Check("ends-kept", examine)


def _marked(result: Any, size: int) -> bool:
    """Whether a stored result says that it is a part, and of how much: a little is added by its form."""
    if not isinstance(result, Mapping) or not result.get("truncated"):
        return False
    numbers = [value for value in result.values() if isinstance(value, int) and not isinstance(value, bool)]
    parts = [value for value in result.values() if isinstance(value, str) and value]
    return bool(parts) and any(size <= number <= size * 1.2 + 100 for number in numbers)


def statuses_of_six(foreign: str) -> Check:
    """Every status seen is one of Celery's six, and the database refused `foreign`, planted or written over another.

    That it took a legal status planted in the same way shows that it is the status which it refused. Writing over is
    told by notes `rewrite` with `status` and `accepted`. Violations: `foreign-status`, `foreign-status-accepted`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("statuses-of-six")
        for seen in history.observations("record"):
            status = seen.value.get("status")
            if status is None:
                continue
            if status not in SIX:
                inquiry.broken("foreign-status", f"{seen.task} has the status {status!r}", seen)
            inquiry.seen()
        plants = [entry for entry in history.select(Kind.OPERATION, "plant") if entry.type != "invoke"]
        tried = [entry for entry in plants if entry.value.get("status") == foreign]
        rewrites = [entry for entry in history.observations("rewrite") if entry.value.get("status") == foreign]
        if not any(entry.type == "ok" and entry.value.get("status") in SIX for entry in plants):
            inquiry.lacking("a legal status that the database took")
        if not tried or not rewrites:
            inquiry.lacking(f"attempts to plant the status {foreign!r}, and to write it over another")
        taken = [entry for entry in tried if entry.type == "ok"] + [e for e in rewrites if e.value["accepted"]]
        for entry in taken:
            inquiry.broken("foreign-status-accepted", f"the database accepted the status {foreign!r}", entry)
        return inquiry.finding("six statuses, and the database refuses a seventh")

    return Check("statuses-of-six", examine)
