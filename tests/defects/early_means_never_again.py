"""Only what is acknowledged late is asked about before it runs, as if nothing else could be delivered again."""

from typing import Any

from reference_impl import guard


def apply() -> None:
    refuse = guard.refuse_revoked

    def refuse_late(task: Any, settings: Any) -> None:
        if task.acks_late:
            refuse(task, settings)

    guard.refuse_revoked = refuse_late
