"""What Prometheus is told by an API: the requests that it answered, who watches, and the open tasks."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reference_impl.changes import Changes
from reference_impl.metrics import RegistryFacts
from reference_impl.settings import Settings
from reference_impl.sitrep import SitrepMetrics


class ApiMetrics:
    """The metrics of one API, apart from those of a worker that may run in the same process."""

    def __init__(self, settings: Settings, changes: Changes) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "celery_tracker_api_requests",
            "Requests that were answered, by their path as the API describes it.",
            ["path", "status"],
            registry=self._registry,
        )
        watchers = Gauge("celery_tracker_api_watchers", "Sockets and waiting requests.", registry=self._registry)
        watchers.set_function(lambda: changes.watchers)
        hears = Gauge("celery_tracker_api_hears_changes", "1 while changes are heard of.", registry=self._registry)
        hears.set_function(lambda: changes.connected)
        self.sitrep = SitrepMetrics(self._registry)
        self._registry.register(RegistryFacts(settings))

    def text(self) -> bytes:
        """All of them, in Prometheus' text format."""
        return generate_latest(self._registry)


class Counted:
    """Counts what it answers; a path that the API does not have is counted as `other`, so that nobody adds series."""

    def __init__(self, app: ASGIApp, requests: Counter) -> None:
        self._app, self._requests = app, requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            self._requests.labels(getattr(scope.get("route"), "path", "other"), status).inc()
