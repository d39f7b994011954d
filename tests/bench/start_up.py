"""One start-up: workers join others that hold tasks, while some of them are slow, silent or paused.

What happens is drawn beforehand, then played. Everybody keeps what the promise asks for: a worker renews its lease, or
answers through the broker. So a pause is shorter than a lease; whose lease runs out, as Postgres refuses it, has a
link to the broker that carries; and whose link does not, renews. One worker has one trouble at most.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from random import Random

from harness import Cluster, Fault, History, Mode, Task, Timing, Worker, freeze, sever

LINK_TROUBLES = (Mode.DELAY, Mode.SWALLOW, Mode.HOLD)
PAUSE = "pause"
NO_LEASE = "no lease"
_LONGEST_PAUSE = 0.8  # of a lease: what a busy machine adds must not make it a whole one


@dataclass(frozen=True)
class Trouble:
    """What befalls one worker; `delay_s` is that of each chunk of bytes."""

    worker: str
    kind: str
    at_s: float
    lasts_s: float
    delay_s: float = 0.0


@dataclass(frozen=True)
class Plan:
    """Who is there before, who starts when, and who has which trouble; seconds count from the first start."""

    veterans: tuple[str, ...]
    starts: tuple[tuple[str, float], ...]
    troubles: tuple[Trouble, ...]


def draw(chance: Random, timing: Timing) -> Plan:
    """One of all the ways in which workers start."""
    names = list("abcd")
    chance.shuffle(names)
    split = chance.choice([1, 2, 2])
    veterans, newcomers = names[:split], names[split : split + chance.randint(1, 2)]
    starts = [
        (name, 0.0 if number == 0 else chance.uniform(0, timing.lease_s)) for number, name in enumerate(newcomers)
    ]
    troubles = [_pause(chance, name, at_s, timing) for name, at_s in starts if chance.random() < 0.3]
    for name in veterans:
        # Only beside another veteran: somebody has to have been watching leases for long enough to believe them.
        no_lease = len(veterans) == 2 and name == veterans[0] and chance.random() < 0.5
        kind = NO_LEASE if no_lease else chance.choice([PAUSE, *LINK_TROUBLES, None])
        if kind == PAUSE:
            troubles.append(_pause(chance, name, 0.0, timing))
        elif kind is not None:
            at_s, lasts_s = chance.uniform(0, timing.lease_s), chance.uniform(1.2, 2.5) * timing.lease_s
            troubles.append(Trouble(name, kind, at_s, lasts_s, chance.uniform(0.05, 2 * timing.ping_timeout_s)))
    return Plan(tuple(veterans), tuple(starts), tuple(troubles))


def _pause(chance: Random, name: str, after_s: float, timing: Timing) -> Trouble:
    at_s = after_s + chance.uniform(0, timing.lease_s)
    return Trouble(name, PAUSE, at_s, chance.uniform(0.2, _LONGEST_PAUSE) * timing.lease_s)


def play(cluster: Cluster, plan: Plan, chance: Random) -> None:
    """Tasks are held throughout, and released at the end. Raises NeverCame or SetupBroken."""
    cluster.note("plan", **asdict(plan))
    workers, tasks = {}, []
    for name in plan.veterans:
        workers[name] = cluster.worker(name, concurrency=2, behind_proxy=True)
        tasks.append(cluster.hold(name))
    cluster.watch(tasks, cluster.timing.lease_s)  # until then, no lease counts as run out
    began = time.monotonic()
    faults: dict[Trouble, Fault] = {}
    for at_s, act in sorted(_acts(plan), key=lambda moment: moment[0]):
        cluster.watch(tasks, began + at_s - time.monotonic())
        if isinstance(act, str):
            workers[act] = cluster.worker(act, concurrency=2, behind_proxy=True, wait=False)
            tasks += [cluster.publish("hold", queue=queue) for queue in (act, chance.choice(plan.veterans))]
        elif act in faults:
            cluster.heal(faults[act])
        else:
            faults[act] = cluster.inject(_fault(act, workers[act.worker]), await_landing=False)
    for name, _ in plan.starts:
        cluster.await_worker(workers[name])
    cluster.watch(tasks, cluster.timing.recovery_bound_s)
    _let_go(cluster, tasks)


def longest_pause_s(history: History) -> float:
    """How long a worker really stood still, at most: on a busy machine, longer than it was meant to."""
    moments = [entry for entry in history if entry.f == "freeze" and entry.type in {"inject", "heal"}]
    began = {entry.value["number"]: entry.at for entry in moments if entry.type == "inject"}
    paused = [entry.at - began[entry.value["number"]] for entry in moments if entry.type == "heal"]
    return max(paused, default=0.0)


def _acts(plan: Plan) -> list[tuple[float, str | Trouble]]:
    acts: list[tuple[float, str | Trouble]] = [(at_s, name) for name, at_s in plan.starts]
    for trouble in plan.troubles:
        acts += [(trouble.at_s, trouble), (trouble.at_s + trouble.lasts_s, trouble)]
    return acts


def _fault(trouble: Trouble, worker: Worker) -> Fault:
    if trouble.kind == PAUSE:
        return freeze(worker.process)
    if trouble.kind == NO_LEASE:
        return sever(worker.postgres, Mode.REFUSE)
    return sever(worker.broker, Mode(trouble.kind), delay_s=trouble.delay_s)


def _let_go(cluster: Cluster, tasks: list[Task]) -> None:
    """A worker whose answers were swallowed may take nothing more: what has not begun by now need not end."""
    cluster.journal.catch_up()
    begun = [task for task in tasks if cluster.history.truth("start", task.id)]
    for task in begun:
        task.release()
    for task in begun:
        cluster.await_end(task)
