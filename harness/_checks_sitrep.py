"""Checks on the operations view: whether its figures, its lines and its remarks are true, and what it costs others.

An observation `sitrep` is an answer with `status`, `seconds`, `figures`, `remarks` and `lines`; `lines` is a page of
the list behind it; `commands` is what the Redis server was given meanwhile. Of several sitreps the one that a check
speaks of is told by its number (`of`), the last by -1.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from harness._history import Entry, History
from harness._verdict import Check, Finding, Inquiry

_OK = 200
_WRONG = {
    "status": "wrong-status",
    "name": "wrong-name",
    "error_message": "wrong-error",
    "started_at": "wrong-time",
    "completed_at": "wrong-time",
    "duration_seconds": "wrong-time",
}


def figures_true(*, of: int = -1, **expected: float | None) -> Check:
    """The figures are these, and the total is the sum of its parts.

    Violations: `refused`, `wrong-count`, `wrong-rate`, `wrong-total`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("figures-true")
        entry = _chosen(inquiry, history, of)
        if entry is None:
            return inquiry.finding("")
        told = entry.value["figures"]
        for name, value in expected.items():
            inquiry.seen()
            if told[name] != value:
                kind = "wrong-rate" if name == "success_rate" else "wrong-count"
                inquiry.broken(kind, f"{name} is {value}, and told as {told[name]}", entry)
        parts = [told[name] for name in ("active", "pending", "completed", "failed")]
        if None not in parts and told["total"] != sum(parts):
            inquiry.broken("wrong-total", f"the total is told as {told['total']}, its parts are {parts}", entry)
        return inquiry.finding("the figures are true")

    return Check("figures-true", examine)


def absence_told(source: str, *, of: int = -1, within_s: float, keeps: Mapping[str, float] | None = None) -> Check:
    """With one of its sources away the view answers in time, says which it is, and keeps the figures that it knows.

    `source` is `workers`, `registry` or `results`; of `workers` it is enough that nobody is named as having answered.
    Violations: `refused`, `late`, `unsaid`, `forgotten`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("absence-told")
        entry = _chosen(inquiry, history, of)
        if entry is None:
            return inquiry.finding("")
        remarks, told = entry.value["remarks"], entry.value["figures"]
        if entry.value["seconds"] > within_s:
            inquiry.broken("late", f"it took {entry.value['seconds']:.1f} s of {within_s:g} s", entry)
        nobody = source == "workers" and not remarks["workers"]
        if remarks[f"{source}_answered"] is not False and not nobody:
            inquiry.broken("unsaid", f"{source} did not answer, and the view does not say so", entry)
        for name, value in (keeps or {}).items():
            if told[name] != value:
                inquiry.broken("forgotten", f"{name} was known to be {value}, and is told as {told[name]}", entry)
        inquiry.seen()
        return inquiry.finding(f"it says that {source} did not answer")

    return Check("absence-told", examine)


def recent_first(expected: Sequence[str], *, of: int = -1) -> Check:
    """The lines of tasks that have ended are these, in this order.

    Violations: `refused`, `not-newest`, `out-of-order`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("recent-first")
        entry = _chosen(inquiry, history, of)
        if entry is None:
            return inquiry.finding("")
        told = [line["task_id"] for line in entry.value["lines"] if line["completed_at"] is not None]
        if set(told) != set(expected):
            older = len(set(told) - set(expected))
            inquiry.broken("not-newest", f"{older} of the {len(told)} tasks shown are not the newest", entry)
        elif told != list(expected):
            inquiry.broken("out-of-order", "they are the newest, and not in the order of their ends", entry)
        inquiry.seen()
        return inquiry.finding("the newest ends come first")

    return Check("recent-first", examine)


