"""Turns errors into problem responses (RFC 9457), or into errors of UDF below `/udf`."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from app.api.schemas import ParametersProblemOut, ProblemOut
from app.core.errors import (
    AppError,
    DatabaseUnavailable,
    ParametersInvalid,
    SchemaOutdated,
    TickerNotFound,
)
from app.core.logs import REQUEST_ID

CODES_BY_STATUS = {404: "route_not_found", 405: "method_not_allowed"}
RETRY_AFTER_SECONDS = "5"
HEADERS_BY_STATUS = {
    401: {"WWW-Authenticate": "ApiKey"},
    429: {"Retry-After": RETRY_AFTER_SECONDS},
    503: {"Retry-After": RETRY_AFTER_SECONDS},
}
TICKER_ERRORS = (TickerNotFound, ParametersInvalid, DatabaseUnavailable, SchemaOutdated)
"""The errors of every route that reads what is stored of a ticker."""

UDF_PATH: Final = "/udf"
"""Below it errors have the form of TradingView's protocol."""

log = structlog.get_logger(__name__)


class Problem(NamedTuple):
    """What is wrong with a request: the status, and the members of a problem response."""

    status: int
    body: dict[str, object]
    headers: Mapping[str, str]


class ProblemResponse(JSONResponse):
    """A JSON response with the media type of problems."""

    media_type = "application/problem+json"


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error in the form of its route, whichever layer it came from."""
    for kind in (AppError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _on_error)


def problem_responses(*errors: type[AppError]) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses for these errors: one per status, with its error codes."""
    entries: dict[int | str, dict[str, Any]] = {}
    for status in sorted({error.status for error in errors}):
        possible = [error for error in errors if error.status == status]
        codes = ", ".join(f"`{error.code}`" for error in possible)
        model = ParametersProblemOut if status == ParametersInvalid.status else ProblemOut
        entries[status] = {
            "description": f"{HTTPStatus(status).phrase}: {codes}",
            "headers": {
                name: {"schema": {"type": "string"}, "example": value}
                for name, value in HEADERS_BY_STATUS.get(status, {}).items()
            },
            "content": {
                "application/problem+json": {
                    "schema": {"$ref": f"#/components/schemas/{model.__name__}"},
                    "examples": {error.code: {"value": _example(error)} for error in possible},
                }
            },
        }
    return entries


def _example(error: type[AppError]) -> dict[str, object]:
    """Return the body of a problem; the error's title stands for the detail."""
    body = {"type": "about:blank", "title": error.title, "status": error.status}
    if error is not ParametersInvalid:
        return {**body, "detail": error.title, "code": error.code}
    name, message = "from", "is unknown; did you mean from_dt?"
    errors = [{"parameter": name, "message": message}]
    return {**body, "detail": f"{name}: {message}", "code": error.code, "errors": errors}


async def _on_error(request: Request, error: Exception) -> JSONResponse:
    problem = _log_and_describe(request, error)
    if request.scope["path"].startswith(f"{UDF_PATH}/"):
        return _udf_error(problem)
    return ProblemResponse(problem.body, problem.status, problem.headers)


def _log_and_describe(request: Request, error: Exception) -> Problem:
    match error:
        case ParametersInvalid():
            return _parameters_problem(error.errors.items())
        case RequestValidationError():
            items = error.errors()
            return _parameters_problem((str(item["loc"][1]), _message(item)) for item in items)
        case AppError():
            if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                log.warning("request_failed", code=error.code, detail=str(error))
            return _problem(error.status, error.title, str(error), error.code)
        case HTTPException(status_code=status):
            code = CODES_BY_STATUS.get(status, "http_error")
            problem = _problem(status, HTTPStatus(status).phrase, str(error.detail), code)
            return problem._replace(headers={**problem.headers, **(error.headers or {})})
        case _:
            log.error("request_broke", request_id=request.scope.get(REQUEST_ID), exc_info=error)
            return _problem(AppError.status, AppError.title, "the log tells more", AppError.code)


def _udf_error(problem: Problem) -> JSONResponse:
    """Return an error of the UDF protocol, whose clients read the body and not the status."""
    status, headers = HTTPStatus.OK, {"Cache-Control": "no-store"}
    if problem.body["code"] in CODES_BY_STATUS.values():  # no route of the protocol
        status, headers = HTTPStatus(problem.status), {**headers, **problem.headers}
    return JSONResponse({"s": "error", "errmsg": problem.body["detail"]}, status, headers)


def _parameters_problem(messages: Iterable[tuple[str, str]]) -> Problem:
    errors = [{"parameter": name, "message": message} for name, message in messages]
    detail = "; ".join(f"{item['parameter']}: {item['message']}" for item in errors)
    invalid = ParametersInvalid
    return _problem(invalid.status, invalid.title, detail, invalid.code, errors=errors)


def _problem(status: int, title: str, detail: str, code: str, **extra: object) -> Problem:
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, "code": code}
    return Problem(status, {**body, **extra}, HEADERS_BY_STATUS.get(status, {}))


def _message(item: Mapping[str, Any]) -> str:
    _, name, *position = item["loc"]
    if position and item["type"] == "string_pattern_mismatch" and "," in item["input"]:
        return f"give {name} several times, one name each"
    return str(item["msg"]).removeprefix("Value error, ")
