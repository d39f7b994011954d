"""Checks on what the record holds: arguments, worker, times; and on what tracking trouble leaves behind."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from harness._executions import executions
from harness._history import Entry, History, Kind
from harness._verdict import Check, Finding, Inquiry


def arguments_stored(tasks: Mapping[str, Sequence[str]]) -> Check:
    """Each task has a record that moved on, with its arguments in a readable form.

    `tasks` maps ids to words that the stored form must contain. Violations: `no-record`, `stuck`, `unreadable`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("arguments-stored")
        for task, words in tasks.items():
            seen = history.observations("record", task)
            if not seen or not seen[-1].value:
                inquiry.broken("no-record", f"{task} has no record", *seen[-1:])
                continue
            record = seen[-1].value
            if record.get("status") != "SUCCESS":
                inquiry.broken("stuck", f"{task} returned, and its record says {record.get('status')}", seen[-1])
            stored = json.dumps([record.get("args"), record.get("kwargs")], ensure_ascii=False)
            absent = [word for word in words if word not in stored]
            if record.get("args") is None and record.get("kwargs") is None:
                inquiry.broken("unreadable", f"{task}: no arguments are stored", seen[-1])
            elif absent:
                inquiry.broken("unreadable", f"{task}: {absent} are not to be read in {stored[:300]}", seen[-1])
            else:
                inquiry.seen()
        return inquiry.finding(f"the arguments of {len(tasks)} tasks are stored and readable")

    return Check("arguments-stored", examine)


def arguments_delivered(tasks: Mapping[str, str]) -> Check:
    """Tracking left the arguments alone: the task received what was published. Violation: `changed-arguments`."""

    def examine(history: History) -> Finding:
        inquiry = Inquiry("arguments-delivered")
        for task, described in tasks.items():
            arrived = history.truth("arguments", task)
            if not arrived:
                inquiry.lacking(f"the arrival of the arguments of {task}")
            elif arrived[0].value["described"] != described:
                message = f"{task} was given {arrived[0].value['described'][:200]}, published was {described[:200]}"
                inquiry.broken("changed-arguments", message, arrived[0])
            else:
                inquiry.seen()
        return inquiry.finding("every task received what was published")

    return Check("arguments-delivered", examine)


def arguments_are(task: str, *args: Any, **kwargs: Any) -> Check:
    """The record holds exactly these arguments, in their JSON form. Violation: `another-form`."""

    def examine(history: History) -> Finding:
        inquiry = Inquiry("arguments-are")
        seen = [entry for entry in history.observations("record", task) if entry.value]
        if not seen:
            inquiry.lacking(f"a record of {task}")
            return inquiry.finding("")
        for name, wanted in (("args", list(args)), ("kwargs", kwargs)):
            found = seen[-1].value.get(name)
            if found != wanted:
                inquiry.broken("another-form", f"{task}: {name} are stored as {found!r}, not {wanted!r}", seen[-1])
            else:
                inquiry.seen()
        return inquiry.finding("the arguments are stored in the form that was said")

    return Check("arguments-are", examine)


def arguments_bounded(task: str, limit_bytes: int, original_bytes: int) -> Check:
    """The stored arguments stay under the limit, are marked as truncated, and tell the original size.

    Violations: `unbounded-arguments`, `unmarked-truncation`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("arguments-bounded")
        seen = history.observations("record", task)
        if not seen:
            inquiry.lacking(f"a record of {task}")
            return inquiry.finding("")
        forms = [seen[-1].value.get("args"), seen[-1].value.get("kwargs")]
        for form in forms:
            size = len(json.dumps(form, ensure_ascii=False).encode())
            if size > limit_bytes:
                inquiry.broken(
                    "unbounded-arguments", f"{size} bytes of arguments are stored, the limit is {limit_bytes}", seen[-1]
                )
        marked = [form for form in forms if isinstance(form, dict) and form.get("truncated")]
        told = [
            number
            for form in marked
            for number in form.values()
            if isinstance(number, int) and not isinstance(number, bool)
        ]
        if not marked:
            inquiry.broken("unmarked-truncation", "nothing marks the stored arguments as truncated", seen[-1])
        elif not any(original_bytes <= number <= original_bytes * 1.2 + 100 for number in told):
            message = f"the original size of {original_bytes} bytes is not told (numbers there: {told})"
            inquiry.broken("unmarked-truncation", message, seen[-1])
        inquiry.seen()
        return inquiry.finding(f"{original_bytes} bytes of arguments, at most {limit_bytes} stored, and marked")

    return Check("arguments-bounded", examine)


def all_tracked(tasks: Sequence[str]) -> Check:
    """Each of these tasks, and each that was executed, has a record that tells its name, its queueing and its SUCCESS.

    What ran eagerly was in no queue. Violations: `untracked`, `publication-untracked`, `end-untracked`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("all-tracked")
        starts = history.truth("start")
        eager = {entry.task for entry in starts if entry.value["eager"]}
        ran = {entry.task for entry in starts if entry.task is not None}
        for task in sorted({*tasks, *ran}):
            seen = history.observations("record", task)
            record = seen[-1].value if seen else {}
            if task not in ran:
                inquiry.lacking(f"an execution of {task}")
            elif not record.get("name"):
                inquiry.broken("untracked", f"{task} was executed and has no record with a name: {record}", *seen[-1:])
            elif record.get("status") != "SUCCESS":
                message = f"{record['name']} {task} returned, and its record says {record.get('status')}"
                inquiry.broken("end-untracked", message, seen[-1])
            elif task not in eager and record.get("queued_at") is None:
                message = f"{record['name']} {task} was published, and its record does not tell when"
                inquiry.broken("publication-untracked", message, seen[-1])
            else:
                inquiry.seen()
        return inquiry.finding(f"{len(ran)} tasks, each tracked from its publication to its end")

    return Check("all-tracked", examine)


