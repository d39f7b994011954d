"""An eager task outside any worker is said to run on the host that Celery fills in, warning or not."""

from typing import Any

from reference_impl import signals


def apply() -> None:
    worker_id = signals.Handlers._worker_id

    def on_the_host(self: Any, request: Any) -> str:
        return worker_id(self, request) or str(request.hostname)

    signals.Handlers._worker_id = on_the_host
