"""What goes wrong with tracking itself: told, and nobody else's trouble."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from reference_impl.mishaps import guarded


@pytest.mark.parametrize(
    "signal",
    [
        {"task_id": "t"},
        {"request": SimpleNamespace(id="t")},
        {"headers": {"id": "t"}, "sender": "shop.pay"},
        {"sender": SimpleNamespace(request=SimpleNamespace(id="t"))},
    ],
)
def test_a_handler_that_raises_names_its_task(signal: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """Wherever a signal carries the task's id, one ERROR line has it, and nothing is raised."""

    @guarded("success")
    def handler(**_: object) -> None:
        raise ValueError("no such luck")

    handler(**signal)

    (line,) = [entry.getMessage() for entry in caplog.records]
    assert line == "tracking: success of task t failed: ValueError: no such luck"