def lines_true(expected: Mapping[str, Mapping[str, Any]], *, leaks: Collection[str] = ()) -> Check:
    """Each of these tasks has a line in a sitrep, or in a page of the list, the last of which has these values.

    Times are compared as moments, other fields as they are; `...` stands for any value but none. None of `leaks`
    may occur anywhere. Violations: `not-shown`, `wrong-status`, `wrong-name`, `wrong-error`, `wrong-time`,
    `wrong-line`, `leaked`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("lines-true")
        answers = [*history.observations("sitrep"), *history.observations("lines")]
        shown = {line["task_id"]: (line, entry) for entry in answers for line in entry.value["lines"]}
        if not answers:
            inquiry.lacking("an answer of the operations view")
        for task, values in expected.items():
            if task not in shown:
                inquiry.broken("not-shown", f"{task} is not shown", *answers[-1:])
                continue
            line, entry = shown[task]
            for name, value in values.items():
                inquiry.seen()
                if not _is(line[name], value):
                    inquiry.broken(
                        _WRONG.get(name, "wrong-line"),
                        f"{name} of {task} is told as {line[name]!r}, not {value!r}",
                        entry,
                    )
        for entry in answers:
            text = json.dumps(entry.value.get("body"))
            for secret in leaks:
                if secret in text:
                    inquiry.broken("leaked", f"the answer tells {secret!r}", entry)
        return inquiry.finding("what is shown of tasks is true")

    return Check("lines-true", examine)


def keys_left_alone(*, within_ms: float, waited_s: float) -> Check:
    """No command walked through all keys of the Redis server, none kept it busy for long, and nobody waited for it.

    Violations: `walked-all-keys`, `kept-busy`, `kept-waiting`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("keys-left-alone")
        for entry in history.observations("commands"):
            for name in ("keys", "scan"):
                if count := entry.value["calls"].get(name):
                    inquiry.broken("walked-all-keys", f"{name.upper()} was called {count} times", entry)
            for name, slowest in entry.value["slowest_ms"].items():
                if slowest > within_ms:
                    inquiry.broken("kept-busy", f"{name} took up to {slowest:g} ms of {within_ms:g} ms", entry)
            if entry.value["waited_s"] > waited_s:
                inquiry.broken("kept-waiting", f"another client waited {entry.value['waited_s']:.2f} s", entry)
            inquiry.seen(entry.value["asked"])
        return inquiry.finding("no command walked through all keys")

    return Check("keys-left-alone", examine)


def malformed_told(count: int, *, logged: Collection[str] = ()) -> Check:
    """So many entries are told to be malformed, and the log names some of these tasks, where there are any.

    Violations: `refused`, `uncounted`, `unlogged`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("malformed-told")
        entry = _chosen(inquiry, history, -1)
        if entry is None:
            return inquiry.finding("")
        if entry.value["remarks"]["malformed"] != count:
            told = entry.value["remarks"]["malformed"]
            inquiry.broken("uncounted", f"{count} entries are malformed, and {told} are told", entry)
        lines = [line for log in history.observations("log") for line in log.value["lines"]]
        if logged and not any(task in line for task in logged for line in lines):
            inquiry.broken("unlogged", "nothing is logged of entries that are malformed", entry)
        inquiry.seen()
        return inquiry.finding("what is malformed is counted")

    return Check("malformed-told", examine)


def pages_whole(expected: Collection[str]) -> Check:
    """The pages together have each of these tasks once, and no other.

    Violations: `refused`, `missed`, `repeated`, `uncalled-for`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("pages-whole")
        pages = history.observations("lines")
        if len(pages) < 2:
            inquiry.lacking("more than one page")
        for page in pages:
            if page.value["status"] != _OK:
                inquiry.broken("refused", f"a page is answered with {page.value['status']}", page)
        told = Counter(line["task_id"] for page in pages for line in page.value["lines"])
        inquiry.seen(len(told))
        for kind, tasks in (
            ("missed", set(expected) - told.keys()),
            ("repeated", {task for task, times in told.items() if times > 1}),
            ("uncalled-for", told.keys() - set(expected)),
        ):
            if tasks:
                inquiry.broken(kind, f"{kind}: {', '.join(sorted(tasks))}", *pages)
        return inquiry.finding("each task is on one page")

    return Check("pages-whole", examine)


