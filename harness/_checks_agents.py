"""Checks on agents: whether the places that tell of a run agree, while it lasts and when it is over.

An observation `agent` has `agent`, its `row` (by the names of `AGENT_COLUMNS`, empty where there is none) and the
`progress` of all runs by task; row and progress are None where they could not be seen.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from harness._executions import Execution, executions
from harness._history import Entry, History
from harness._verdict import Check, Finding, Inquiry

_STATUSES = frozenset({"PENDING", "STARTED", "RETRY", "SUCCESS", "FAILURE", "REVOKED"})


def agent_linked(agent: str, task: str) -> Check:
    """While a task runs an agent, record and agent name each other, progress is there, and the API shows all that.

    Violations: `unlinked`, `no-progress`, `shown-idle`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("agent-linked")
        runs = executions(history, task)
        seen = [entry for entry in _looks(history, agent) if any(run.lives_at(entry.at) for run in runs)]
        records = [entry for entry in history.observations("record", task) if any(r.lives_at(entry.at) for r in runs)]
        if not seen or not records:
            inquiry.lacking(f"a look at agent {agent} and at the record of {task} while it ran")
            return inquiry.finding("")
        last, record = seen[-1], records[-1]
        row = last.value["row"] or {}
        if not row.get("is_running") or row.get("current_task_id") != task:
            inquiry.broken("unlinked", f"{task} runs agent {agent}, whose row says {_said(row)}", last)
        if record.value.get("agent") != agent:
            inquiry.broken("unlinked", f"the record of {task} names the agent {record.value.get('agent')}", record)
        if task not in (last.value["progress"] or {}):
            inquiry.broken("no-progress", f"there is no progress of {task}", last)
        for answer in _answers(history, agent, since=runs[0].start.at, until=_over(runs)):
            told = answer.value["body"] or {}
            if not told.get("is_running") or told.get("current_task_id") != task or told.get("progress") is None:
                inquiry.broken("shown-idle", f"the API shows agent {agent} as {_said(told)}", answer)
        inquiry.seen()
        return inquiry.finding("record, agent and progress name each other")

    return Check("agent-linked", examine)


def agent_idle(
    agent: str, task: str, *, within_s: float | None = None, error: str | None = None, memory: bool = False
) -> Check:
    """After its run by a task the agent is idle wherever it is told of, for good, with the error where there was one.

    `within_s` bounds the time from the end of the run, or from the death of its process; `memory` asks for the
    journal of what it remembers after that. Violations: `still-running`, `progress-left`, `memory-left`,
    `shown-running`, `late`, `error-untold`, `error-invented`, `changed-again` (its row, after it was idle).
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("agent-idle")
        over = _over(executions(history, task))
        seen = [entry for entry in _looks(history, agent) if over is not None and entry.at >= over]
        whole = [entry for entry in seen if entry.value["row"] is not None and entry.value["progress"] is not None]
        if over is None or not whole:
            inquiry.lacking(f"the end of the run of agent {agent} by {task}, and a look at it after that")
            return inquiry.finding("")
        last = whole[-1]
        row = last.value["row"]
        if not row or row.get("is_running") or row.get("current_task_id") or row.get("current_phase_message"):
            inquiry.broken(
                "still-running", f"the run by {task} is over, and the row of {agent} says {_said(row)}", last
            )
        elif error is not None and error not in str(row.get("last_error")):
            inquiry.broken("error-untold", f"it failed with {error!r}, and tells {row.get('last_error')!r}", last)
        elif error is None and row.get("last_error"):
            inquiry.broken("error-invented", f"it did not fail, and tells {row['last_error']!r}", last)
        if task in last.value["progress"]:
            inquiry.broken("progress-left", f"the run by {task} is over, and its progress is there", last)
        if not inquiry.violations:
            _for_good(inquiry, agent, task, whole, None if within_s is None else over + within_s)
        _elsewhere(inquiry, history, agent, over, memory=memory)
        inquiry.seen()
        return inquiry.finding("it is idle wherever it is told of")

    return Check("agent-idle", examine)


def agent_belongs(agent: str, task: str, *, after: str) -> Check:
    """From the end of an older run, by the task `after`, to its own, the agent runs by this task; so does its progress.

    Violation: `idle-under-a-run`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("agent-belongs")
        older, newer = executions(history, after), executions(history, task)
        begin, end = _over(older), _over(newer)
        if begin is None or not newer:
            inquiry.lacking(f"the end of {after}, and the run of {agent} by {task}")
            return inquiry.finding("")
        during = [
            e for e in _looks(history, agent) if e.at >= max(begin, newer[0].start.at) and (end is None or e.at < end)
        ]
        if not during:
            inquiry.lacking(f"a look at agent {agent} between the ends of {after} and {task}")
        for entry in during:
            row, progress = entry.value["row"] or {}, entry.value["progress"] or {}
            if row.get("current_task_id") != task or not row.get("is_running") or task not in progress:
                inquiry.broken("idle-under-a-run", f"{task} runs {agent}, and {after} left it as {_said(row)}", entry)
            inquiry.seen()
        return inquiry.finding("the older run left it alone")

    return Check("agent-belongs", examine)


