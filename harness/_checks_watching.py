"""Checks on the surfaces together: that they agree, tell those who wait, and only those who may know."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from datetime import timedelta
from itertools import pairwise
from typing import Any

from harness._executions import executions
from harness._history import TERMINAL, Entry, History, moment_of
from harness._verdict import Check, Finding, Inquiry

_PROGRESS = ("current", "total", "percent")


def surfaces_agree(tasks: Collection[str], surfaces: Collection[str]) -> Check:
    """Wherever a task is asked for, its status has the same fields and says the same, and no ended task is running.

    Each task has to be asked for on each surface: `api`, `list`, `cli`, `client`, `socket`; of several answers of one
    surface the last counts. Violations: `another-name`, `differs`, `finished-shown-running`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("surfaces-agree")
        for task in tasks:
            told = {entry.value["surface"]: entry for entry in _statuses(history, task)}
            for surface in surfaces:
                if surface not in told:
                    inquiry.lacking(f"a status of {task} on the surface {surface}")
            for entry in list(told.values())[1:]:
                _compare(inquiry, next(iter(told.values())), entry)
            runs = executions(history, task)
            for entry in told.values():
                over = bool(runs) and runs[-1].end is not None and runs[-1].end.value.get("returned")
                if over and not entry.value["fields"].get("ready"):
                    inquiry.broken("finished-shown-running", f"{task} has ended, and is told as {_said(entry)}", entry)
                inquiry.seen()
        return inquiry.finding("every surface says the same")

    return Check("surfaces-agree", examine)


def progress_sane(tasks: Collection[str], *, malformed: Collection[str], log: str) -> Check:
    """Whatever tasks say of their progress, what is shown makes sense, and has the moment at which it was said.

    Of the `malformed` ones a WARNING in the log tells, noted under `log`; nothing fails by it. Violations: `insane`
    (not finite, negative, current above total, percent above 100, a message without end), `made-up-time`,
    `unlogged`, `no-answer`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("progress-sane")
        lines = [line for e in history.observations("log") if e.value["log"] == log for line in e.value["lines"]]
        for task in tasks:
            said = history.truth("mark", task)
            answers = [e for e in history.observations("answer", task) if e.value["asked"] == "status"]
            if not said or not answers:
                inquiry.lacking(f"the progress of {task}, and a status of it")
                continue
            for entry in answers:
                if entry.value["status"] != 200 or not entry.value["fields"]:
                    inquiry.broken("no-answer", f"{task} is answered for with {entry.value['status']}", entry)
                    continue
                _progress(inquiry, entry, said[0])
            if task in malformed and not any("WARNING" in line and task in line for line in lines):
                inquiry.broken("unlogged", f"no WARNING tells that the progress of {task} makes no sense", said[0])
        return inquiry.finding("what is shown makes sense")

    return Check("progress-sane", examine)


def waiting_told(task: str, *, within_s: float, by: str, hindered: Collection[str] = ()) -> Check:
    """Whoever waits by a command gets the task's end, and soon after it came.

    What stood in the way is told by the note `middlebox` with counts; each of `hindered` has to be above 0.
    Violations: `wrong-answer`, `late`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("waiting-told")
        answers = [e for e in history.observations("answer", task) if e.value["asked"] == by]
        runs = executions(history, task)
        boxes = history.observations("middlebox")
        if not answers or not runs or runs[-1].end is None:
            inquiry.lacking(f"a command that waited for {task}, and its end")
            return inquiry.finding("")
        for name in hindered:
            if not boxes or not boxes[-1].value.get(name):
                inquiry.lacking(f"anything that the middlebox did: {name}")
        for entry in answers:
            fields = entry.value["fields"] or {}
            if entry.value["exit_code"] != 0 or fields.get("status") != "SUCCESS":
                said = f"exit code {entry.value['exit_code']}, {entry.value['errors'][-200:]!r}"
                inquiry.broken("wrong-answer", f"who waits for {task} is told {fields.get('status')}: {said}", entry)
                continue
            late_s = entry.at - runs[-1].end.at
            if late_s > within_s:
                inquiry.broken("late", f"who waits for {task} is told {late_s:.1f} s after its end", entry)
            inquiry.seen()
        return inquiry.finding("whoever waited was told")

    return Check("waiting-told", examine)


