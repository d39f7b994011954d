"""Its Celery application, configured as most are."""

from celery import Celery

from scenarios import discount

app = Celery("shop", broker="redis://redis.shop.example:6379/0", backend="redis://redis.shop.example:6379/1")
app.conf.update(task_track_started=True, result_extended=True)


@app.task
def price(net: float) -> float:
    """What a customer pays."""
    return round(net * (1 - discount("autumn")), 2)
