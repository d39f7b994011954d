"""Checks on what became of tasks: executions, results, and the end that the record keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from harness._executions import executions
from harness._history import Entry, History, Kind
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


def ends_kept(
    expected: Mapping[str, Mapping[str, Any]], *, result_limit_bytes: int, truncated: Mapping[str, int] | None = None
) -> Check:
    """The record keeps its end. `expected` maps ids to fields: of a tuple the parts occur, anything else is equal.

    `truncated` maps ids to the size in bytes of a result over the limit, of which the record keeps a part, a mark
    and the size. Violations: `wrong-end`, `end-without-time`, `end-without-cause`, `unbounded-result`,
    `unmarked-result`.
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


def closed_once(tasks: Sequence[str]) -> Check:
    """Each task has exactly one terminal transition in its trail, and no refusal of the same one told again.

    Violations: `closed-twice`, `closed-in-vain`, `not-closed`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("closed-once")
        for task in tasks:
            seen = history.observations("audit", task)
            if not seen:
                inquiry.lacking(f"the trail of {task}")
                continue
            ends = [step for step in seen[-1].value["trail"] if step["to_status"] in TERMINAL and not step["refused"]]
            tried = [step for step in seen[-1].value["trail"] if ends and step["to_status"] == ends[0]["to_status"]]
            if len(ends) > 1:
                inquiry.broken(
                    "closed-twice",
                    f"{task} was closed {len(ends)} times, by {[step['who'] for step in ends]}",
                    seen[-1],
                )
            elif not ends:
                inquiry.broken("not-closed", f"{task} was never closed", seen[-1])
            elif len(tried) > 1:
                message = f"{task} was closed once, and {len(tried) - 1} times in vain"
                inquiry.broken("closed-in-vain", message, seen[-1])
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
}
"""What may follow what. Nothing follows an end: what is delivered again after it may run, and the end stands."""


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


@dataclass
class _Life:
    """What signals make of one task's record, by the promise alone; who owns it is a worker and its attempt."""

    standing: str | None = None
    owner: tuple[str, str] | None = None
    begun: set[tuple[str, str]] = field(default_factory=set)
    starts: int = 0

    def must(self, wanted: str, speaker: tuple[str, str]) -> str:
        """What has to become of a signal: `taken`, `refused`, `either` of them, or `silent` where it may go untold."""
        if self.standing in TERMINAL:
            return "refused"
        match wanted:
            case "PENDING":
                return "taken" if self.standing is None else "silent"
            case "STARTED":
                return self._must_start(speaker)
            case "REVOKED":
                elsewhere = self.standing == "STARTED" and self.owner is not None and speaker[0] != self.owner[0]
                return "either" if elsewhere else "taken"
            case _:
                return self._must_leave(wanted, speaker)

    def _must_start(self, speaker: tuple[str, str]) -> str:
        redelivered = speaker[1] != "1"
        if speaker in self.begun or (self.standing not in {None, "PENDING"} and not redelivered):
            return "either"  # a start told twice, or told late, may count as a new attempt or as a mistake
        return "taken"

    def _must_leave(self, wanted: str, speaker: tuple[str, str]) -> str:
        if self.standing in {None, "PENDING"}:
            return "taken"
        if self.standing == "RETRY":
            return {"RETRY": "silent", "SUCCESS": "refused"}.get(wanted, "either")
        if speaker == self.owner:
            return "taken"
        fenced = speaker in self.begun or self.owner is None or speaker[0] != self.owner[0]
        return "refused" if fenced else "either"  # a worker may speak for an attempt without naming it

    def take(self, wanted: str, speaker: tuple[str, str]) -> None:
        """The signal was taken."""
        self.standing = wanted
        if wanted == "STARTED":
            self.owner = speaker
            self.starts += 1


ANNOUNCED = {
    "published": "PENDING",
    "prerun": "STARTED",
    "retry": "RETRY",
    "success": "SUCCESS",
    "failure": "FAILURE",
    "revoked": "REVOKED",
}
"""The status that each of Celery's signals would bring about."""


