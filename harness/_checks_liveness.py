"""Checks on what a tracker says of tasks whose workers live, die, or are silent."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from itertools import pairwise

from harness._executions import executions, killed_processes, sweeper_since
from harness._history import TERMINAL, Entry, History, Kind
from harness._verdict import Check, Finding, Inquiry

GIVEN_UP = {"FAILURE", "REVOKED"}


def live_tasks_untouched() -> Check:
    """No task is called ended, revoked, lost or waiting again while an execution of it lives, nor after it returned.

    Violation: `false-dead`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("live-tasks-untouched")
        for execution in executions(history):
            claimed = False
            for seen in history.observations("record", execution.task):
                status = seen.value.get("status")
                live = execution.lives_at(seen.at)
                over = execution.returned and execution.end is not None and seen.at >= execution.end.at
                inquiry.seen(int(live or over))
                claimed |= live and status == "STARTED"
                taken = live and (status in {*GIVEN_UP, "RETRY"} or (claimed and status == "PENDING"))
                if taken or (over and status in GIVEN_UP):
                    how = "executes" if live else "has returned"
                    said = seen.value.get("error_message") or seen.value.get("reason") or "no reason given"
                    inquiry.broken(
                        "false-dead",
                        f"{execution.task} {how} on {execution.node}, and its record says {status} ({said})",
                        execution.start,
                        seen,
                    )
                    break
        return inquiry.finding("no live task was touched")

    return Check("live-tasks-untouched", examine)


def dead_tasks_closed(bound_s: float) -> Check:
    """A task whose execution was killed is closed within the bound, and stays so; or it runs elsewhere by then.

    The bound counts from the death, or from when a sweeper lives and the last fault that blinds it is healed.
    Violations: `false-alive` (still open at the end, or open again), `late`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("dead-tasks-closed")
        runs = executions(history)
        for execution in runs:
            if not execution.dead:
                continue
            assert execution.killed_at is not None
            since = sweeper_since(history, execution.killed_at)
            if since is None:
                inquiry.lacking("a living sweeper")
                continue
            since = max([since, *(entry.at for entry in history.faults("heal") if entry.at < _last(history))])
            if any(
                other.task == execution.task and execution.killed_at < other.start.at <= since + bound_s
                for other in runs
            ):
                inquiry.seen()
                continue
            records = history.observations("record", execution.task)
            moved = [
                seen for seen in records if seen.at >= execution.killed_at and seen.value.get("status") in GIVEN_UP
            ]
            last = records[-1:]
            status = last[0].value.get("status") if last else "nothing"
            if not moved or status not in GIVEN_UP:
                died = f"{execution.task} died with its process on {execution.node}"
                inquiry.broken("false-alive", f"{died}, and its record says {status}", execution.start, *last)
            elif moved[0].at > since + bound_s:
                late = f"{execution.task} was closed {moved[0].at - since:.2f} s after it could be, bound {bound_s:g} s"
                inquiry.broken("late", late, execution.start, moved[0])
            else:
                inquiry.seen()
        return inquiry.finding(f"every dead task was closed within {bound_s:g} s")

    return Check("dead-tasks-closed", examine)


def accounted_for(tasks: Collection[str], bound_s: float) -> Check:
    """Each task stands at an end that agrees with what ran, and came there within the bound.

    The bound counts from the last thing that the end had to wait for: its own executions and the marks that held them,
    a death, the healing of a fault, a sweeper that lives. SUCCESS takes an execution that returned;
    another end is untrue where one had returned before, in a process that lived on. What a killed process had not told
    may have died with it. Violations: `unaccounted` (no record, or still open), `late-account`, `untrue-end`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("accounted-for")
        for task in tasks:
            published = history.select(Kind.OPERATION, "publish", task=task)
            seen = history.observations("record", task)
            status = seen[-1].value.get("status") if seen else None
            since = sweeper_since(history, _last_hindrance(history, task))
            if not published or since is None:
                inquiry.lacking(f"a publication of {task}, and a living sweeper")
                continue
            if status not in TERMINAL:
                message = f"{task} was published, and its record says {status or 'nothing'}"
                inquiry.broken("unaccounted", message, published[-1], *seen[-1:])
                continue
            before = [entry.index for entry in seen if entry.value.get("status") != status]
            arrived = next(entry for entry in seen if not before or entry.index > before[-1])
            returned = [run for run in executions(history, task) if run.returned]
            told = [run for run in returned if run.killed_at is None and not run.lives_at(arrived.at)]
            if arrived.at > since + bound_s:
                message = f"{task} was {status} {arrived.at - since:.2f} s after it could be, bound {bound_s:g} s"
                inquiry.broken("late-account", message, arrived)
            elif status == "SUCCESS" and not returned:
                inquiry.broken("untrue-end", f"no execution of {task} returned, and its record says SUCCESS", arrived)
            elif status != "SUCCESS" and any(run.start.at < arrived.at for run in told):
                message = f"{task} returned on {told[0].node}, which lived on, and its record says {status}"
                inquiry.broken("untrue-end", message, told[0].start, arrived)
            else:
                inquiry.seen()
        return inquiry.finding(f"every task was accounted for within {bound_s:g} s")

    return Check("accounted-for", examine)


