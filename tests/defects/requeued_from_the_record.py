"""A lost task is sent again with the arguments that the record shows: cut short, and masked."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, text

from reference_impl import closing, messages


def apply() -> None:
    find = messages.find

    def from_the_record(connection: Connection, task_id: str) -> messages.Message:
        message = find(connection, task_id)
        shown: Any = connection.execute(
            text("SELECT args, kwargs FROM celery_task_registry WHERE task_id = :id"), {"id": task_id}
        ).one()
        args = shown.args if isinstance(shown.args, list) else []
        kwargs = shown.kwargs if isinstance(shown.kwargs, Mapping) and "truncated" not in shown.kwargs else {}
        embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
        return replace(message, body=json.dumps([args, kwargs, embed]).encode())

    closing.find = from_the_record