def gathered_once(*, ttl_s: float, gathers_in_s: float) -> Check:
    """However many ask, there is one gathering in `ttl_s`, and each answer tells how old it is.

    Whoever asks while the next one is made, which takes `gathers_in_s` at most, may be given the last one. Evidence
    are the metrics scraped before and after. Violations: `gathered-again`, `age-untold`, `too-old`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("gathered-once")
        scrapes = history.observations("sitrep metrics")
        answers = history.observations("sitrep")
        if len(scrapes) < 2 or len(answers) < 2:
            inquiry.lacking("metrics before and after, and answers between them")
            return inquiry.finding("")
        first, last = scrapes[0], scrapes[-1]
        gathered = last.value["told"]["workers_asked"] - first.value["told"]["workers_asked"]
        allowed = 1 + (last.at - first.at) / ttl_s
        if gathered > allowed:
            inquiry.broken("gathered-again", f"{gathered:g} gatherings for {len(answers)} answers", last)
        ages: dict[str, list[tuple[float, Entry]]] = {}
        for entry in answers:
            age, at = entry.value["remarks"]["age_seconds"], entry.value["remarks"]["gathered_at"]
            if age is None or at is None:
                inquiry.broken("age-untold", "an answer does not tell how old it is", entry)
                continue
            if age > ttl_s + gathers_in_s:
                inquiry.broken("too-old", f"an answer is {age:.2f} s old, of {ttl_s + gathers_in_s:g} s", entry)
            ages.setdefault(at, []).append((age, entry))
        for same in ages.values():
            if len(same) > 1 and len({age for age, _ in same}) == 1:
                inquiry.broken("age-untold", f"{len(same)} answers of one gathering tell one age", same[-1][1])
        inquiry.seen(len(answers))
        return inquiry.finding("one gathering answered all")

    return Check("gathered-once", examine)


def view_measured(*, failed: str) -> Check:
    """The view counts its answers, how long each source took, and how often the one that was away has failed.

    Violations: `uncounted`, `failure-uncounted`, `failure-invented`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("view-measured")
        scrapes = history.observations("sitrep metrics")
        answers = history.observations("sitrep")
        if not scrapes or not answers:
            inquiry.lacking("metrics of the view, and answers")
            return inquiry.finding("")
        told, last = scrapes[-1].value["told"], scrapes[-1]
        for name, least in (("answers", len(answers)), ("answer_seconds", 0), ("workers_asked", 1)):
            if told[name] is None or told[name] < least:
                inquiry.broken("uncounted", f"{name} is told as {told[name]}, after {len(answers)} answers", last)
        if not told["workers_seconds"]:
            inquiry.broken("uncounted", "the time that workers took is not told", last)
        for source in ("workers", "registry", "results"):
            count = told[f"{source}_failures"]
            away = source == failed
            if away and not count:
                inquiry.broken("failure-uncounted", f"{source} was away, and its failures are {count}", last)
            if not away and count:
                inquiry.broken("failure-invented", f"{source} was not away, and its failures are {count}", last)
        inquiry.seen()
        return inquiry.finding("it measures itself")

    return Check("view-measured", examine)


def _chosen(inquiry: Inquiry, history: History, number: int) -> Entry | None:
    """One of the sitreps; None, noted, where there is none, or it was refused."""
    answers = history.observations("sitrep")
    if not -len(answers) <= number < len(answers):
        inquiry.lacking("an answer of the operations view")
        return None
    entry = answers[number]
    if entry.value["status"] != _OK:
        inquiry.broken("refused", f"the view is answered with {entry.value['status']}", entry)
        return None
    return entry


def _is(told: Any, expected: Any) -> bool:
    if expected is ...:
        return told is not None
    if isinstance(expected, datetime):
        return isinstance(told, str) and abs(datetime.fromisoformat(told) - expected).total_seconds() < 1e-3
    return bool(told == expected)
