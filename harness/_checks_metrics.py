"""Checks on what a tracker tells Prometheus, and on the numbers in its log."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from harness._history import Entry, History
from harness._verdict import Check, Finding, Inquiry

_OPEN = {"PENDING": "open_pending", "STARTED": "open_started", "RETRY": "open_retry"}
_SCRAPE_S = 10.0
_CLOSED = re.compile(r"\bclosed (\d+)\b")


def metrics_told(when: str, counts: Mapping[str, float]) -> Check:
    """A worker's scrape tells exactly these counts, whichever of its processes counted them.

    Violations: `untold`, `miscounted`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("metrics-told")
        for scrape in _scrapes(inquiry, history, when):
            for name, wanted in counts.items():
                told = scrape.value["told"][name]
                if told is None:
                    inquiry.broken("untold", f"{when}: {name} is not told; it is {wanted:g}", scrape)
                elif told != wanted:
                    inquiry.broken("miscounted", f"{when}: {name} is told as {told:g}; it is {wanted:g}", scrape)
                else:
                    inquiry.seen()
        return inquiry.finding(f"{when}: {', '.join(f'{name} {count:g}' for name, count in counts.items())}")

    return Check("metrics-told", examine)


def errors_counted(when: str, *, at_least: int) -> Check:
    """Of what could not be recorded, a scrape tells `at_least` what the harness prevented, in children too.

    And no more than the worker's log has ERROR lines. Violations: `untold`, `uncounted-errors`, `invented-errors`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("errors-counted")
        logs = {entry.value["log"]: entry for entry in history.observations("log")}
        for scrape in _scrapes(inquiry, history, when):
            log = logs.get("worker-" + scrape.value["worker"].partition("@")[0])
            told = scrape.value["told"]["tracking_errors"]
            if log is None:
                inquiry.lacking(f"the log of {scrape.value['worker']}")
                continue
            lines = sum("ERROR" in line for line in log.value["lines"])
            if told is None:
                inquiry.broken("untold", f"{when}: tracking errors are not told", scrape)
            elif told < at_least:
                message = f"{when}: {told:g} tracking errors are told, and {at_least} were caused"
                inquiry.broken("uncounted-errors", message, scrape)
            elif told > lines:
                message = f"{when}: {told:g} tracking errors are told, and {lines} ERROR lines stand in the log"
                inquiry.broken("invented-errors", message, scrape, log)
            else:
                inquiry.seen()
        return inquiry.finding(f"{when}: at least {at_least} tracking errors, and none that the log does not tell")

    return Check("errors-counted", examine)


def open_tasks_told(when: str, *, askable: bool = True) -> Check:
    """A scrape tells the open tasks by status as the records stood that were seen last before it.

    Where they could not be asked for, it tells nothing of them, within Prometheus' own time-out. Violations:
    `untold`, `untrue-open-tasks`, `invented-open-tasks`, `scrape-blocked`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("open-tasks-told")
        for scrape in _scrapes(inquiry, history, when):
            records = [entry for entry in history.observations("record") if entry.index < scrape.index]
            standing = Counter({entry.task: entry.value.get("status") for entry in records}.values())
            if not any(standing[status] for status in _OPEN):
                inquiry.lacking(f"open records before the scrape {when}")
            if scrape.value["seconds"] > _SCRAPE_S:
                inquiry.broken("scrape-blocked", f"{when}: the scrape took {scrape.value['seconds']:.1f} s", scrape)
            for status, name in _OPEN.items():
                told = scrape.value["told"][name]
                if not askable and told is not None:
                    message = f"{when}: {told:g} tasks are told to be {status}, which nobody could know"
                    inquiry.broken("invented-open-tasks", message, scrape)
                elif askable and told is None:
                    inquiry.broken("untold", f"{when}: it is not told how many tasks are {status}", scrape)
                elif askable and told != standing[status]:
                    message = f"{when}: {told:g} tasks are told to be {status}; {standing[status]} are"
                    inquiry.broken("untrue-open-tasks", message, scrape)
                else:
                    inquiry.seen()
        return inquiry.finding(f"{when}: the open tasks are told {'by status' if askable else 'to be unknown'}")

    return Check("open-tasks-told", examine)


