"""Checks on what a subject's API and its commands answer about results and statuses, against what is true."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

from harness._executions import executions
from harness._history import Entry, History, moment_of
from harness._verdict import Check, Finding, Inquiry

_RESULTS = frozenset({"result", "result-within"})
_STATUSES = frozenset({"status", "get", "wait", "wait-within"})
_CLOCKS_AGREE = timedelta(seconds=0.25)
"""By so much the database's clock and the harness's may differ, and what is stored may be rounded."""
_OFF_AT_MOST = timedelta(seconds=1.0)
"""By so much a true time may be off: a process may have to wait between what it does and its look at the clock."""


def results_given(
    expected: Mapping[str, Any], *, surfaces: Collection[str] = ("api", "cli"), asked: str = "result"
) -> Check:
    """Whoever asks for the result is given what the task returned, as JSON, and nothing around it.

    `expected` maps ids to the JSON of what the tasks returned; each surface has to be asked about each, by `asked`.
    Violations: `no-result`, `wrapped-result` (it is a part of what is given), `wrong-result`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("results-given")
        for task, value in expected.items():
            for surface in surfaces:
                answers = _answers(history, task, surface, {asked})
                if not answers:
                    inquiry.lacking(f"a result of {task} that was asked for through the {surface}")
                for entry in answers:
                    _hold_against(inquiry, entry, value)
        return inquiry.finding("what is given is what was returned")

    return Check("results-given", examine)


def status_true(tasks: Collection[str]) -> Check:
    """The status of a task that has ended tells what is true: when it started and ended, where, in how many attempts.

    Violations: `wrong-status`, `wrong-time`, `wrong-worker`, `wrong-attempts`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("status-true")
        for task in tasks:
            runs = executions(history, task)
            told = [entry for entry in _answers(history, task, None, _STATUSES) if entry.value["fields"]]
            if not told or not runs or runs[-1].end is None:
                inquiry.lacking(f"a status of {task} after its end")
                continue
            for entry in told:
                _status_against(inquiry, entry, runs)
        return inquiry.finding("the statuses tell what happened")

    return Check("status-true", examine)


def answers_apart(expected: Mapping[str, str]) -> Check:
    """Each task's result is answered for as what it is: `available`, `pending`, `unknown`, `expired` or `failed`.

    Of several answers about one task the last is judged. Violations: `mistaken` (it is told as something else),
    `no-times` (an expired one without the times of its end and of its expiry), `forgotten` (an expired one whose
    status is not known any more).
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("answers-apart")
        for task, wanted in expected.items():
            asked = _answers(history, task, "api", _RESULTS)[-1:]
            if not asked:
                inquiry.lacking(f"an answer about the result of {task}")
                continue
            (entry,) = asked
            found = _KINDS.get(entry.value["status"], str(entry.value["status"]))
            if found != wanted:
                inquiry.broken("mistaken", f"{task} is {wanted}, and is answered for as {found}", entry)
            if found == wanted == "expired":
                _expired(inquiry, history, task, entry)
            inquiry.seen()
        return inquiry.finding("each is answered for as what it is")

    return Check("answers-apart", examine)


