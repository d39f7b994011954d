"""The main process serves the counts that it made itself; those of its pool children are in no scrape."""

from prometheus_client import REGISTRY, CollectorRegistry

from reference_impl import metrics


def own_counts(registry: CollectorRegistry) -> None:
    registry.register(REGISTRY)


def apply() -> None:
    metrics.MultiProcessCollector = own_counts
