"""The check that beat asks for, made by one node, however many there are, and however many beats.

Who takes it up claims it in the database; who comes before nine tenths of the interval are over has nothing to do.
Without an interval somebody asks by hand, and is always answered.
"""

from __future__ import annotations

import logging
from collections import Counter

from celery import Celery
from sqlalchemy import Engine, text

from reference_impl import metrics
from reference_impl.checkup import Checkup, look
from reference_impl.settings import Settings

logger = logging.getLogger(__name__)

_CLAIM = text("""
    INSERT INTO celery_state_check AS last (id, checked_at, checked_by) VALUES (1, clock_timestamp(), :by)
    ON CONFLICT (id) DO UPDATE SET checked_at = clock_timestamp(), checked_by = :by
    WHERE last.checked_at < clock_timestamp() - make_interval(secs => :interval_s * 0.9)
    RETURNING id
""")


def check_if_due(engine: Engine, app: Celery, settings: Settings, by: str) -> Checkup | None:
    """Check, and say in the log what is stale; None where another node has done so. Raises SQLAlchemy's errors."""
    if not claim(engine, settings, by):
        metrics.checked("skipped")
        return None
    seen = look(engine, app, settings)
    metrics.checked("done")
    for each in seen.stale:
        logger.warning("tracking: %s is stale (%s): %s", each.task_id, each.kind, each.why)
    for store, cause in seen.stores.items():
        if cause is not None:
            logger.warning("tracking: the check by %s cannot ask the %s: %s", by, store, cause)
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(Counter(each.kind for each in seen.stale).items()))
    logger.info("tracking: check by %s: %s", by, kinds or "all agree")
    return seen


def claim(engine: Engine, settings: Settings, by: str) -> bool:
    """Whether this node is the one to check now."""
    with engine.begin() as connection:
        return bool(connection.execute(_CLAIM, {"by": by, "interval_s": settings.check_interval_s or 0.0}).scalar())
