"""Agents: named workers within tasks, whose runs four places tell of, and leave together.

While `agent_run` lasts, the task's record and the agent's row name each other, Redis has the run's progress, and the
process has its memory. When it ends, however it ends, each of them is let go by itself: one that cannot be reached is
left to the record's own end and to the next sweep, and does not keep the others.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from celery import Celery, Task, current_task
from celery.exceptions import TaskPredicate

from reference_impl import incarnation
from reference_impl.agent_progress import AgentProgress, open_progress
from reference_impl.agent_rows import AgentWord, Step
from reference_impl.lifecycle import Owner, Progressed
from reference_impl.masking import masked
from reference_impl.progress import never_back, shown
from reference_impl.recorder import Recorder
from reference_impl.reports import Report
from reference_impl.settings import Settings
from reference_impl.storable import readable

logger = logging.getLogger(__name__)

NAME_CHARS_MAX = 255
PHASE_CHARS_MAX = 500

_QUIET_S = 1.0
"""For so long nothing is told to a Redis that has just failed."""

_memories: dict[str, dict[str, Any]] = {}


@contextmanager
def agent_run(name: str) -> Iterator[Run]:
    """From within a task: run the agent of this name, until the block is left.

    A run that begins while another one of the same agent lasts takes the agent from it: the older one's end does not
    make the agent idle. Raises ValueError for a name that is empty, longer than 255 characters, not printable or with
    a slash, and RuntimeError outside a task, within another run of it, or in an application without the tracker.
    """
    if not name or len(name) > NAME_CHARS_MAX or not name.isprintable() or "/" in name:
        raise ValueError(f"an agent's name has 1 to {NAME_CHARS_MAX} printable characters and no /, got {name!r}")
    if not current_task:
        raise RuntimeError("agent_run() runs an agent in the task that is being executed, and there is none")
    agents = agents_of(current_task.app)
    if agents is None:
        raise RuntimeError("agent_run() needs the tracker: call install(app) where the application is made")
    task = current_task._get_current_object()  # noqa: SLF001 - the task itself: other threads of it have no current one
    if getattr(task.request, "tracking_run", None) is not None:
        raise RuntimeError(f"a task runs one agent at a time, and this one runs {task.request.tracking_run.name!r}")
    run = Run(name, task, agents)
    error: BaseException | None = None
    try:
        run.begin()
        yield run
    except BaseException as raised:
        error = raised
        raise
    finally:
        run.end(error)


def agent_memory(name: str) -> dict[str, Any]:
    """What the agent of this name remembers in this process; nothing while it is idle here."""
    return _memories.get(name, {})


def agents_of(app: Celery | None) -> Agents | None:
    """What the runs of this application share; None where no tracker is installed."""
    return getattr(app, "tracking_agents", None)


def progress_of(app: Celery | None) -> AgentProgress | None:
    """Where the agents of this application keep their progress, if anywhere."""
    agents = agents_of(app)
    return agents.progress if agents is not None else None


class Run:
    """One run of an agent; `memory` is the agent's own, and is empty again when the run is over."""

    def __init__(self, name: str, task: Task, agents: Agents) -> None:
        self.name = name
        self.memory: dict[str, Any] = {}
        self._task, self._request, self._task_id = task, task.request, task.request.id
        self._attempt_id: UUID | None = getattr(task.request, "tracking_attempt", None)
        self._agents = agents
        self._began: float | None = None
        self._told: dict[str, Any] = {"current": 0}

    def phase(self, message: str) -> None:
        """Say what the agent is about to do, in up to 500 characters; a sign of life."""
        self._say(Step.CONTINUES, phase=readable(message, limit=PHASE_CHARS_MAX))

    def progress(self, current: float, total: float | None = None, message: str | None = None) -> None:
        """Say how much of how much is done, in the shape of a task's own progress, never going back; a sign of life."""
        form, _ = shown({"current": current, "total": total, "message": message})
        self._told = never_back(form, self._told)
        self._show()
        told = {"state": "PROGRESS", "meta": self._told}
        self._agents.recorder.note(self._report("progress", progress=told))

    def begin(self) -> None:
        """Link task and agent, make its progress, and give it an empty memory."""
        self._request.tracking_run = self
        self._say(Step.BEGINS)
        self._show()
        _memories[self.name] = self.memory

    def end(self, error: BaseException | None) -> None:
        """Let each place go by itself, whatever interrupts that."""
        said = None
        if error is not None and not isinstance(error, TaskPredicate):  # Retry, Ignore and Reject are no errors
            said = masked(f"{type(error).__name__}: {readable(error)}", self._agents.settings.masked_names)
        self._request.tracking_run = None
        if _memories.get(self.name) is self.memory:
            del _memories[self.name]
        self.memory.clear()
        try:
            if not isinstance(error, SystemExit | KeyboardInterrupt):  # who ends the process tells why
                self._say(Step.ENDS, error=said)
        finally:
            self._agents.tell_progress(
                "is left to the next sweep",
                self,
                lambda store: store.drop(self._task_id, self._attempt_id),
                in_any_case=True,
            )

    def __str__(self) -> str:
        return f"agent {self.name} in task {self._task_id}"

    def _say(self, step: Step, **more: str | None) -> None:
        word = AgentWord(self.name, step, **more)
        self._agents.recorder.record(self._report(f"agent {self.name} {step}", agent=word))

    def _report(self, why: str, **said: Any) -> Report:
        owner = Owner(incarnation.current_id(), self._attempt_id)
        return Report(self._task_id, Progressed(owner), self._agents.who(), why, task_name=self._task.name, **said)

    def _show(self) -> None:
        def put(store: AgentProgress) -> None:
            self._began = self._began or store.now()
            store.put(self._task_id, self._attempt_id, incarnation.current_id(), self.name, self._began, self._told)

        self._agents.tell_progress("is not shown", self, put)


class Agents:
    """What the runs of one application's agents need, in each of its processes."""

    def __init__(self, app: Celery, settings: Settings, recorder: Recorder, who: Callable[[], str]) -> None:
        self.settings, self.recorder, self.who = settings, recorder, who
        self._app = app
        self._quiet_until = 0.0

    @functools.cached_property
    def progress(self) -> AgentProgress | None:
        """Where it is kept; None where the result backend is no Redis."""
        return open_progress(self._app, self.settings)

    def tell_progress(
        self, otherwise: str, run: Run, work: Callable[[AgentProgress], object], *, in_any_case: bool = False
    ) -> None:
        """Have the progress's store do it, unless it has just failed; what it misses, it hears with the next word."""
        if time.monotonic() < self._quiet_until and not in_any_case:
            return
        try:
            if self.progress is not None:
                work(self.progress)
        except Exception as error:  # noqa: BLE001 - a store that cannot even be opened must not fail the task
            self._quiet_until = time.monotonic() + _QUIET_S
            logger.warning("tracking: progress of %s %s: %s", run, otherwise, error)
