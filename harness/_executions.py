"""What really ran, reconstructed from the truth journal and from the faults that landed. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness._history import Entry, History

_PREPARING_MAX_S = 5.0
"""A message may wait in its worker for long, for its time or for its turn; no tracker writes for that long."""


@dataclass(frozen=True)
class Execution:
    """One execution of one task; `end` is None while it runs, and for ever once `killed_at` is set.

    `start` is when the task's own code began. For at most `preparing_s` before, its process was about to begin it: a
    tracker writes down meanwhile that it starts.
    """

    task: str
    id: str
    pid: int
    node: str
    start: Entry
    end: Entry | None
    killed_at: float | None
    preparing_s: float = 0.0

    @property
    def dead(self) -> bool:
        """It was killed before it could end."""
        return self.end is None and self.killed_at is not None

    @property
    def returned(self) -> bool:
        """It ran to its return."""
        return self.end is not None and bool(self.end.value.get("returned"))

    def lives_at(self, moment: float) -> bool:
        """Whether it was executing at a moment of the monotonic clock."""
        over = self.end.at if self.end else self.killed_at
        return self.start.at <= moment and (over is None or moment < over)


def killed_processes(history: History) -> dict[tuple[str, int], float]:
    """What a fault is proved to have killed, with the moment of its injection, or of the death that it led to.

    A process is known by the life that it belongs to and by the process id that it knows itself by: in containers,
    every worker is number 1.
    """
    injected = {entry.value["number"]: entry.at for entry in history.faults("inject")}
    return {
        (entry.value["target"], pid): evidence.get("died_at", injected[entry.value["number"]])
        for entry in history.faults("landed")
        for evidence in [entry.value.get("evidence", {})]
        for pid in evidence.get("killed", [])
    }


def executions(history: History, task: str | None = None) -> list[Execution]:
    """Every execution, in the order of their starts."""
    killed = killed_processes(history)
    ends = {entry.value["execution"]: entry for entry in history.truth("end")}
    receptions = history.truth("received", task)
    found = []
    for start in history.truth("start", task):
        assert start.task is not None
        identity, pid = start.value["execution"], start.value["pid"]
        end, killed_at = ends.get(identity), killed.get((start.value["life"], pid))
        if killed_at is not None and killed_at < start.at:
            killed_at = None  # another process of the same number, later
        preparing_s = _preparing_s(start, receptions, ends.values())
        found.append(Execution(start.task, identity, pid, start.process, start, end, killed_at, preparing_s))
    return sorted(found, key=lambda execution: execution.start.at)


def _preparing_s(start: Entry, receptions: Iterable[Entry], ends: Iterable[Entry]) -> float:
    """Since its worker had the message, and its process had ended what it executed before; 0 where nobody knows."""
    received = [
        entry.at
        for entry in receptions
        if entry.task == start.task and entry.process == start.process and entry.at <= start.at
    ]
    if not received:
        return 0.0
    place = start.value["life"], start.value["pid"]
    ended = [entry.at for entry in ends if (entry.value["life"], entry.value["pid"]) == place and entry.at <= start.at]
    return min(start.at - max([received[-1], *ended]), _PREPARING_MAX_S)


def sweeper_since(history: History, moment: float) -> float | None:
    """From when on, at or after `moment`, a worker that is not killed lived to sweep; None where none did."""
    killed = killed_processes(history)
    ready = []
    for entry in history.truth("worker ready"):
        process = entry.value["life"], entry.value["pid"]
        if process not in killed or killed[process] < entry.at:
            ready.append(entry.at)
    return max(moment, min(ready)) if ready else None