def wait_bounded(task: str, command: str, *, exit_code: int, words: Collection[str] = ()) -> Check:
    """A command that waits with a limit ends when it is over, to the second, says so, and exits with its own code.

    The limits are told by the runs themselves; the one with the shortest tells what else a run takes. Violations:
    `late`, `early`, `wrong-exit`, `unsaid` (what it prints to stderr lacks one of the words).
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("wait-bounded")
        runs = [e for e in _answers(history, task, "cli", {command}) if e.value["timeout_s"] is not None]
        waited = sorted(runs, key=lambda entry: float(entry.value["timeout_s"]))
        if len(waited) < 2:
            inquiry.lacking(f"two waits for {task} with different limits that ran out")
            return inquiry.finding("")
        first, *others = waited
        for entry in others:
            longer = entry.value["timeout_s"] - first.value["timeout_s"]
            took = entry.value["seconds"] - first.value["seconds"]
            if took > longer + 1.0:
                inquiry.broken("late", f"{longer:g} s more to wait took {took:.1f} s more", first, entry)
            if took < longer - 1.0:
                inquiry.broken("early", f"{longer:g} s more to wait took only {took:.1f} s more", first, entry)
        for entry in waited:
            if entry.value["exit_code"] != exit_code:
                code = entry.value["exit_code"]
                inquiry.broken("wrong-exit", f"the exit code is {code}, and {exit_code} is what says that", entry)
            for word in words:
                if word not in entry.value["errors"]:
                    inquiry.broken("unsaid", f"it does not say {word!r}: {entry.value['errors']!r}", entry)
            inquiry.seen()
        return inquiry.finding("the waits were bounded")

    return Check("wait-bounded", examine)


def partial_kept(task: str, *, good: Mapping[str, Any], bad: Mapping[str, str]) -> Check:
    """Of a result that nothing can store as a whole the good part is given, and it is said what is missing.

    `good` maps keys of the result to their values; `bad` maps those that cannot be stored to the name of their type.
    Violations: `work-lost` (no result, or a failure), `good-part-lost`, `unmarked` (nothing says that it is partial),
    `bad-part-unnamed`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("partial-kept")
        asked = _answers(history, task, "api", _RESULTS)
        got = history.observations("result", task)
        if not asked or not got:
            inquiry.lacking(f"answers about {task} from the API and from the result backend")
        for entry in asked:
            if entry.value["status"] == 200 and isinstance(entry.value["body"], Mapping):
                _partial(inquiry, entry, good, bad)
            else:
                inquiry.broken("work-lost", f"its result is answered with {entry.value['status']}", entry)
        for entry in got:
            if entry.value["state"] != "SUCCESS":
                inquiry.broken("work-lost", f"who waits for it gets {entry.value['state']}", entry)
            for name in good:
                if f"{name!r}" not in str(entry.value["value"]):
                    inquiry.broken("good-part-lost", f"who waits for it does not get {name}", entry)
        return inquiry.finding("the good part is given, and the rest is named")

    return Check("partial-kept", examine)


def large_streamed(task: str, *, size: int, sha256: str, inline_bytes: int, memory_bytes: int) -> Check:
    """A large result is given whole, with its size, from somewhere else than the result backend, and piece by piece.

    The backend's own entry is told by notes `stored` with `bytes`, the processes' memory by notes `memory` with
    `process` and `peak_bytes`, before and after. Violations: `wrong-result`, `size-unsaid`, `in-the-backend`,
    `not-redirected`, `memory-unbounded`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("large-streamed")
        asked = _answers(history, task, "api", _RESULTS)
        stored = history.observations("stored", task)
        if not asked or not stored:
            inquiry.lacking(f"the result of {task}, and what the backend has of it")
        for entry in asked:
            if (entry.value["status"], entry.value.get("size"), entry.value.get("sha256")) != (200, size, sha256):
                found = f"{entry.value['status']}, {entry.value.get('size')} bytes"
                inquiry.broken("wrong-result", f"{size} bytes were returned, the answer is {found}", entry)
                continue
            if entry.value["headers"].get("size") != str(size):
                inquiry.broken("size-unsaid", f"its size is told as {entry.value['headers'].get('size')}", entry)
            if 303 not in entry.value["via"]:
                inquiry.broken("not-redirected", "it is given in place, not by reference", entry)
            inquiry.seen()
        for entry in stored:
            if entry.value["bytes"] > inline_bytes:
                inquiry.broken("in-the-backend", f"the backend holds {entry.value['bytes']} bytes of it", entry)
        _memory(inquiry, history, memory_bytes)
        return inquiry.finding("it was streamed")

    return Check("large-streamed", examine)


def error_told(task: str, *, code: str, words: Mapping[str, Collection[str]], secrets: Collection[str]) -> Check:
    """A failure is told with all that helps to understand it, and without anybody's secrets, wherever it is told.

    `words` maps parts of the error (`type`, `message`, `traceback`, `category`, `task_name`, `args`, `attempts`) to
    what must occur in them. Violations: `no-error`, `no-context`, `wrong-code`, `secret-told`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("error-told")
        entries = _answers(history, task, None, _STATUSES | _RESULTS)
        if not {entry.value["surface"] for entry in entries} >= {"api", "cli"}:
            inquiry.lacking(f"answers about {task} from the API and from a command")
        for entry in entries:
            text = json.dumps(entry.value.get("body")) + str(entry.value.get("errors"))
            for secret in secrets:
                if secret in text:
                    inquiry.broken("secret-told", f"the {entry.value['surface']} tells {secret!r}", entry)
            if entry.value["surface"] == "api" or entry.value["asked"] not in _RESULTS:
                _error(inquiry, entry, code, words)
            inquiry.seen()
        return inquiry.finding("the error is told, and no secret")

    return Check("error-told", examine)


