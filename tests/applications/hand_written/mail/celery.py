"""Its Celery application."""

from celery import Celery

app = Celery("mail", broker="redis://redis.mail.example:6379/0", backend="redis://redis.mail.example:6379/1")
app.conf.update(task_track_started=True, result_extended=True)


@app.task
def send(to: str) -> str:
    """Send a mail."""
    return f"sent to {to}"


from mail import registry  # noqa: E402, F401 - its signal handlers; it needs the application
