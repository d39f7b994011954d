"""A frame counts, whichever task it is about."""

from typing import Any

from reference_impl.analysis.frames import Frames


def apply() -> None:
    take = Frames._take

    def any_task(self: Frames, frame: Any) -> str:
        return take(self, frame if frame is None else frame | {"task_id": self._task_id})

    Frames._take = any_task  # type: ignore[method-assign]
