"""A failed run sets a flag on the task object, by which its end is recorded; the object outlives the run."""

from typing import Any

from reference_impl import agents
from reference_impl.signals import Handlers


def apply() -> None:
    end = agents.Run.end
    succeeded = Handlers._succeeded

    def with_a_flag(run: agents.Run, error: BaseException | None) -> None:
        if error is not None:
            run._task.agent_failed = True
        end(run, error)

    def by_the_flag(self: Handlers, sender: Any, result: object, **more: Any) -> None:
        if getattr(sender, "agent_failed", False):
            failed = RuntimeError("the run of its agent failed")
            self._failed(task_id=sender.request.id, sender=sender, exception=failed)
        else:
            succeeded(self, sender=sender, result=result, **more)

    agents.Run.end = with_a_flag
    Handlers._succeeded = by_the_flag