def end_shown_last(task: str, *, within_s: float) -> Check:
    """Whoever looked on while an answer was held back is shown the end last, and no progress that goes back.

    The end may be shown `within_s` after it came and all answers were let go. Violations: `stale-last-frame`,
    `backwards`, `late`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("end-shown-last")
        runs, freed = executions(history, task), [entry.at for entry in history.faults("heal")]
        shown: dict[str, list[Entry]] = {}
        for entry in _statuses(history, task):
            shown.setdefault(entry.value.get("reader", entry.value["asked"]), []).append(entry)
        if not shown or not freed or not runs or runs[-1].end is None:
            inquiry.lacking(f"the end of {task}, an answer that was held back, and what was shown")
            return inquiry.finding("")
        for who, entries in shown.items():
            far = [_how_far(entry) for entry in entries]
            if far != sorted(far):
                inquiry.broken("backwards", f"{who} is shown {task} going back: {far}", *entries[-1:])
            last = entries[-1]
            late_s = last.at - max(runs[-1].end.at, *freed)
            if last.value["fields"].get("status") != "SUCCESS":
                inquiry.broken("stale-last-frame", f"the last that {who} is shown of {task} is {_said(last)}", last)
            elif late_s > within_s:
                inquiry.broken("late", f"{who} is shown the end of {task} {late_s:.1f} s after it", last)
            inquiry.seen()
        return inquiry.finding("the end was shown last")

    return Check("end-shown-last", examine)


def pace_kept(task: str, *, wait_s: float, requests: int, slack_s: float) -> Check:
    """Whoever has to ask for a task asks seldom, and yet would not have noticed its end late, whenever it had come.

    The requests are told by the note `middlebox`, on a clock that runs on by what the command's pauses left out. In
    `wait_s` there may be so many of them. Between two it may pause for a second or a fifth of the wait, and for no more
    than 30 s; the requests themselves take what the machine takes, up to `slack_s`. Violations: `too-many`, `late`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("pace-kept")
        boxes = [entry for entry in history.observations("middlebox") if entry.value["moments"]]
        pauses = history.truth("pause")
        if not boxes or not pauses:
            inquiry.lacking("requests, and pauses between them that were shortened")
            return inquiry.finding("")
        moments = [
            moment + sum(pause.value["left_out_s"] for pause in pauses if pause.at <= moment)
            for moment in boxes[-1].value["moments"]
        ]
        waited = [moment - moments[0] for moment in moments]
        if waited[-1] < wait_s:
            inquiry.lacking(f"a wait of {wait_s:g} s for {task}, it was {waited[-1]:.0f} s")
        asked = sum(each <= wait_s for each in waited)
        if asked > requests:
            inquiry.broken("too-many", f"{asked} requests in the first {wait_s:g} s of a wait", boxes[-1])
        for (before, asked_then), (then, asks_again) in pairwise(zip(waited, boxes[-1].value["moments"], strict=True)):
            limit_s = min(max(1.0, then / 5), 30.0)
            paused_s = sum(pause.value["seconds"] for pause in pauses if asked_then < pause.at <= asks_again)
            if paused_s > limit_s or then - before > limit_s + slack_s:
                inquiry.broken("late", f"nothing was asked between {before:.1f} s and {then:.1f} s", boxes[-1])
        inquiry.seen()
        return inquiry.finding(f"{asked} requests in {wait_s:g} s")

    return Check("pace-kept", examine)


def watchers_told(task: str, *, readers: int, within_s: float, listeners: int) -> Check:
    """Each of many readers hears of a task's end, soon, in the order of its numbers, and through few connections.

    How many connections of the API listen at the database is told by notes `listeners` with `count`. Violations:
    `untold`, `late`, `disorder` (a number that is repeated or goes back, or something after the end),
    `many-subscriptions`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("watchers-told")
        runs = executions(history, task)
        heard: dict[str, list[Entry]] = {}
        for entry in _statuses(history, task):
            if entry.value["surface"] == "socket":
                heard.setdefault(entry.value["reader"], []).append(entry)
        counts = history.observations("listeners")
        if not runs or runs[-1].end is None or not counts:
            inquiry.lacking(f"the end of {task}, and how many connections listen")
            return inquiry.finding("")
        for entry in counts:
            if entry.value["count"] > listeners:
                inquiry.broken("many-subscriptions", f"{entry.value['count']} connections listen", entry)
        opened = [e.value["reader"] for e in history.observations("socket") if e.value["opened"]]
        if len(opened) < readers:
            inquiry.lacking(f"{readers} readers; {len(opened)} sockets were opened")
        for reader in opened:
            _reader(inquiry, task, reader, heard.get(reader, []), runs[-1].end, within_s)
        return inquiry.finding("each reader was told in time")

    return Check("watchers-told", examine)


def kept_out(*, leaks: Collection[str], well: Mapping[str, Any]) -> Check:
    """Who may not is refused and learns nothing, as are senseless requests; everybody else is served afterwards.

    Requests that are to be refused are told by notes `forbidden`, each with `answer` (what was answered) and
    `allowed`, the statuses that refuse it; sockets by notes `socket`. None of `leaks` may occur in what is answered.
    `well` maps ids to results that have to be given afterwards. Violations: `let-in`, `leaked`, `harmed`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("kept-out")
        tried = history.observations("forbidden")
        if not tried:
            inquiry.lacking("anything that is forbidden")
        for entry in tried:
            answer = entry.value["answer"]
            if answer["status"] not in entry.value["allowed"]:
                inquiry.broken("let-in", f"{entry.value['what']} is answered with {answer['status']}", entry)
            for secret in leaks:
                if secret in str(answer.get("body")):
                    inquiry.broken("leaked", f"{entry.value['what']} is told {secret!r}", entry)
            inquiry.seen()
        for entry in history.observations("socket"):
            if entry.value["opened"]:
                inquiry.broken("let-in", "a socket was opened to somebody who may not", entry)
        _served(inquiry, history, max((entry.index for entry in tried), default=0), well)
        return inquiry.finding("who may not was kept out")

    return Check("kept-out", examine)


