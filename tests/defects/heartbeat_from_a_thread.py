"""The lease and the heartbeat are renewed by a thread of the executing process, which the GIL starves."""

import os
import subprocess
import sys
import threading
import time
from typing import Any

import psycopg

from reference_impl import incarnation, keeper, signals, worker


def beat(charge: keeper.Charge) -> None:
    with psycopg.connect(charge.database_url, autocommit=True) as connection:
        while True:
            connection.execute(keeper.RENEW, {**vars(charge), "executing": [os.getpid()]})
            time.sleep(charge.interval_s)


def no_keeper(*_: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])


def apply() -> None:
    worker.start_keeper = no_keeper
    started = signals.Handlers._started

    def started_with_thread(self: Any, *args: Any, **kwargs: Any) -> None:
        started(self, *args, **kwargs)
        identity = incarnation.current()
        if identity is None:
            return
        url = self._settings.sqlalchemy_url.replace("+psycopg", "")
        interval, lease = self._settings.heartbeat_interval_s, self._settings.lease_s
        charge = keeper.Charge(url, str(identity.incarnation_id), identity.node, identity.pid, 0.0, interval, lease)
        threading.Thread(target=beat, args=(charge,), daemon=True).start()

    signals.Handlers._started = started_with_thread