def worker_identified(tasks: Mapping[str, str | None]) -> Check:
    """The record names the worker exactly as `inspect` does; `tasks` maps ids to node names.

    None stands for a task that ran outside any worker, whose record must name none. Violation: `wrong-worker`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("worker-identified")
        inspected = history.observations("inspect")
        names: set[str] = {name for entry in inspected for name in entry.value["nodes"]}
        for task, node in tasks.items():
            if node is None:
                _nobody_named(inquiry, history, task)
                continue
            seen = [entry for entry in history.observations("record", task) if entry.value.get("status") == "STARTED"]
            if not seen or not inspected:
                inquiry.lacking(f"a started record of {task}, and an answer to inspect")
                continue
            found = seen[-1].value.get("worker_id")
            if found not in names:
                inquiry.broken(
                    "wrong-worker", f"{task} is said to run on {found!r}; inspect knows {sorted(names)}", seen[-1]
                )
            elif found != node:
                inquiry.broken("wrong-worker", f"{task} is said to run on {found!r}; it runs on {node!r}", seen[-1])
            else:
                inquiry.seen()
        return inquiry.finding("worker names are those that inspect reports")

    return Check("worker-identified", examine)


def _nobody_named(inquiry: Inquiry, history: History, task: str) -> None:
    seen = [entry for entry in history.observations("record", task) if entry.value]
    named = [entry for entry in seen if entry.value.get("worker_id")]
    if not seen:
        inquiry.lacking(f"a record of {task}")
    elif named:
        message = f"{task} is said to run on {named[-1].value['worker_id']!r}; it ran outside any worker"
        inquiry.broken("wrong-worker", message, named[-1])
    else:
        inquiry.seen()


def logged_once(what: str, level: str, words: Sequence[str], log: str, *, kind: str) -> Check:
    """A log noted under `log` has exactly one line of the level with all the words. The kind of violation is given.

    A word found inside another, as in the name of a node, does not count.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("logged-once")
        seen = history.observations("log")
        found = [entry for entry in seen if entry.value["log"] == log]
        if not found:
            inquiry.lacking(f"the log {log}")
            return inquiry.finding("")
        lines = [line for line in found[-1].value["lines"] if level in line and _has_each(line, words)]
        if len(lines) != 1:
            inquiry.broken(
                kind, f"{what}: {len(lines)} {level} lines with {', '.join(words)} in {log}, expected one", found[-1]
            )
        inquiry.seen()
        return inquiry.finding(f"{what}: one line says so")

    return Check("logged-once", examine)


def _has_each(line: str, words: Sequence[str]) -> bool:
    for word in sorted(words, key=len, reverse=True):
        if word not in line:
            return False
        line = line.replace(word, "\0")
    return True