def _last_hindrance(history: History, task: str) -> float:
    """The last moment that its end may have had to wait for, but for the start of a sweeper."""
    healed = [entry.at for entry in history.faults("heal") if entry.at < _last(history)]
    return max([0.0, *healed, *killed_processes(history).values(), *(entry.at for entry in history.truth(task=task))])


def untouched_until(task: str, age_s: float) -> Check:
    """The record stays as it is until it is `age_s` old, on the database's clock, and is closed then.

    Violations: `too-young`, `never-closed`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("untouched-until")
        seen = history.observations("record", task)
        if not any(entry.value for entry in seen):
            inquiry.lacking(f"a record of {task}")
            return inquiry.finding("")
        for entry in seen:
            if entry.value.get("status") not in TERMINAL:
                continue
            started, completed = entry.value.get("started_at"), entry.value.get("completed_at")
            if started is None or completed is None:
                inquiry.lacking("the times of the record")
                break
            age = (datetime.fromisoformat(completed) - datetime.fromisoformat(started)).total_seconds()
            if age < age_s:
                inquiry.broken(
                    "too-young", f"{task} was closed at an age of {age:.2f} s, the minimum is {age_s:g} s", entry
                )
            else:
                inquiry.seen()
            break
        else:
            inquiry.broken("never-closed", f"{task} was never closed", *seen[-1:])
        return inquiry.finding(f"nothing happened before the age of {age_s:g} s")

    return Check("untouched-until", examine)


def sweep_says(expected: dict[str, tuple[str, str]], *flags: str) -> Check:
    """The last sweep command (with these flags) tells for each task (by id) its liveness and, in words, why.

    `expected` maps task ids to (liveness, a part of the explanation). Violations: `wrong-liveness`, `unexplained`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("sweep-says")
        done = [entry for entry in history.select(Kind.OPERATION, "sweep") if entry.type != "invoke"]
        sweeps = [entry for entry in done if set(flags) <= set(entry.value["flags"])]
        report = sweeps[-1].value.get("report") if sweeps else None
        if not report:
            inquiry.lacking("a report of the sweep")
            return inquiry.finding("")
        findings = {finding["task_id"]: finding for finding in report["findings"]}
        for task, (liveness, part) in expected.items():
            finding = findings.get(task)
            if finding is None:
                inquiry.broken("unexplained", f"the sweep says nothing about {task}", sweeps[-1])
            elif finding["liveness"] != liveness:
                message = (
                    f"the sweep calls the worker of {task} {finding['liveness']} ({finding['why']}); it is {liveness}"
                )
                inquiry.broken("wrong-liveness", message, sweeps[-1])
            elif part not in finding["why"]:
                message = f"the sweep explains {task} by {finding['why']!r}, which does not say {part!r}"
                inquiry.broken("unexplained", message, sweeps[-1])
            else:
                inquiry.seen()
        return inquiry.finding("the sweep told what it knew, and why")

    return Check("sweep-says", examine)