def signals_accounted(task: str, signals: Sequence[tuple[str, str]]) -> Check:
    """Each signal about a task was taken where that is legal, else refused and recorded; the first end stands.

    `signals` are pairs of the worker that sent it and `name:attempt`, in order; an attempt other than 1 is a
    redelivery. Each start that was taken counts as an attempt. Violations: `overwritten-end`, `taken-illegally`,
    `refused-legal`, `unrecorded-refusal`, `unrecorded-signal`, `attempts-miscounted`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("signals-accounted")
        seen, records = history.observations("audit", task), history.observations("record", task)
        if not seen or not records:
            inquiry.lacking(f"the trail and the record of {task}")
            return inquiry.finding("")
        life = _Life()
        said = ", ".join(f"{name} by {worker}" for worker, name in signals)
        broken = _follow(life, signals, seen[-1].value["trail"])
        if broken is not None:
            inquiry.broken(broken[0], f"{task}: {broken[1]}; the signals were {said}", seen[-1])
            return inquiry.finding("")
        record = records[-1].value
        if record.get("status") != life.standing:
            message = f"{task}: {said} make {life.standing}, and its record says {record.get('status')}"
            inquiry.broken("overwritten-end", message, seen[-1], records[-1])
        elif life.standing is not None and record.get("attempts") != life.starts:
            message = f"{task} was started {life.starts} times, its record tells {record.get('attempts')} attempts"
            inquiry.broken("attempts-miscounted", message, seen[-1], records[-1])
        inquiry.seen()
        return inquiry.finding("each signal was taken where it is legal, else refused and recorded")

    return Check("signals-accounted", examine)


def _follow(
    life: _Life, signals: Sequence[tuple[str, str]], trail: Sequence[Mapping[str, Any]]
) -> tuple[str, str] | None:
    """Hold each signal against its entry of the trail; the first violation makes the rest incomparable."""
    left = list(trail)
    for worker, element in signals:
        name, _, attempt = element.partition(":")
        wanted, speaker = ANNOUNCED[name], (worker, attempt)
        must = life.must(wanted, speaker)
        told = left[0] if left and left[0]["to_status"] == wanted else None
        if must == "silent" and (told is None or not told["refused"]):
            continue
        where = f"{element} by {worker} on {life.standing}"
        if told is None:
            kind = "unrecorded-refusal" if must == "refused" else "unrecorded-signal"
            return kind, f"{where} had to be {must}, and the trail goes on with {left[:1]}"
        left.pop(0)
        if told["refused"] and must == "taken":
            return "refused-legal", f"{where} was refused: {told['why']}"
        if not told["refused"] and must == "refused":
            kind = "overwritten-end" if life.standing in TERMINAL else "taken-illegally"
            return kind, f"{where} was taken: {told['why']}"
        if not told["refused"]:
            life.take(wanted, speaker)
        if wanted == "STARTED":
            life.begun.add(speaker)
    return ("unrecorded-signal", f"the trail tells more than was signalled: {left}") if left else None


def audited(task: str, path: Sequence[tuple[str | None, str, str, str]], *, tolerance_s: float = 1.0) -> Check:
    """The trail tells each transition of `path`: from, to, words of who and words of why; with a true time, in order.

    A time is held against what is known of it: the publication, the starts of executions, and when the record was
    last seen before its last step and first seen after it. Violations: `unaudited`, `unexplained-transition`,
    `unordered-trail`, `untrue-time`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("audited")
        seen = history.observations("audit", task)
        if not seen:
            inquiry.lacking(f"the trail of {task}")
            return inquiry.finding("")
        steps = [step for step in seen[-1].value["trail"] if not step["refused"]]
        told = [(step["from_status"], step["to_status"]) for step in steps]
        if told != [(before, after) for before, after, _, _ in path]:
            inquiry.broken("unaudited", f"{task}: the trail says {told}, what happened was {path}", seen[-1])
            return inquiry.finding("")
        for step, (_, after, who, why) in zip(steps, path, strict=True):
            named = all(word in step["who"] for word in who.split())
            explained = step["why"].strip() and all(word in step["why"] for word in why.split())
            if not named or not explained:
                said = f"by {step['who']!r} because {step['why']!r}"
                message = f"{task} to {after}: {said}, expected {who!r} and {why!r}"
                inquiry.broken("unexplained-transition", message, seen[-1])
            else:
                inquiry.seen()
        moments = [datetime.fromisoformat(step["at"]) for step in steps]
        if any(moment.tzinfo is None for moment in moments) or moments != sorted(moments):
            inquiry.broken(
                "unordered-trail", f"{task}: the trail's times are {[str(moment) for moment in moments]}", seen[-1]
            )
            return inquiry.finding("")
        for step, moment, (since, until) in zip(steps, moments, _true_times(history, task, told), strict=True):
            early = since is not None and (since.moment - moment).total_seconds() > tolerance_s
            late = until is not None and (moment - until.moment).total_seconds() > tolerance_s
            if early or late:
                shown = [entry for entry in (since, until) if entry is not None]
                when = " and ".join(entry.wall for entry in shown)
                inquiry.broken(
                    "untrue-time", f"{task} to {step['to_status']}: at {step['at']}, known is {when}", seen[-1], *shown
                )
        return inquiry.finding("each transition tells from, to, when, who and why")

    return Check("audited", examine)