def sweeps_counted(interval_s: float) -> Check:
    """Between a worker's first scrape and its last, sweeps and their seconds grew, and no more than time allows.

    Violations: `untold`, `sweeps-uncounted`, `sweeps-invented`, `untrue-sweep-seconds`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("sweeps-counted")
        scrapes = history.observations("metrics")
        if len(scrapes) < 2:
            inquiry.lacking("two scrapes")
            return inquiry.finding("")
        first, last = scrapes[0].value, scrapes[-1].value
        grown = {}
        for name in ("sweeps", "sweep_seconds"):
            if first["told"][name] is None or last["told"][name] is None:
                inquiry.broken("untold", f"{name} is not told", scrapes[0], scrapes[-1])
                return inquiry.finding("")
            grown[name] = last["told"][name] - first["told"][name]
        between_s = last["asked"] + last["seconds"] - first["asked"]
        said = f"within {between_s:.1f} s {grown['sweeps']:g} sweeps are told, of {grown['sweep_seconds']:.2f} s in all"
        if grown["sweeps"] < 1:
            inquiry.broken("sweeps-uncounted", said, scrapes[0], scrapes[-1])
        elif grown["sweeps"] > between_s / interval_s + 1:
            inquiry.broken("sweeps-invented", said, scrapes[0], scrapes[-1])
        if not 0 < grown["sweep_seconds"] <= between_s + interval_s:
            inquiry.broken("untrue-sweep-seconds", said, scrapes[0], scrapes[-1])
        inquiry.seen()
        return inquiry.finding(said)

    return Check("sweeps-counted", examine)


def closings_logged(closed: int) -> Check:
    """The log lines of sweeps tell how many tasks they closed: `sweep`, and `closed N`; all together, `closed`.

    Violation: `closings-untold`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("closings-logged")
        logs = [entry for entry in history.observations("log") if entry.value["log"].startswith("worker-")]
        if not logs:
            inquiry.lacking("the log of a worker")
            return inquiry.finding("")
        lines = [line for entry in logs for line in entry.value["lines"] if "sweep" in line]
        told = sum(int(found[1]) for line in lines if (found := _CLOSED.search(line)))
        if told != closed:
            inquiry.broken("closings-untold", f"sweeps log that they closed {told} tasks; they closed {closed}", *logs)
        inquiry.seen()
        return inquiry.finding(f"the log of the sweeps tells that {closed} tasks were closed")

    return Check("closings-logged", examine)


def _scrapes(inquiry: Inquiry, history: History, when: str) -> list[Entry]:
    found = [entry for entry in history.observations("metrics") if entry.value["when"] == when]
    if not found:
        inquiry.lacking(f"the scrape {when}")
    return found


def checks_paced(interval_s: float) -> Check:
    """From the first scrape to the last, all nodes together have made a check about once in each interval.

    Violations: `unchecked` (none at all), `each-node-checks` (more than one for each nine tenths of the interval).
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("checks-paced")
        scrapes = history.observations("metrics")
        workers = {entry.value["worker"]: entry for entry in scrapes}
        if len(workers) < 2 or len(scrapes) < 2 * len(workers):
            inquiry.lacking("two scrapes of each of two workers")
            return inquiry.finding("")
        first = {entry.value["worker"]: entry for entry in reversed(scrapes)}
        made = sum(
            (workers[name].value["told"]["checks"] or 0) - (first[name].value["told"]["checks"] or 0)
            for name in workers
        )
        took_s = scrapes[-1].at - scrapes[0].at
        allowed = took_s / (0.9 * interval_s) + 1
        if made < 1:
            inquiry.broken("unchecked", f"no check was made within {took_s:.1f} s", scrapes[-1])
        elif made > allowed:
            message = f"{made:g} checks were made within {took_s:.1f} s, one every {interval_s:g} s was asked for"
            inquiry.broken("each-node-checks", message, scrapes[0], scrapes[-1])
        inquiry.seen()
        return inquiry.finding(f"{made:g} checks within {took_s:.1f} s")

    return Check("checks-paced", examine)
