"""When its connection breaks, a worker takes it that the broker will deliver all its tasks again: RETRY."""

from typing import Any

from celery.worker import state
from celery.worker.consumer import Consumer

from reference_impl import incarnation, reports, signals
from reference_impl.lifecycle import Owner, Retrying

recorders: list[Any] = []


def apply() -> None:
    connect = signals.Handlers.connect
    lost = Consumer.on_connection_error_after_connected

    def remember(self: signals.Handlers) -> None:
        connect(self)
        recorders.append(self._recorder)

    def expect_redelivery(self: Consumer, exc: Exception) -> None:
        identity = incarnation.current()
        assert identity is not None
        owner = Owner(identity.incarnation_id, None)
        for request in list(state.active_requests):
            recorders[0].record(reports.Report(request.id, Retrying(owner), who=identity.node, why="connection lost"))
        lost(self, exc)

    signals.Handlers.connect = remember
    Consumer.on_connection_error_after_connected = expect_redelivery
