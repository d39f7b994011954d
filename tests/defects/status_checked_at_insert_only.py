"""The database looks at the status of a new record, and not at what is written over it later."""

from typing import Any

from sqlalchemy import text

from reference_impl import schema

AT_INSERT = """
    ALTER TABLE celery_task_registry DROP CONSTRAINT ck_celery_task_registry_status;
    CREATE FUNCTION check_status() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.status NOT IN ('PENDING', 'STARTED', 'RETRY', 'SUCCESS', 'FAILURE', 'REVOKED') THEN
            RAISE check_violation;
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER check_status BEFORE INSERT ON celery_task_registry FOR EACH ROW EXECUTE FUNCTION check_status()
"""


def apply() -> None:
    migrate = schema.migrate

    def at_insert(engine: Any, *args: Any) -> None:
        migrate(engine, *args)
        with engine.begin() as connection:
            connection.execute(text(AT_INSERT))

    schema.migrate = at_insert
