"""A task whose process died right after storing its result is revoked, although its caller has the result."""

from reference_impl import results


def apply() -> None:
    results.ResultBackend.end_of = lambda _self, _task_id, _since: None
