"""A sweep calls the tasks of a dead worker LOST, and the schema has been made to allow that."""

from typing import Any

from sqlalchemy import text

from reference_impl import registry, schema
from reference_impl.lifecycle import WorkerLost


def apply() -> None:
    columns, migrate = registry.columns, schema.migrate

    def lost(report: Any, *rest: Any) -> tuple[dict[str, Any], str | None]:
        values, remark = columns(report, *rest)
        if isinstance(report.event, WorkerLost) and "status" in values:
            values["status"] = "LOST"
        return values, remark

    def unrestricted(engine: Any, *args: Any) -> None:
        migrate(engine, *args)
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE celery_task_registry DROP CONSTRAINT ck_celery_task_registry_status"))

    registry.columns = lost
    schema.migrate = unrestricted
