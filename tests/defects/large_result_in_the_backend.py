"""A large result goes into the result backend like any other, besides being kept by reference."""

from typing import Any

from reference_impl import backend


def apply() -> None:
    mark_as_done = backend._Keeping.mark_as_done

    def whole(self: Any, task_id: str, result: Any, request: Any = None, *rest: Any) -> None:
        done = self._done

        def with_the_result(task_id: str, _stored: Any, request: Any, state: str) -> None:
            done(task_id, result, request, state)

        self._done = with_the_result
        try:
            mark_as_done(self, task_id, result, request, *rest)
        finally:
            del self._done

    backend._Keeping.mark_as_done = whole
