"""The worker is named as its command line was, before Celery completed the name."""

import sys
from typing import Any

from reference_impl import signals


def apply() -> None:
    worker_id = signals.Handlers._worker_id

    def asked_for(self: Any, request: Any) -> str | None:
        return sys.argv[sys.argv.index("-n") + 1] if "-n" in sys.argv else worker_id(self, request)

    signals.Handlers._worker_id = asked_for