def _true_times(
    history: History, task: str, told: Sequence[tuple[str | None, str]]
) -> list[tuple[Entry | None, Entry | None]]:
    """Between what each step must have happened, as far as the history knows.

    A publication happened while it was asked for, a start when it did; of the last step the record tells when it
    was last seen to stand before it, and first seen to stand there.
    """
    asked, published = (history.select(Kind.OPERATION, "publish", task=task, type=type_) for type_ in ("invoke", "ok"))
    starts = iter(history.truth("start", task))
    known: list[tuple[Entry | None, Entry | None]] = []
    for before, after in told:
        start = next(starts, None) if after == "STARTED" else None
        known.append((start, start) if before else (next(iter(asked), None), next(iter(published), None)))
    if known and known[-1] == (None, None):
        last = told[-1][1]
        arrived = next(
            (seen for seen in history.observations("record", task) if seen.value.get("status") == last), None
        )
        if arrived is not None:
            unchanged = [entry for entry in history.observations("unchanged", task) if entry.index < arrived.index]
            known[-1] = (unchanged[-1] if unchanged else None, arrived)
    return known


def statuses_of_six(foreign: str) -> Check:
    """Every status seen is one of Celery's six, and the database refused `foreign`, planted or written over another.

    That it took a legal status planted in the same way shows that it is the status which it refused. Writing over is
    told by notes `rewrite` with `status` and `accepted`. Violations: `foreign-status`, `foreign-status-accepted`.
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
        plants = [entry for entry in history.select(Kind.OPERATION, "plant") if entry.type != "invoke"]
        tried = [entry for entry in plants if entry.value.get("status") == foreign]
        rewrites = [entry for entry in history.observations("rewrite") if entry.value.get("status") == foreign]
        if not any(entry.type == "ok" and entry.value.get("status") in six for entry in plants):
            inquiry.lacking("a legal status that the database took")
        if not tried or not rewrites:
            inquiry.lacking(f"attempts to plant the status {foreign!r}, and to write it over another")
        taken = [entry for entry in tried if entry.type == "ok"] + [e for e in rewrites if e.value["accepted"]]
        for entry in taken:
            inquiry.broken("foreign-status-accepted", f"the database accepted the status {foreign!r}", entry)
        return inquiry.finding("six statuses, and the database refuses a seventh")

    return Check("statuses-of-six", examine)
