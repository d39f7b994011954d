"""A task for the worker of the plain test; its whole source goes into the container."""

import time

from celery import shared_task


@shared_task(bind=True, acks_late=True)
def hold_until_redelivered(self) -> str:  # type: ignore[no-untyped-def] # noqa: ANN001 - no other import may be needed
    """Stay for ever, unless it was delivered before."""
    if self.request.delivery_info["redelivered"]:
        return "redelivered"
    time.sleep(3600)  # longer than any test: it is there to be killed
    return "released"
