"""A Celery application with the tracker installed and no task of its own: the subject of the conformance run.

Broker and result backend come from `CELERY_BROKER_URL` and `CELERY_RESULT_BACKEND`, or a worker's `-b` and
`--result-backend`.
"""

from celery import Celery

from reference_impl.connections import open_sessions
from reference_impl.install import install

app = Celery("reference")
app.conf.update(
    task_track_started=True,
    accept_content=["json"],
    broker_connection_retry_on_startup=True,
)
sessions = open_sessions(install(app))
"""For queries of its tasks."""
