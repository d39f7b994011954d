"""Checks on what became of tasks: executions, results, and the end that the record keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from harness._executions import executions
from harness._history import History, Kind
from harness._verdict import Check, Finding, Inquiry

TERMINAL = {"SUCCESS", "FAILURE", "REVOKED"}


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


def ends_kept(expected: Mapping[str, Mapping[str, Any]], *, result_limit_bytes: int) -> Check:
    """The record keeps its end. `expected` maps ids to fields: of a tuple the parts occur, anything else is equal.

    Violations: `wrong-end`, `end-without-time`, `end-without-cause`, `unbounded-result`.
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
        return inquiry.finding("each record keeps its end")

    return Check("ends-kept", examine)


def closed_once(tasks: Sequence[str]) -> Check:
    """Each task has exactly one terminal transition in its trail. Violations: `closed-twice`, `not-closed`."""

    def examine(history: History) -> Finding:
        inquiry = Inquiry("closed-once")
        for task in tasks:
            seen = history.observations("audit", task)
            if not seen:
                inquiry.lacking(f"the trail of {task}")
                continue
            ends = [step for step in seen[-1].value["trail"] if step["to_status"] in TERMINAL and not step["refused"]]
            if len(ends) > 1:
                inquiry.broken(
                    "closed-twice",
                    f"{task} was closed {len(ends)} times, by {[step['who'] for step in ends]}",
                    seen[-1],
                )
            elif not ends:
                inquiry.broken("not-closed", f"{task} was never closed", seen[-1])
            else:
                inquiry.seen()
        return inquiry.finding(f"{len(tasks)} tasks, each closed once")

    return Check("closed-once", examine)


LEGAL = {
    (None, "PENDING"),
    (None, "STARTED"),
    (None, "RETRY"),
    (None, "SUCCESS"),
    (None, "FAILURE"),
    (None, "REVOKED"),
    ("PENDING", "STARTED"),
    ("PENDING", "RETRY"),
    ("PENDING", "SUCCESS"),
    ("PENDING", "FAILURE"),
    ("PENDING", "REVOKED"),
    ("STARTED", "STARTED"),
    ("STARTED", "PENDING"),
    ("STARTED", "RETRY"),
    ("STARTED", "SUCCESS"),
    ("STARTED", "FAILURE"),
    ("STARTED", "REVOKED"),
    ("RETRY", "STARTED"),
    ("RETRY", "PENDING"),
    ("RETRY", "FAILURE"),
    ("RETRY", "REVOKED"),
    ("SUCCESS", "STARTED"),
    ("FAILURE", "STARTED"),
}
"""What may follow what. A start after SUCCESS or FAILURE is a redelivery; nothing follows REVOKED."""