def stuck_told(*, stuck: Collection[str], moving: Collection[str]) -> Check:
    """The last sweep command tells that some tasks are stuck, and does not say so of others.

    Violations: `stuck-untold`, `called-stuck`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("stuck-told")
        _flagged(inquiry, history, "stuck", {"stuck-untold": stuck, "called-stuck": moving})
        return inquiry.finding("what is stuck was told, and nothing else")

    return Check("stuck-told", examine)


def overruns_told(*, over: Collection[str], within: Collection[str]) -> Check:
    """The last sweep command tells that some tasks take longer than they are allowed, by `overran`, and no others.

    Violations: `overran-untold`, `called-overran`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("overruns-told")
        _flagged(inquiry, history, "overran", {"overran-untold": over, "called-overran": within})
        return inquiry.finding("what overran was told, and nothing else")

    return Check("overruns-told", examine)


def _flagged(inquiry: Inquiry, history: History, flag: str, expected: Mapping[str, Collection[str]]) -> None:
    """In the last report of the sweep those of the first violation have the flag, and those of the second do not."""
    done = [entry for entry in history.select(Kind.OPERATION, "sweep") if entry.type != "invoke"]
    report = done[-1].value.get("report") if done else None
    if not report:
        inquiry.lacking("a report of the sweep")
        return
    told = {finding["task_id"] for finding in report["findings"] if finding.get(flag)}
    (untold, flagged), (called, others) = expected.items()
    for task in flagged:
        inquiry.seen()
        if task not in told:
            inquiry.broken(untold, f"{task}: {flag}, and the sweep does not tell", done[-1])
    for task in others:
        inquiry.seen()
        if task in told:
            inquiry.broken(called, f"{task} is called {flag}, and is not", done[-1])


def heartbeat_moves(task: str, interval_s: float, lease_s: float) -> Check:
    """While the task executes, its heartbeat moves about every `interval_s` and never falls a lease behind.

    Violations: `starved` (a gap of a lease or more), `no-heartbeat`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("heartbeat-moves")
        beats: dict[str, Entry] = {}
        for entry in history.observations("record", task):
            if entry.value.get("status") == "STARTED" and "last_heartbeat" in entry.value:
                beats.setdefault(entry.value["last_heartbeat"], entry)
        marks = history.truth("mark", task)
        ends = [entry.at for entry in history.truth("end", task)] or [_last(history)]
        if not marks:
            inquiry.lacking("the mark that the task holds at")
            return inquiry.finding("")
        span = ends[0] - marks[0].at
        if span < 2 * lease_s:
            inquiry.lacking(f"an execution of two leases (it was held {span:.1f} s)")
        if not beats:
            inquiry.broken("no-heartbeat", f"{task} ran for {span:.1f} s without a heartbeat", marks[0])
            return inquiry.finding("")
        moments = [datetime.fromisoformat(moment) for moment in sorted(beats, key=datetime.fromisoformat)]
        gaps = [(after - before).total_seconds() for before, after in pairwise(moments)]
        final = ends[0] - max(entry.at for entry in beats.values())
        worst = max([*gaps, final])
        if worst >= lease_s:
            inquiry.broken(
                "starved", f"{task} lived, and its heartbeat stood still for {worst:.2f} s", *list(beats.values())[-1:]
            )
        elif len(moments) < span / interval_s / 2:
            message = f"{len(moments)} heartbeats in {span:.1f} s, one every {interval_s:g} s was configured"
            inquiry.broken("starved", message, *list(beats.values())[-1:])
        else:
            inquiry.seen(len(moments))
        return inquiry.finding(f"{len(moments)} heartbeats in {span:.1f} s, the longest gap {worst:.2f} s")

    return Check("heartbeat-moves", examine)


def heartbeat_stands(task: str, begin: str, end: str) -> Check:
    """Between two notes, while what executes the task is stopped, no heartbeat is claimed for it.

    Violation: `false-heartbeat`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("heartbeat-stands")
        before, during = _looks_between(history, task, begin, end)
        if before is None or before.value.get("last_heartbeat") is None:
            inquiry.lacking(f"a heartbeat of {task} before the note {begin!r}, and the note {end!r}")
            return inquiry.finding("")
        inquiry.seen()
        for entry in during:
            if entry.value.get("last_heartbeat") != before.value["last_heartbeat"]:
                inquiry.broken("false-heartbeat", f"{task} is stopped, and its heartbeat moves", before, entry)
                break
        return inquiry.finding("no heartbeat was claimed for a stopped task")

    return Check("heartbeat-stands", examine)


