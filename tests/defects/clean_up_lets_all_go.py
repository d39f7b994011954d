"""A clean-up that finds anything stale makes every agent idle: the others will say that they run."""

from typing import Any

from sqlalchemy import text

from reference_impl import sweep

_ALL = text("""
    UPDATE celery_agent
    SET is_running = false, current_task_id = NULL, current_attempt_id = NULL, current_phase_message = NULL
    WHERE is_running
""")


def apply() -> None:
    mend = sweep.mend

    def and_the_rest(engine: Any, progress: Any, **how: Any) -> Any:
        mended = mend(engine, progress, **how)
        if mended:
            with engine.begin() as connection:
                connection.execute(_ALL)
        return mended

    sweep.mend = and_the_rest