def progress_kept(agent: str, task: str, *, for_s: float) -> Check:
    """While a task runs the agent, its progress stays where it has been seen, for so long at least.

    Violation: `progress-lost`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("progress-kept")
        runs = executions(history, task)
        seen = [entry for entry in _looks(history, agent) if any(run.lives_at(entry.at) for run in runs)]
        there = [entry for entry in seen if task in (entry.value["progress"] or {})]
        if not there or seen[-1].at - there[0].at < for_s:
            inquiry.lacking(f"looks at the progress of {task} for {for_s:g} s while it ran")
        for entry in seen:
            if there and entry.at > there[0].at and task not in (entry.value["progress"] or {}):
                inquiry.broken("progress-lost", f"{task} runs {agent}, and its progress is gone", entry)
            inquiry.seen()
        return inquiry.finding("its progress stayed")

    return Check("progress-kept", examine)


def cleaned_without(agent: str, task: str, *, away: str) -> Check:
    """While `row` or `progress` could not be seen, the other one was cleaned up after the run had ended.

    Violations: `still-running`, `progress-left`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("cleaned-without")
        over = _over(executions(history, task))
        other = {"row": "progress", "progress": "row"}[away]
        after = [e for e in _looks(history, agent) if over is not None and e.at >= over]
        seen = [e for e in after if e.value[away] is None and e.value[other] is not None]
        if not seen:
            inquiry.lacking(f"a look at agent {agent} after the end of {task}, while there was no {away}")
            return inquiry.finding("")
        last = seen[-1].value
        if away == "progress" and last["row"].get("is_running") is not False:
            inquiry.broken(
                "still-running", f"without its progress, the row of {agent} says {_said(last['row'])}", seen[-1]
            )
        if away == "row" and task in last["progress"]:
            inquiry.broken("progress-left", f"without its row, the progress of {task} is left there", seen[-1])
        inquiry.seen()
        return inquiry.finding("what could be reached was cleaned up")

    return Check("cleaned-without", examine)


def transitions_logged(agent: str, task: str) -> Check:
    """Each transition of the task and of its agent is one line of a log, with JSON that a program can read.

    The lines are told by notes `log`. Violations: `unlogged` (no line, or none with JSON), `logged-twice`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("transitions-logged")
        trails, logs = history.observations("audit", task), history.observations("log")
        if not trails or not logs:
            inquiry.lacking(f"the trail of {task}, and logs")
            return inquiry.finding("")
        latest = {entry.value["log"]: entry.value["lines"] for entry in logs}
        told = [values for lines in latest.values() for line in lines if (values := _json_in(line)) and task in values]
        taken = [step for step in trails[-1].value["trail"] if not step["refused"]]
        ways = Counter((step["from_status"], step["to_status"]) for step in taken)
        for way, times in ways.items():
            wanted = [status for status in way if status is not None]
            count = sum([v for v in values if v in _STATUSES] == wanted and agent not in values for values in told)
            _one_line(inquiry, f"{task} from {way[0]} to {way[1]}", count, times, trails[-1])
        count = sum(agent in values and not _STATUSES & set(values) for values in told)
        _one_line(inquiry, f"{agent} beginning and ending its run by {task}", count, 2, logs[-1])
        return inquiry.finding("each transition is one line")

    return Check("transitions-logged", examine)


def _looks(history: History, agent: str) -> list[Entry]:
    return [entry for entry in history.observations("agent") if entry.value["agent"] == agent]


def _answers(history: History, agent: str, *, since: float, until: float | None = None) -> list[Entry]:
    """What the API said of the agent at the end of a stretch of time."""
    told = [
        entry
        for entry in history.observations("answer")
        if entry.value["asked"] == "agent" and str(entry.value["path"]).endswith(f"/{agent}")
    ]
    return [entry for entry in told if since <= entry.at and (until is None or entry.at < until)][-1:]


def _over(runs: Collection[Execution]) -> float | None:
    """When the last of these executions was over; None while it lasts."""
    if not runs:
        return None
    last = max(runs, key=lambda run: run.start.at)
    return last.end.at if last.end else last.killed_at


def _for_good(inquiry: Inquiry, agent: str, task: str, seen: list[Entry], deadline: float | None) -> None:
    idle = [e for e in seen if e.value["row"] and not e.value["row"]["is_running"] and task not in e.value["progress"]]
    if deadline is not None and idle[0].at > deadline:
        late = idle[0].at - deadline
        inquiry.broken("late", f"agent {agent} was idle {late:.1f} s after the bound", idle[0])
    rows = [entry.value["row"] for entry in idle]
    if any(row != rows[0] for row in rows):
        inquiry.broken(
            "changed-again", f"agent {agent} was idle, and changed again: {_said(rows[-1])}", idle[0], idle[-1]
        )


def _elsewhere(inquiry: Inquiry, history: History, agent: str, over: float, *, memory: bool) -> None:
    remembered = [e for e in history.truth("memory") if e.value["agent"] == agent and e.at > over]
    if memory and not remembered:
        inquiry.lacking(f"what agent {agent} remembers after its run")
    for entry in remembered[-1:]:
        if entry.value["holds"]:
            inquiry.broken("memory-left", f"agent {agent} still remembers {entry.value['holds']}", entry)
    for answer in _answers(history, agent, since=over):
        told = answer.value["body"] or {}
        if told.get("is_running") is not False or told.get("current_task_id") or told.get("progress"):
            inquiry.broken("shown-running", f"the API shows agent {agent} as {_said(told)}", answer)


def _one_line(inquiry: Inquiry, what: str, count: int, wanted: int, entry: Entry) -> None:
    if count < wanted:
        inquiry.broken("unlogged", f"{what}: {count} of {wanted} lines with JSON", entry)
    elif count > wanted:
        inquiry.broken("logged-twice", f"{what}: {count} lines in place of {wanted}", entry)
    inquiry.seen()


def _json_in(line: str) -> list[str]:
    """The texts in the JSON object with which a line ends, in their order; nothing where there is none."""
    _, brace, rest = line.partition("{")
    try:
        found = json.loads(brace + rest)
    except ValueError:
        return []
    return [value for value in found.values() if isinstance(value, str)]


def _said(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in row.items()) or "nothing"
