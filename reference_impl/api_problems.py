"""Why a request was not fulfilled, as a problem document (RFC 9457) that says so to a program, too."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from reference_impl.connections import cause_of

logger = logging.getLogger(__name__)


class Problem(BaseModel):
    """Why a request was not fulfilled (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str
    detail: str | None = None


class ProblemError(Exception):
    """Raised where a request ends in one; `more` is told beside it."""

    def __init__(self, status: int, code: str, detail: str | None = None, **more: Any) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.more = status, code, detail, more


_PROBLEM = {"schema": {"$ref": "#/components/schemas/Problem"}}
_TITLES = {
    400: "The request cannot be understood",
    401: "Not authorised",
    403: "Not for this token",
    404: "Not found",
    405: "Not done here",
    409: "There is no result, or nothing to cancel",
    410: "The result has expired",
    413: "The request is too large",
    503: "Not possible for now",
}


def _problem(status: int, code: str, detail: str | None, **more: Any) -> JSONResponse:
    title = _TITLES.get(status, "The request was refused")
    content = {"type": f"urn:celery-tracker:{code}", "title": title, "status": status, "code": code, "detail": detail}
    headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "1"}}.get(status)
    return JSONResponse(content | more, status, headers, "application/problem+json")


def tell_problems(api: FastAPI) -> None:
    """Answer whatever goes wrong by such a document."""

    @api.exception_handler(ProblemError)
    def problem(_: Request, error: ProblemError) -> Response:
        return _problem(error.status, error.code, error.detail, **error.more)

    @api.exception_handler(HTTPException)
    def refused(_: Request, error: HTTPException) -> Response:
        return _problem(error.status_code, "refused", str(error.detail))

    @api.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> Response:
        said = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        return _problem(400, "invalid", said[:2000])

    @api.exception_handler(SQLAlchemyError)
    def away(_: Request, error: SQLAlchemyError) -> Response:
        logger.error("the registry failed: %s", cause_of(error))
        return _problem(503, "database", "the registry's database cannot be reached, or does not answer")


def describe_problems(api: FastAPI) -> None:
    """In the API's description: what FastAPI cannot be told, that errors are problem documents, and none is a 422."""
    for path in api.openapi()["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            for response in operation["responses"].values():
                if _PROBLEM in response.get("content", {}).values():
                    response["content"] = {"application/problem+json": _PROBLEM}
