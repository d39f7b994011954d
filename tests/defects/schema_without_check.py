"""The registry's schema does not restrict the status."""

from typing import Any

from sqlalchemy import text

from reference_impl import schema


def apply() -> None:
    migrate = schema.migrate

    def unrestricted(engine: Any, *args: Any) -> None:
        migrate(engine, *args)
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE celery_task_registry DROP CONSTRAINT ck_celery_task_registry_status"))

    schema.migrate = unrestricted