def gil_was_held(task: str, at_least_s: float) -> Check:
    """The task's own thread stood still for so long: proof that the interpreter was starved. Never a violation."""

    def examine(history: History) -> Finding:
        inquiry = Inquiry("gil-was-held")
        if not history.truth("tick", task):
            inquiry.lacking("a thread that ticks beside the task")
        signs = sorted(entry.at for f in ("mark", "tick", "gil released") for entry in history.truth(f, task))
        longest = max((after - before for before, after in pairwise(signs)), default=0.0)
        if longest < at_least_s:
            inquiry.lacking(f"a GIL held for {at_least_s:g} s (it was held {longest:.2f} s)")
        inquiry.seen()
        return inquiry.finding(f"the GIL was held for {longest:.1f} s")

    return Check("gil-was-held", examine)


def cleanup_guarded(task: str, names: str) -> Check:
    """A sweep command without the broker's proof refuses, changes nothing, and names the way on.

    Violations: `unguarded` (it succeeded, or changed the record), `unhelpful`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("cleanup-guarded")
        runs = [entry for entry in history.select(Kind.OPERATION, "sweep") if entry.type != "invoke"]
        blind = [entry for entry in runs if (entry.value.get("report") or {}).get("broker_works") is not True]
        for entry in blind:
            flags = entry.value["flags"]
            if "--force" in flags:
                continue
            if entry.type == "ok":
                inquiry.broken("unguarded", "the command succeeded without any proof that the broker works", entry)
            elif names not in entry.value["errors"]:
                inquiry.broken("unhelpful", f"the refusal does not name {names}: {entry.value['errors'][-300:]}", entry)
            else:
                inquiry.seen()
            after = [seen for seen in history.observations("record", task) if seen.at >= entry.at]
            forced = [other.at for other in runs if "--force" in other.value["flags"]]
            for seen in after:
                if seen.value.get("status") in TERMINAL and not any(moment < seen.at for moment in forced):
                    inquiry.broken("unguarded", "the refused command changed the record all the same", entry, seen)
        if not blind:
            inquiry.lacking("a command run without the broker")
        return inquiry.finding("the command refused, changed nothing and named the way on")

    return Check("cleanup-guarded", examine)


def unchanged_between(task: str, begin: str, end: str, kind: str) -> Check:
    """Between two notes of the scenario the record kept all but its heartbeat. The violation's kind is given."""

    def examine(history: History) -> Finding:
        inquiry = Inquiry("unchanged-between")
        before, during = _looks_between(history, task, begin, end)
        if before is None:
            inquiry.lacking(f"a record of {task} before the note {begin!r}, and the note {end!r}")
            return inquiry.finding("")
        inquiry.seen()
        for entry in during:
            changed = _differences(before, entry)
            if changed:
                inquiry.broken(kind, f"{task} changed: {changed}", before, entry)
        return inquiry.finding("the record did not change")

    return Check("unchanged-between", examine)


def _looks_between(history: History, task: str, begin: str, end: str) -> tuple[Entry | None, list[Entry]]:
    """The last look at a record before the first note, none where a note is missing, and those between the notes."""
    begins, ends = history.observations(begin), history.observations(end)
    if not begins or not ends:
        return None, []
    seen = [entry for entry in history.observations("record", task) if entry.at < ends[0].at]
    before = [entry for entry in seen if entry.at <= begins[0].at]
    return (before[-1] if before else None), seen[len(before) :]


def _differences(before: Entry, after: Entry) -> str:
    names = sorted((before.value.keys() | after.value.keys()) - {"last_heartbeat"})
    changes = [(name, before.value.get(name), after.value.get(name)) for name in names]
    return ", ".join(f"{name} from {old} to {new}" for name, old, new in changes if old != new)


def _last(history: History) -> float:
    return max((entry.at for entry in history), default=0.0)
