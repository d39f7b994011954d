"""A worker that loses its connection to the broker ends, in the hope of somebody who starts it again."""

from typing import Any

from celery import signals


def apply() -> None:
    signals.celeryd_init.connect(never_again, weak=False)


def never_again(conf: Any, **_: object) -> None:
    conf.broker_connection_retry = False
