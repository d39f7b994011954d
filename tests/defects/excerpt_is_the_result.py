"""The result endpoint gives the bounded form that the registry keeps for people to read."""

import json
from typing import Any

from fastapi import Response
from sqlalchemy import text

from reference_impl import api
from reference_impl.status import StatusDocument


def apply() -> None:
    answer = api._answer

    def excerpt(engine: Any, status: StatusDocument, *, stream: bool = False) -> Response:
        given = answer(engine, status, stream=stream)
        if given.status_code != 200:
            return given
        with engine.connect() as connection:
            query = text("SELECT result FROM celery_task_registry WHERE task_id = :task_id")
            found = connection.execute(query, {"task_id": status.task_id}).scalar()
        return Response(json.dumps(found), 200, media_type="application/json")

    api._answer = excerpt
