"""That a source did not answer is not counted."""

from typing import Any

from reference_impl.sitrep import SitrepMetrics


def apply() -> None:
    made = SitrepMetrics.__init__

    def init(self: SitrepMetrics, registry: Any) -> None:
        made(self, registry)
        self.failures.labels("registry").inc = lambda *_: None

    SitrepMetrics.__init__ = init  # type: ignore[method-assign]
