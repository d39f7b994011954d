"""The worker is named after its host instead of its node."""

import socket

from reference_impl import signals


def apply() -> None:
    signals.Handlers._worker_id = lambda *_: socket.gethostname()
