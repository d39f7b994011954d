"""The task that makes an analysis, in whichever worker takes it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from celery import Celery, Task

from reference_impl.analysis.document import gather
from reference_impl.analysis.engine import TASK, AnalysisRequest
from reference_impl.analysis.orchestrator import ask_services
from reference_impl.analysis.persistence import persist
from reference_impl.connections import open_engine
from reference_impl.settings import Settings


def add_analysis(app: Celery, settings: Settings) -> None:
    """Give the application the task `celery_tracker.analyse`, where there are services to ask."""
    if settings.analysis_services:
        app.task(name=TASK, bind=True)(_task(settings))


def _task(settings: Settings) -> Callable[..., dict[str, Any]]:
    def run(self: Task, request: dict[str, Any]) -> dict[str, Any]:
        """Ask the services; returns the document where it is not kept elsewhere, and its figures where it is."""
        asked = AnalysisRequest.model_validate(request)
        task_id: str = self.request.id
        services = {name: settings.analysis_services[name] for name in asked.services or settings.analysis_services}
        told = asked.model_dump(mode="json", include={"target", "analysis_type", "app_number"})
        choices = ask_services(services, {**told, "task_id": task_id}, settings.analysis_deadline_s)
        document = gather(choices, task_id=task_id, **told, timestamp=datetime.now(UTC), metadata=asked.metadata)
        if not asked.persist:
            return document.model_dump(mode="json")
        engine = open_engine(settings)
        try:
            return persist(engine, settings, document).summary.model_dump(mode="json")
        finally:
            engine.dispose()

    return run