def transitions_legal(tasks: Sequence[str]) -> Check:
    """Each trail is a chain of legal transitions that ends where the record stands.

    Violations: `illegal-transition`, `broken-trail`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("transitions-legal")
        for task in tasks:
            seen, records = history.observations("audit", task), history.observations("record", task)
            if not seen or not records:
                inquiry.lacking(f"the trail and the record of {task}")
                continue
            standing = None
            for step in seen[-1].value["trail"]:
                if step["refused"]:
                    continue
                if step["from_status"] != standing:
                    message = f"{task}: a step from {step['from_status']} follows one to {standing}"
                    inquiry.broken("broken-trail", message, seen[-1])
                if (step["from_status"], step["to_status"]) not in LEGAL:
                    message = f"{task} went from {step['from_status']} to {step['to_status']} ({step['why']})"
                    inquiry.broken("illegal-transition", message, seen[-1])
                standing = step["to_status"]
                inquiry.seen()
            if standing != records[-1].value.get("status"):
                message = f"{task}: the trail ends at {standing}, the record says {records[-1].value.get('status')}"
                inquiry.broken("broken-trail", message, seen[-1], records[-1])
        return inquiry.finding("every transition was legal and left its trace")

    return Check("transitions-legal", examine)


def signals_accounted(task: str, ends: Sequence[str]) -> Check:
    """Of the ends that signals announced for a task, the first stands and the others are recorded as refused.

    Violations: `overwritten-end`, `unrecorded-refusal`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("signals-accounted")
        seen, records = history.observations("audit", task), history.observations("record", task)
        if not seen or not records:
            inquiry.lacking(f"the trail and the record of {task}")
            return inquiry.finding("")
        trail = seen[-1].value["trail"]
        taken = [step["to_status"] for step in trail if step["to_status"] in TERMINAL and not step["refused"]]
        refused = [step for step in trail if step["refused"]]
        if taken and records[-1].value.get("status") != taken[0]:
            message = f"{task} ended as {taken[0]}, and its record says {records[-1].value.get('status')}"
            inquiry.broken("overwritten-end", message, seen[-1], records[-1])
        if len(taken) > 1:
            inquiry.broken("overwritten-end", f"{task} ended {len(taken)} times: {taken}", seen[-1])
        told = len(taken) + sum(step["to_status"] in TERMINAL for step in refused)
        if told < len(ends):
            message = f"{task}: {len(ends)} ends were signalled ({', '.join(ends)}), {told} are in the trail"
            inquiry.broken("unrecorded-refusal", message, seen[-1])
        inquiry.seen()
        return inquiry.finding("the first end stands, and each other one was refused and recorded")

    return Check("signals-accounted", examine)


def audited(task: str, path: Sequence[tuple[str | None, str, str]]) -> Check:
    """The trail tells each transition of `path`: from, to, a part of who; with an aware time in order, and why.

    Violations: `unaudited`, `unexplained-transition`, `unordered-trail`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("audited")
        seen = history.observations("audit", task)
        if not seen:
            inquiry.lacking(f"the trail of {task}")
            return inquiry.finding("")
        steps = [step for step in seen[-1].value["trail"] if not step["refused"]]
        told = [(step["from_status"], step["to_status"]) for step in steps]
        if told != [(before, after) for before, after, _ in path]:
            inquiry.broken("unaudited", f"{task}: the trail says {told}, what happened was {path}", seen[-1])
            return inquiry.finding("")
        for step, (_, _, who) in zip(steps, path, strict=True):
            if who not in step["who"] or not step["why"].strip():
                message = f"{task} to {step['to_status']}: by {step['who']!r} because {step['why']!r}, expected {who!r}"
                inquiry.broken("unexplained-transition", message, seen[-1])
            else:
                inquiry.seen()
        moments = [datetime.fromisoformat(step["at"]) for step in steps]
        if moments != sorted(moments) or any(moment.tzinfo is None for moment in moments):
            inquiry.broken(
                "unordered-trail", f"{task}: the trail's times are {[str(moment) for moment in moments]}", seen[-1]
            )
        return inquiry.finding("each transition tells from, to, when, who and why")

    return Check("audited", examine)


def statuses_of_six(foreign: str) -> Check:
    """Every status seen is one of Celery's six, and the database refused `foreign` when it was planted.

    Violations: `foreign-status`, `foreign-status-accepted`.
    """
    six = {"PENDING", "STARTED", "RETRY", *TERMINAL}

    def examine(history: History) -> Finding:
        inquiry = Inquiry("statuses-of-six")
        for seen in history.observations("record"):
            status = seen.value.get("status")
            if status is None:
                continue
            if status not in six:
                inquiry.broken("foreign-status", f"{seen.task} has the status {status!r}", seen)
            inquiry.seen()
        plants = history.select(Kind.OPERATION, "plant")
        tried = [entry for entry in plants if entry.type != "invoke" and entry.value.get("status") == foreign]
        if not tried:
            inquiry.lacking(f"an attempt to write the status {foreign!r}")
        for entry in tried:
            if entry.type == "ok":
                inquiry.broken("foreign-status-accepted", f"the database accepted the status {foreign!r}", entry)
        return inquiry.finding("six statuses, and the database refuses a seventh")

    return Check("statuses-of-six", examine)
