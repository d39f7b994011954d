"""Checks on the way that records go: which transitions are taken, refused, told, and in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from harness._executions import executions
from harness._history import TERMINAL, Entry, History, Kind
from harness._verdict import Check, Finding, Inquiry


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


def ended_once(tasks: Sequence[str]) -> Check:
    """Each task came to one end, whoever reports how many: one terminal transition, one status, one completion time.

    What came after the end may stand in the trail, refused. Violations: `ended-twice`, `completion-moved`,
    `not-ended`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("ended-once")
        for task in tasks:
            seen, trails = history.observations("record", task), history.observations("audit", task)
            if not seen or not trails:
                inquiry.lacking(f"the record and the trail of {task}")
                continue
            taken = [step for step in trails[-1].value["trail"] if not step["refused"]]
            ends = [step for step in taken if step["to_status"] in TERMINAL]
            ended = [entry for entry in seen if entry.value.get("status") in TERMINAL]
            moments = {entry.value.get("completed_at") for entry in ended}
            statuses = {entry.value["status"] for entry in ended}
            if not ends or not ended:
                inquiry.broken("not-ended", f"{task} stands at {seen[-1].value.get('status')}", seen[-1], trails[-1])
            elif len(ends) > 1 or len(statuses) > 1 or taken[-1] is not ends[0]:
                told = [f"{step['to_status']} by {step['who']}" for step in taken[taken.index(ends[0]) :]]
                inquiry.broken("ended-twice", f"{task} ended as {', then '.join(told)}", trails[-1])
            elif len(moments) > 1:
                inquiry.broken("completion-moved", f"{task} was completed at {sorted(map(str, moments))}", *ended)
            else:
                inquiry.seen()
        return inquiry.finding("each task came to one end")

    return Check("ended-once", examine)


def zombie_fenced(task: str, late: str) -> Check:
    """A task was swept while its worker stood still, and what the worker said when it woke was refused and noted.

    Violations: `not-swept` (the record was not REVOKED when the worker woke), `overwritten`, `unnoted`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("zombie-fenced")
        woke = [entry for entry in history.faults("heal") if entry.f == "freeze"]
        returned = history.truth("end", task)
        trails = history.observations("audit", task)
        if not woke or not returned or returned[0].at < woke[0].at or not trails:
            inquiry.lacking(f"a worker that woke, the end of {task} after that, and its trail")
            return inquiry.finding("")
        records = history.observations("record", task)
        asleep = [entry for entry in records if entry.at < woke[0].at]
        if not asleep or asleep[-1].value.get("status") != "REVOKED":
            status = asleep[-1].value.get("status") if asleep else "nothing"
            inquiry.broken("not-swept", f"{task} was {status} when its worker woke", *asleep[-1:], woke[0])
            return inquiry.finding("")
        inquiry.seen()
        if records[-1].value.get("status") != "REVOKED":
            message = f"{task} was swept, and its record says {records[-1].value.get('status')} since its worker woke"
            inquiry.broken("overwritten", message, asleep[-1], records[-1])
        elif not any(step["refused"] and step["to_status"] == late for step in trails[-1].value["trail"]):
            message = f"{task} returned after it was swept, and its trail does not note a late {late}"
            inquiry.broken("unnoted", message, returned[0], trails[-1])
        return inquiry.finding("the sweep's end stands, and the late one is noted")

    return Check("zombie-fenced", examine)


def duplicate_reported(task: str, *words: str, log: str) -> Check:
    """A second execution began while the first one lived: the trail and the log say so, with all the words.

    Violations: `duplicate-unreported`, `cause-unnamed`.
    """

    def examine(history: History) -> Finding:
        inquiry = Inquiry("duplicate-reported")
        runs = executions(history, task)
        twice = len(runs) > 1 and runs[0].lives_at(runs[1].start.at)
        trails = history.observations("audit", task)
        logs = [entry for entry in history.observations("log") if entry.value["log"] == log]
        if not twice or not trails or not logs:
            inquiry.lacking(f"two executions of {task} at once, its trail, and the log of {log}")
            return inquiry.finding("")
        inquiry.seen()
        starts = [step["why"] for step in trails[-1].value["trail"] if step["to_status"] == "STARTED"][1:]
        lines = [line for line in logs[-1].value["lines"] if task in line and "WARNING" in line]
        for where, said in (("trail", starts), ("log", lines)):
            told = [text for text in said if "duplicate" in text]
            if not told:
                message = f"{task} is executed twice at once, and the {where} says nothing of a duplicate: {said}"
                inquiry.broken("duplicate-unreported", message, runs[1].start)
            elif not any(all(word in text for word in words) for text in told):
                message = f"the {where} tells of a duplicate of {task} and does not name {', '.join(words)}: {told}"
                inquiry.broken("cause-unnamed", message, runs[1].start)
        return inquiry.finding("the duplicate was reported, with its cause")

    return Check("duplicate-reported", examine)


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


def went_through(task: str, *statuses: str) -> Check:
    """The trail tells exactly these statuses, in this order. Violation: `another-way`."""

    def examine(history: History) -> Finding:
        inquiry = Inquiry("went-through")
        seen = history.observations("audit", task)
        if not seen:
            inquiry.lacking(f"the trail of {task}")
            return inquiry.finding("")
        inquiry.seen()
        way = [step["to_status"] for step in seen[-1].value["trail"] if not step["refused"]]
        if way != list(statuses):
            message = f"{task} went by way of {', '.join(way)}; it had to go by way of {', '.join(statuses)}"
            inquiry.broken("another-way", message, seen[-1])
        return inquiry.finding(f"went by way of {', '.join(statuses)}")

    return Check("went-through", examine)


@dataclass
class _Life:
    """What signals make of one task's record, by the promise alone; who owns it is a worker and its attempt."""

    standing: str | None = None
    owner: tuple[str, str] | None = None
    begun: set[tuple[str, str]] = field(default_factory=set)
    starts: int = 0
    announced: bool = False

    def must(self, wanted: str, speaker: tuple[str, str]) -> str:
        """What has to become of a signal: `taken`, `refused`, `either` of them, or `silent` where it may go untold.

        A first publication that comes after the end is `completing`: it moves nothing, and may go untold or be refused.
        """
        if self.standing in TERMINAL:
            first = wanted == "PENDING" and not self.announced
            return "completing" if first else "refused"
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
    for place, (worker, element) in enumerate(signals):
        name, _, attempt = element.partition(":")
        wanted, speaker = ANNOUNCED[name], (worker, attempt)
        must = life.must(wanted, speaker)
        life.announced |= wanted == "PENDING"
        told = left[0] if left and left[0]["to_status"] == wanted else None
        if must == "silent" and (told is None or not told["refused"]):
            continue
        if must == "completing" and not _surplus(left, signals[place + 1 :]):
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


def _surplus(left: Sequence[Mapping[str, Any]], to_come: Sequence[tuple[str, str]]) -> bool:
    """Whether the trail tells of one refused publication more than are still to come: those after an end all are."""
    refused = [step for step in left if step["refused"] and step["to_status"] == "PENDING"]
    return len(refused) > [name for _, name in to_come].count("published")


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