def failures_logged(expected: Sequence[tuple[str, str, str]]) -> Check:
    """Each tracking failure is one ERROR line that names task and cause; `expected` has (log, task, cause).

    No NameError anywhere. Violations: `silent-failure`, `noisy-failure`, `name-error`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("failures-logged")
        logs = {entry.value["log"]: entry for entry in history.observations("log")}
        for log, task, cause in expected:
            if log not in logs:
                inquiry.lacking(f"the log {log}")
                continue
            lines = [line for line in logs[log].value["lines"] if "ERROR" in line and task in line and cause in line]
            if not lines:
                inquiry.broken("silent-failure", f"no ERROR line in {log} names {task} and {cause!r}", logs[log])
            elif len(lines) > 1:
                inquiry.broken(
                    "noisy-failure", f"{len(lines)} ERROR lines in {log} tell one failure of {task}", logs[log]
                )
            else:
                inquiry.seen()
        for log, entry in logs.items():
            wrong = [line for line in entry.value["lines"] if "NameError" in line or "AttributeError" in line]
            if wrong:
                inquiry.broken("name-error", f"{log}: {wrong[0]}", entry)
        return inquiry.finding(f"{len(expected)} tracking failures, one ERROR line each")

    return Check("failures-logged", examine)


def still_up(nodes: Collection[str]) -> Check:
    """The workers answered after everything. Violation: `worker-down`."""

    def examine(history: History) -> Finding:
        inquiry = Inquiry("still-up")
        seen = history.observations("inspect")
        if not seen:
            inquiry.lacking("an answer to inspect")
            return inquiry.finding("")
        for node in nodes:
            if node in seen[-1].value["nodes"]:
                inquiry.seen()
            else:
                inquiry.broken("worker-down", f"{node} does not answer any more", seen[-1])
        return inquiry.finding("the workers stayed up")

    return Check("still-up", examine)


def times_true(tasks: Sequence[str], tolerance_s: float, *, zones: Mapping[str, float] | None = None) -> Check:
    """Times are aware, in UTC, in order, and the database's: they fit what the harness saw on its own clock.

    So are those of heartbeats and of the trail, where they were looked at. No log tells of a naive time. `zones` maps
    processes whose clocks were moved to their offsets from UTC, in seconds, of which there must be proof. Violations:
    `naive-time`, `wrong-clock`, `disorder`, `missing-time`, `naive-comparison`.
    """
    names = ("queued_at", "started_at", "completed_at")

    def examine(history: History) -> Finding:
        inquiry = Inquiry("times-true")
        _zones_in_force(inquiry, history, zones or {})
        _no_naive_comparison(inquiry, history)
        for task in tasks:
            _heartbeats_true(inquiry, history, task, tolerance_s)
            _trail_true(inquiry, history, task, tolerance_s)
            seen = history.observations("record", task)
            if not seen:
                inquiry.lacking(f"a record of {task}")
                continue
            record = seen[-1].value
            missing = [name for name in names if name not in record]
            if missing:
                inquiry.broken("missing-time", f"{task} has no {', '.join(missing)}", seen[-1])
                continue
            moments = [datetime.fromisoformat(record[name]) for name in names]
            if any(moment.utcoffset() != timedelta(0) for moment in moments):
                inquiry.broken("naive-time", f"{task}: {record[names[0]]} is not aware UTC", seen[-1])
                continue
            if moments != sorted(moments):
                inquiry.broken("disorder", f"{task}: {', '.join(record[name] for name in names)}", seen[-1])
            _compare(inquiry, history, task, dict(zip(names, moments, strict=True)), tolerance_s, seen[-1])
        return inquiry.finding("every time is aware, in UTC, in order, and true")

    return Check("times-true", examine)


def _zones_in_force(inquiry: Inquiry, history: History, zones: Mapping[str, float]) -> None:
    moved = history.truth("clock moved")
    for process, offset_s in zones.items():
        if not any(entry.process == process and entry.value.get("utc_offset_s") == offset_s for entry in moved):
            inquiry.lacking(f"a moved clock of {process} in a zone {offset_s:g} s from UTC")


def _no_naive_comparison(inquiry: Inquiry, history: History) -> None:
    seen = history.observations("log")
    if not seen:
        inquiry.lacking("the logs")
    for entry in seen:
        wrong = [line for line in entry.value["lines"] if "TypeError" in line or "naive" in line]
        if wrong:
            inquiry.broken("naive-comparison", f"{entry.value['log']}: {wrong[0]}", entry)
        else:
            inquiry.seen()


def _heartbeats_true(inquiry: Inquiry, history: History, task: str, tolerance_s: float) -> None:
    """Each heartbeat is aware, and lies between what began the task and the moment at which it was first seen."""
    runs = executions(history, task)
    beats: dict[str, Entry] = {}
    for entry in history.observations("record", task):
        if "last_heartbeat" in entry.value:
            beats.setdefault(entry.value["last_heartbeat"], entry)
    if beats and not runs:
        inquiry.lacking(f"the true start of {task}")
        return
    for text, entry in beats.items():
        moment = datetime.fromisoformat(text)
        if moment.utcoffset() != timedelta(0):
            inquiry.broken("naive-time", f"{task}: the heartbeat {text} is not aware UTC", entry)
        elif (
            not runs[0].start.moment - timedelta(seconds=runs[0].preparing_s + tolerance_s)
            <= moment
            <= entry.moment + timedelta(seconds=tolerance_s)
        ):
            message = f"{task}: a heartbeat of {text} was seen at {entry.wall}, it started at {runs[0].start.wall}"
            inquiry.broken("wrong-clock", message, runs[0].start, entry)
        else:
            inquiry.seen()


def _trail_true(inquiry: Inquiry, history: History, task: str, tolerance_s: float) -> None:
    """Each transition in the trail that was looked at last is aware, and when it truly was."""
    columns = {"PENDING": "queued_at", "STARTED": "started_at", "SUCCESS": "completed_at"}
    seen = history.observations("audit", task)[-1:]
    for row in [row for entry in seen for row in entry.value["trail"]]:
        moment, name = datetime.fromisoformat(row["at"]), columns.get(row["to_status"])
        if moment.utcoffset() != timedelta(0):
            inquiry.broken("naive-time", f"{task}: the trail's {row['at']} is not aware UTC", *seen)
        elif name is not None and not row["refused"]:
            _compare(inquiry, history, task, {name: moment}, tolerance_s, seen[0])


def _compare(
    inquiry: Inquiry, history: History, task: str, said: Mapping[str, datetime], tolerance_s: float, seen: Entry
) -> None:
    runs = executions(history, task)
    known = {
        "queued_at": [(entry, 0.0) for entry in history.select(Kind.OPERATION, "publish", task=task, type="ok")],
        "started_at": [(run.start, run.preparing_s) for run in runs],
        "completed_at": [(entry, 0.0) for entry in history.truth("end", task)],
    }
    tolerance = timedelta(seconds=tolerance_s)
    for name in said:
        if not known[name]:
            inquiry.lacking(f"the true time of {name} of {task}")
            continue
        true, before_s = known[name][0]
        if not true.moment - timedelta(seconds=before_s) - tolerance <= said[name] <= true.moment + tolerance:
            message = f"{task}: {name} is {said[name].isoformat()} in the {seen.f}, it was {true.wall}"
            inquiry.broken("wrong-clock", message, true, seen)
        else:
            inquiry.seen()


def queue_time_told(task: str) -> Check:
    """PENDING from the publication on; waiting and running are told apart, and both are true.

    Violations: `no-record-while-queued`, `queue-time-lost`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("queue-time-told")
        published = history.select(Kind.OPERATION, "publish", task=task, type="ok")
        starts = history.truth("start", task)
        seen = history.observations("record", task)
        if not published or not starts or not seen:
            inquiry.lacking("a publication, a start and a record")
            return inquiry.finding("")
        early = [entry for entry in seen if published[0].at <= entry.at < starts[0].at]
        if not any(entry.value.get("status") == "PENDING" for entry in early):
            statuses = [entry.value.get("status") for entry in early]
            inquiry.broken(
                "no-record-while-queued", f"{task} was queued, and its record said {statuses}", published[0], *early
            )
        last = seen[-1].value
        waited = starts[0].at - published[0].at
        if "queued_at" not in last or "started_at" not in last:
            inquiry.broken("queue-time-lost", f"{task}: queued_at and started_at are not both told", seen[-1])
            return inquiry.finding("")
        told = (datetime.fromisoformat(last["started_at"]) - datetime.fromisoformat(last["queued_at"])).total_seconds()
        if told < 0 or abs(told - waited) > 0.5 + waited / 10:
            inquiry.broken(
                "queue-time-lost", f"{task} waited {waited:.2f} s in the queue, the record tells {told:.2f} s", seen[-1]
            )
        inquiry.seen()
        return inquiry.finding(f"{waited:.2f} s of waiting told apart from the run")

    return Check("queue-time-told", examine)


def published_in_time(task: str, bound_s: float) -> Check:
    """Publishing worked, and took no longer than the bound. Violations: `publish-failed`, `publish-blocked`."""

    def examine(history: History) -> Finding:
        inquiry = Inquiry("published-in-time")
        done: list[Entry] = [
            entry for entry in history.select(Kind.OPERATION, "publish", task=task) if entry.type != "invoke"
        ]
        if not done:
            inquiry.lacking(f"the publication of {task}")
            return inquiry.finding("")
        value: Mapping[str, Any] = done[0].value
        if done[0].type != "ok":
            inquiry.broken("publish-failed", f"publishing failed: {value.get('error')}", done[0])
        elif value["seconds"] > bound_s:
            inquiry.broken(
                "publish-blocked", f"publishing took {value['seconds']:.2f} s, the bound is {bound_s:g} s", done[0]
            )
        inquiry.seen()
        return inquiry.finding("the publisher published all the same")

    return Check("published-in-time", examine)
