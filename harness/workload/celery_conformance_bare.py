"""A Celery application with nothing but Celery: the subject `bare-celery`."""

from celery import Celery

app = Celery("bare")
app.conf.update(
    task_track_started=True, result_extended=True, accept_content=["json"], broker_connection_retry_on_startup=True
)
