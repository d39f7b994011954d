"""Reports that a process left on disk when it ended, written by another one of its machine."""

from __future__ import annotations

import logging

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from reference_impl import metrics
from reference_impl.connections import brief, is_unreachable
from reference_impl.mishaps import tell_failure
from reference_impl.registry import Registry
from reference_impl.reports import Report
from reference_impl.settings import Settings
from reference_impl.spool import adopt

logger = logging.getLogger(__name__)


def write_what_was_left(engine: Engine, settings: Settings) -> None:
    """Write what processes of this machine have left on disk that are no more.

    Raises SQLAlchemy's errors and OSError; what was not written stays there.
    """
    registry = Registry(engine)

    def write(report: Report) -> None:
        try:
            metrics.decided(registry.apply(report).decision)
        except SQLAlchemyError as error:
            if is_unreachable(error):
                raise
            tell_failure(report, brief(error))
        except Exception as error:  # noqa: BLE001 - one that cannot be written must not keep the others
            tell_failure(report, f"{type(error).__name__}: {error}")

    count = adopt(settings, write)
    if count:
        logger.warning("tracking: %d reports written that ended processes had left on disk", count)
