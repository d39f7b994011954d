"""A scenario's history as a picture: what to draw where, in seconds, without saying how.

Processes are lanes, executions are bars in them, faults are bands across all lanes. Below, each task has two strips:
what was true of it, by the journal, and what the subject said of it, as far as it was looked at. Where both contradict
each other, that part of what was said is `untrue` (an end, while it was executed) or `late` (STARTED, while nothing
was): whether this is more than a promise allows is for checks to say. Does no I/O.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from harness._executions import executions as true_executions
from harness._history import TERMINAL, Entry, History, Kind

TASKS_SHOWN = 12
BARS_SHOWN = 200
_FINAL = frozenset({"kill", "shut down", "exhaust memory"})
"""Faults that end a process; they are a moment, and nothing heals them."""


@dataclass(frozen=True)
class Bar:
    """Something that lasted, or a moment where `start` is `end`; `kind` says what it is, `note` all about it."""

    kind: str
    start: float
    end: float
    label: str
    note: str


@dataclass(frozen=True)
class Lane:
    """One line of the picture; bars of one row do not overlap."""

    name: str
    kind: str
    rows: Sequence[Sequence[Bar]]


@dataclass(frozen=True)
class Timeline:
    """All times are seconds from the first entry.

    The faults of one row do not overlap, and their labels are their numbers; the label of a violation is the name of a
    lane.
    """

    seconds: float
    ticks: Sequence[float]
    lanes: Sequence[Lane]
    faults: Sequence[Sequence[Bar]]
    violations: Sequence[Bar]
    left_out: Sequence[str]


@dataclass
class _Life:
    """One process of the subject, from its start to its death."""

    name: str
    start: float
    ready: float | None = None
    pid: int | None = None
    end: float | None = None
    bars: list[Bar] = field(default_factory=list)


@dataclass(frozen=True)
class _Execution:
    task: str
    life: str
    start: float
    end: float
    how: str


def draw(entries: Sequence[Entry], violations: Mapping[int, str] | None = None) -> Timeline:
    """The picture of a history; `violations` are messages by the index of an entry that shows them."""
    return _Drawing(entries, violations or {}).timeline()


class _Drawing:
    def __init__(self, entries: Sequence[Entry], violations: Mapping[int, str]) -> None:
        self._entries = sorted(entries, key=lambda entry: entry.at)
        self._violations = violations
        self._start = self._entries[0].at if self._entries else 0.0
        judged = [entry.at for entry in self._of(Kind.OBSERVATION, "machine")]  # what follows is the tear-down
        over = max(judged or (entry.at for entry in self._entries), default=self._start)
        self._seconds = over - self._start or 0.001
        self._names = {
            entry.task: str(entry.value["task"])
            for entry in self._of(Kind.OPERATION, "publish")
            if entry.task and "task" in entry.value
        }
        self._left_out: list[str] = []

    def timeline(self) -> Timeline:
        lives = self._lives()
        executions = self._executions(lives)
        shown, more = self._shown_tasks()
        lanes = [*self._asking(), *self._processes(lives, executions)]
        lanes += [self._task(task, executions) for task in shown]
        if more:
            self._left_out.append(f"{more} more tasks")
        return Timeline(self._seconds, _ticks(self._seconds), lanes, self._faults(), self._broken(), self._left_out)

    def _of(self, kind: Kind, f: str | None = None, type: str | None = None) -> list[Entry]:  # noqa: A002
        return [
            entry
            for entry in self._entries
            if entry.kind is kind and f in {None, entry.f} and type in {None, entry.type}
        ]

    def _at(self, entry: Entry) -> float:
        return entry.at - self._start

    # -- processes ---------------------------------------------------------------------------------------------

    def _lives(self) -> dict[str, _Life]:
        lives: dict[str, _Life] = {}
        starts = self._of(Kind.OPERATION, "start worker", "invoke")
        for entry in self._of(Kind.TRUTH, "worker ready"):
            begun = [start.at for start in starts if start.process == entry.process and start.at <= entry.at]
            name = str(entry.value["life"])
            start = max(begun, default=entry.at) - self._start
            lives[name] = _Life(name, start, self._at(entry), entry.value["pid"])
        answers = {entry.process: self._at(entry) for entry in self._of(Kind.OPERATION, "start api", "ok")}
        for entry in self._of(Kind.OPERATION, "start api", "invoke"):
            lives[entry.process] = _Life(entry.process, self._at(entry), answers.get(entry.process))
        for entry in self._of(Kind.FAULT, type="landed"):
            life = lives.get(str(entry.value.get("target")))
            killed = entry.value.get("evidence", {}).get("killed", [])
            if entry.f in _FINAL and life is not None and (life.pid is None or life.pid in killed):
                life.end = entry.value["evidence"].get("died_at", entry.at) - self._start
        return lives

    def _executions(self, lives: dict[str, _Life]) -> list[_Execution]:
        # The moment of a death is drawn where it was seen; that of the fault, from which checks count, is before it.
        seen = {
            (entry.value["target"], pid): self._at(entry)
            for entry in self._of(Kind.FAULT, type="landed")
            for pid in entry.value.get("evidence", {}).get("killed", [])
        }
        executions = []
        for run in true_executions(History(entries=list(self._entries))):
            name = str(run.start.value["life"])
            life = lives.setdefault(name, _Life(name, self._at(run.start)))
            if run.end is not None:
                how = "returned" if run.returned else f"raised {run.end.value.get('raised')}"
                until = self._at(run.end)
            elif run.dead or life.end is not None:
                how, until = "died", seen[name, run.pid] if run.dead else life.end or self._seconds
            else:
                how, until = "was not seen to end", self._seconds
            executions.append(_Execution(run.task, name, self._at(run.start), until, how))
        return executions

    def _processes(self, lives: Mapping[str, _Life], executions: Sequence[_Execution]) -> list[Lane]:
        lanes = []
        for life in sorted(lives.values(), key=lambda life: life.start):
            up = life.ready if life.ready is not None else life.start
            over = life.end if life.end is not None else self._seconds
            rows = [[Bar("starting", life.start, up, "", f"{life.name} starts"), Bar("up", up, over, "", life.name)]]
            mine = [execution for execution in executions if execution.life == life.name]
            bars = [
                Bar(_kind_of(execution.how), execution.start, execution.end, self._named(execution.task), said)
                for execution in mine
                for said in [
                    f"{self._named(execution.task)} {execution.how} after {execution.end - execution.start:.2f} s"
                ]
            ]
            lanes.append(Lane(life.name, "process", [*rows, *self._stacked(bars, life.name)]))
        return lanes

    def _asking(self) -> list[Lane]:
        """What was asked by client and commands."""
        bars = []
        begun: dict[tuple[str, str | None], list[Entry]] = {}
        for entry in self._of(Kind.OPERATION):
            if entry.f.startswith("start "):
                continue
            key = (entry.f, entry.task)
            if entry.type == "invoke":
                begun.setdefault(key, []).append(entry)
            elif begun.get(key):
                invoked = begun[key].pop(0)
                about = f" {self._named(entry.task)}" if entry.task else ""
                bars.append(
                    Bar(
                        f"asked {entry.type}",
                        self._at(invoked),
                        self._at(entry),
                        entry.f,
                        f"{entry.f}{about}: {entry.type}",
                    )
                )
        return [Lane("client and commands", "process", self._stacked(bars, "client and commands"))] if bars else []

    def _stacked(self, bars: Iterable[Bar], lane: str) -> list[list[Bar]]:
        """Bars that overlap lie in rows of their own."""
        ordered = sorted(bars, key=lambda bar: bar.start)
        if len(ordered) > BARS_SHOWN:
            self._left_out.append(f"{len(ordered) - BARS_SHOWN} more of {lane}")
        rows: list[list[Bar]] = []
        for bar in ordered[:BARS_SHOWN]:
            free = next((row for row in rows if row[-1].end <= bar.start), None)
            if free is None:
                rows.append([bar])
            else:
                free.append(bar)
        return rows

    # -- tasks -------------------------------------------------------------------------------------------------

    def _shown_tasks(self) -> tuple[list[str], int]:
        """Those that a violation is about first; in the order of their appearance."""
        seen = list(dict.fromkeys(entry.task for entry in self._entries if entry.task))
        accused = {entry.task for entry in self._entries if entry.index in self._violations and entry.task}
        chosen = set(sorted(seen, key=lambda task: task not in accused)[:TASKS_SHOWN])
        return [task for task in seen if task in chosen], len(seen) - len(chosen)

    def _task(self, task: str, executions: Sequence[_Execution]) -> Lane:
        mine = [execution for execution in executions if execution.task == task]
        published = [entry for entry in self._of(Kind.OPERATION, "publish", "ok") if entry.task == task]
        first = min((execution.start for execution in mine), default=self._seconds)
        was = [Bar("waiting", self._at(entry), first, "", "published, not yet executed") for entry in published[:1]]
        was += [
            Bar(
                _kind_of(execution.how),
                execution.start,
                execution.end,
                execution.life,
                f"executed by {execution.life}; {execution.how}",
            )
            for execution in sorted(mine, key=lambda execution: execution.start)
        ]
        return Lane(self._named(task), "task", [was[:BARS_SHOWN], self._said(task, mine)])

    def _said(self, task: str, executions: Sequence[_Execution]) -> list[Bar]:
        bars: list[Bar] = []
        status: str | None = None
        start = last = 0.0
        for entry in self._of(Kind.OBSERVATION):
            if entry.task != task or entry.f not in {"record", "unchanged"}:
                continue
            told = status if entry.f == "unchanged" else str(entry.value.get("status", "no record"))
            if told != status and status is not None:
                bars += self._held_against(status, start, last, executions)
            if told != status:
                status, start = told, self._at(entry)
            last = self._at(entry)
        if status is not None:
            bars += self._held_against(status, start, last, executions)
        return bars[:BARS_SHOWN]

    def _held_against(self, status: str, start: float, end: float, executions: Sequence[_Execution]) -> list[Bar]:
        """What was said in a span, cut where the truth changed."""
        inner = (moment for each in executions for moment in (each.start, each.end) if start < moment < end)
        cuts = [start, *sorted(set(inner)), end]
        bars = []
        for left, right in itertools.pairwise(cuts):
            middle = (left + right) / 2
            running = any(each.start <= middle <= each.end for each in executions)
            kind, note = f"said {status.lower().replace(' ', '-')}", f"said {status}"
            if status in TERMINAL and running:
                kind, note = "said untrue", f"said {status} while it was executed"
            elif status == "STARTED" and not running:
                kind, note = "said late", "said STARTED while nothing executed it"
            bars.append(Bar(kind, left, right, status, note))
        return bars

    # -- faults and violations ---------------------------------------------------------------------------------

    def _faults(self) -> list[list[Bar]]:
        injected = {entry.value["number"]: entry for entry in self._of(Kind.FAULT, type="inject")}
        landed = {entry.value["number"]: entry for entry in self._of(Kind.FAULT, type="landed")}
        healed = {entry.value.get("number"): self._at(entry) for entry in self._of(Kind.FAULT, type="heal")}
        bars = []
        for number, entry in injected.items():
            start = self._at(entry)
            end = start if entry.f in _FINAL else min(healed.get(number, self._seconds), self._seconds)
            evidence = dict(landed[number].value["evidence"]) if number in landed else {}
            told = ", ".join(f"{name} {value}" for name, value in evidence.items()) or "nothing shows that it landed"
            bars.append(Bar("fault", start, end, str(number + 1), f"{entry.f}: {entry.value['target']} ({told})"))
        return self._stacked(bars, "faults")

    def _broken(self) -> list[Bar]:
        return [
            Bar("violation", self._at(entry), self._at(entry), self._named(entry.task), self._violations[entry.index])
            for entry in self._entries
            if entry.index in self._violations
        ]

    def _named(self, task: str | None) -> str:
        return f"{self._names.get(task or '', 'task')} {str(task)[:8]}"


def _kind_of(how: str) -> str:
    return f"executed {how.partition(' ')[0]}"


def _ticks(seconds: float) -> list[float]:
    """Round numbers, about ten of them at most."""
    steps = (factor * 10.0**power for power in range(-4, 6) for factor in (1, 2, 5))
    step = next(step for step in steps if seconds / step <= 10)
    return [round(step * number, 4) for number in range(int(seconds / step) + 1)]