def expiry_effective(task: str, *, result_s: float) -> Check:
    """A result is kept for as long as was set: its status tells when it expires, the result backend does so too.

    The time that the backend's entry still has is told by notes `stored` with `ttl_s`. After it, and after what is
    known of the task is to be forgotten, answers say so. Violations: `not-told`, `wrong-expiry`, `kept-for-longer`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("expiry-effective")
        told = [entry for entry in _answers(history, task, "api", {"status"}) if entry.value["fields"]]
        stored = history.observations("stored", task)
        if not told or not stored:
            inquiry.lacking(f"a status of {task}, and what the backend has of it")
        for entry in told:
            fields = entry.value["fields"]
            completed, expires = moment_of(fields.get("completed_at")), moment_of(fields.get("result_expires_at"))
            if completed is None or expires is None:
                inquiry.broken("not-told", "the status does not tell when the result expires", entry)
            elif abs((expires - completed).total_seconds() - result_s) > _CLOCKS_AGREE.total_seconds():
                inquiry.broken("wrong-expiry", f"it expires after {expires - completed}, not {result_s:g} s", entry)
            inquiry.seen()
        _kept_no_longer(inquiry, stored, result_s)
        return inquiry.finding("results are kept for as long as was set")

    return Check("expiry-effective", examine)


def forgotten_by_backend(task: str, *, within_s: float) -> Check:
    """The result backend itself forgets a result in time, as told by notes `stored`. Violation: `kept-for-longer`."""

    def examine(history: History) -> Finding:
        inquiry = Inquiry("forgotten-by-backend")
        stored = [entry for entry in history.observations("stored", task) if entry.value["bytes"]]
        if not stored:
            inquiry.lacking(f"what the backend has of {task}")
        _kept_no_longer(inquiry, stored, within_s)
        return inquiry.finding(f"results are kept for no longer than {within_s:g} s")

    return Check("forgotten-by-backend", examine)


def _kept_no_longer(inquiry: Inquiry, stored: Sequence[Entry], within_s: float) -> None:
    for entry in stored:
        ttl_s = entry.value["ttl_s"]
        if ttl_s is None or ttl_s > within_s:
            lasts = "for ever" if ttl_s is None else f"for {ttl_s:g} s"
            inquiry.broken("kept-for-longer", f"the backend keeps it {lasts}, not for {within_s:g} s", entry)
        inquiry.seen()


_KINDS = {200: "available", 202: "pending", 404: "unknown", 410: "expired", 409: "failed"}


def _answers(history: History, task: str, surface: str | None, asked: Collection[str]) -> list[Entry]:
    return [
        entry
        for entry in history.observations("answer", task)
        if entry.value["asked"] in asked and surface in {None, entry.value["surface"]}
    ]


def _hold_against(inquiry: Inquiry, entry: Entry, value: Any) -> None:
    given, surface = entry.value["body"], entry.value["surface"]
    succeeded = entry.value["status"] == 200 if surface == "api" else entry.value["exit_code"] == 0
    if not succeeded or (surface == "cli" and not entry.value["printed"]):
        inquiry.broken("no-result", f"the {surface} gives no result of {entry.task}: {_shown(entry)}", entry)
    elif given == value:
        inquiry.seen()
    elif isinstance(given, Mapping) and value in list(given.values()):
        inquiry.broken("wrapped-result", f"the {surface} gives {str(given)[:200]}, with the result in it", entry)
    else:
        inquiry.broken("wrong-result", f"the {surface} gives {str(given)[:200]}, not {str(value)[:200]}", entry)


def _status_against(inquiry: Inquiry, entry: Entry, runs: list[Any]) -> None:
    fields, last = entry.value["fields"], runs[-1]
    if entry.at < last.end.at:
        return
    wanted = "SUCCESS" if last.returned else "FAILURE"
    if fields.get("status") != wanted or not fields.get("ready") or fields.get("successful") is not last.returned:
        inquiry.broken("wrong-status", f"{entry.task} ended as {wanted}, and is told as {fields}", entry)
    started, completed = moment_of(fields.get("started_at")), moment_of(fields.get("completed_at"))
    if started is None or completed is None:
        inquiry.broken("wrong-time", f"{entry.task} is told without the times of its start and end", entry)
    else:
        # The journal's monotonic clock against the wall clock of the moment at which the answer was noted.
        noted = entry.moment
        ended = noted - timedelta(seconds=entry.at - last.end.at)
        began = noted - timedelta(seconds=entry.at - last.start.at)
        for what, told, true, before_s in (("end", completed, ended, 0.0), ("start", started, began, last.preparing_s)):
            if not true - timedelta(seconds=before_s) - _OFF_AT_MOST <= told <= true + _OFF_AT_MOST:
                inquiry.broken("wrong-time", f"{entry.task}: its {what} was at {true}, and is told as {told}", entry)
        run_s = fields.get("run_seconds")
        if run_s is None or abs(run_s - (completed - started).total_seconds()) > _CLOCKS_AGREE.total_seconds():
            inquiry.broken("wrong-time", f"{entry.task} ran for {completed - started}, told as {run_s} s", entry)
    if fields.get("worker") != last.node:
        inquiry.broken("wrong-worker", f"{entry.task} ran on {last.node}, told as {fields.get('worker')}", entry)
    if fields.get("attempts") != len(runs):
        inquiry.broken("wrong-attempts", f"{entry.task}: {len(runs)} attempts, told {fields.get('attempts')}", entry)
    inquiry.seen()


def _partial(inquiry: Inquiry, entry: Entry, good: Mapping[str, Any], bad: Mapping[str, str]) -> None:
    body, mark = entry.value["body"], entry.value["headers"].get("partial")
    for name, value in good.items():
        if body.get(name) != value:
            inquiry.broken("good-part-lost", f"{name} is given as {body.get(name)!r}, not {value!r}", entry)
    if not mark:
        inquiry.broken("unmarked", "nothing says that the result is partial", entry)
    for name, kind in bad.items():
        said = f"{body.get(name)} {mark}"
        if kind not in said:
            inquiry.broken("bad-part-unnamed", f"{name} is a {kind}, and told as {said!r}", entry)
    inquiry.seen()


def _memory(inquiry: Inquiry, history: History, spare_bytes: int) -> None:
    peaks: dict[str, list[Entry]] = {}
    for entry in history.observations("memory"):
        peaks.setdefault(entry.value["process"], []).append(entry)
    if not peaks or any(
        len(seen) < 2 or not all(entry.value["peak_bytes"] for entry in seen) for seen in peaks.values()
    ):
        inquiry.lacking("the memory that it took")
    for process, entries in peaks.items():
        grown = entries[-1].value["peak_bytes"] - entries[0].value["peak_bytes"]
        if grown > spare_bytes:
            message = f"{process} took {grown >> 20} MB more, and may take {spare_bytes >> 20} MB"
            inquiry.broken("memory-unbounded", message, entries[0], entries[-1])


def _error(inquiry: Inquiry, entry: Entry, code: str, words: Mapping[str, Collection[str]]) -> None:
    error = (entry.value["fields"] or entry.value["body"] or {}).get("error")
    if not isinstance(error, Mapping):
        inquiry.broken("no-error", f"{entry.value['asked']} tells no error", entry)
        return
    if error.get("code") != code:
        inquiry.broken("wrong-code", f"its code is {error.get('code')!r}, not {code!r}", entry)
    for part, wanted in words.items():
        if not all(word in str(error.get(part)) for word in wanted):
            inquiry.broken("no-context", f"{part} is {error.get(part)!r}, without {wanted}", entry)


def _expired(inquiry: Inquiry, history: History, task: str, entry: Entry) -> None:
    body = entry.value["body"] if isinstance(entry.value["body"], Mapping) else {}
    moments = sorted(moment for value in body.values() if (moment := moment_of(value)) is not None)
    if len(moments) < 2 or moments[0] == moments[-1]:
        inquiry.broken("no-times", f"{task} is expired, without the times of its end and its expiry: {body}", entry)
    known = _answers(history, task, "api", {"status"})[-1:]
    if not known:
        inquiry.lacking(f"the status of {task} after its expiry")
    for later in known:
        if not later.value["fields"] or later.value["fields"].get("status") != "SUCCESS":
            inquiry.broken("forgotten", f"after its expiry {task} is told as {later.value['body']}", later)


def _shown(entry: Entry) -> str:
    value = entry.value
    if value["surface"] == "cli":
        return f"exit code {value['exit_code']}, {value['errors'][-300:]!r}"
    return f"{value['status']} {str(value.get('body') or value.get('error'))[:300]}"
