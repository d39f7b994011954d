"""A result that has expired is answered for as one that never was."""

from typing import Any

from fastapi import Response

from reference_impl import api
from reference_impl.status import ResultState, StatusDocument


def apply() -> None:
    answer = api._answer

    def forgetful(engine: Any, status: StatusDocument, *, stream: bool = False) -> Response:
        if status.result_state is ResultState.EXPIRED:
            raise api._unknown(status.task_id)
        return answer(engine, status, stream=stream)

    api._answer = forgetful