def _served(inquiry: Inquiry, history: History, after: int, well: Mapping[str, Any]) -> None:
    for task, value in well.items():
        asked = [e for e in history.observations("answer", task) if e.value["asked"] == "result" and e.index > after]
        if not asked:
            inquiry.lacking(f"a result of {task} that was asked for afterwards")
        for entry in asked:
            if entry.value["status"] != 200 or entry.value["body"] != value:
                inquiry.broken("harmed", f"afterwards {task} is answered with {entry.value['status']}", entry)


def _statuses(history: History, task: str) -> list[Entry]:
    return [entry for entry in history.observations("answer", task) if entry.value["fields"]]


def _said(entry: Entry) -> str:
    return f"{entry.value['fields'].get('status')} ({entry.value['surface']})"


def _compare(inquiry: Inquiry, first: Entry, entry: Entry) -> None:
    one, other = first.value["fields"], entry.value["fields"]
    where = f"{first.value['surface']} and {entry.value['surface']}"
    if one.keys() != other.keys():
        names = sorted(one.keys() ^ other.keys())
        inquiry.broken("another-name", f"{where} do not both have {', '.join(names)}", first, entry)
    for name in one.keys() & other.keys():
        if one[name] != other[name]:
            said = f"{str(one[name])[:100]!r} and {str(other[name])[:100]!r}"
            inquiry.broken("differs", f"{where} differ in {name} of {entry.task}: {said}", first, entry)


def _how_far(entry: Entry) -> float:
    """How far a task is shown to be: the part that is done, then 2 for an end."""
    fields = entry.value["fields"]
    progress = fields.get("progress")
    if fields.get("status") in TERMINAL:
        return 2.0
    done, whole = (progress.get(name) if isinstance(progress, Mapping) else None for name in ("current", "total"))
    return done / whole if isinstance(done, int | float) and isinstance(whole, int | float) and whole else 0.0


def _progress(inquiry: Inquiry, entry: Entry, said: Entry) -> None:
    shown = entry.value["fields"].get("progress")
    if not isinstance(shown, Mapping):
        inquiry.seen()
        return
    numbers = {name: shown[name] for name in _PROGRESS if shown.get(name) is not None}
    insane = [
        name
        for name, number in numbers.items()
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number) or number < 0
    ]
    if not insane and (numbers.get("percent", 0) > 100 or numbers.get("current", 0) > numbers.get("total", math.inf)):
        insane = ["percent"]
    if insane or len(str(shown.get("message") or "")) > 2000:
        inquiry.broken("insane", f"the progress of {entry.task} is shown as {str(shown)[:200]}", entry)
    told = moment_of(shown.get("at"))
    if told is not None:
        true = entry.moment - timedelta(seconds=entry.at - said.at)
        if abs(told - true) > timedelta(seconds=2.0):
            inquiry.broken("made-up-time", f"it was said at {true}, and is told as {told}", entry)
    inquiry.seen()


def _reader(inquiry: Inquiry, task: str, reader: str, heard: list[Entry], end: Entry, within_s: float) -> None:
    numbers = [entry.value["body"].get("sequence") for entry in heard]
    if numbers != sorted(set(numbers)):
        inquiry.broken("disorder", f"{reader} hears the numbers {numbers}", *heard[:1])
    over = [entry for entry in heard if entry.value["fields"].get("status") in TERMINAL]
    if not over:
        inquiry.broken("untold", f"{reader} does not hear of the end of {task}", *heard[-1:])
    elif over[0].at - end.at > within_s:
        inquiry.broken("late", f"{reader} hears of the end of {task} {over[0].at - end.at:.1f} s after it", over[0])
    inquiry.seen()
