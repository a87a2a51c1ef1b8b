"""Error handlers: every error that a request ends in becomes a problem."""

from __future__ import annotations

import inspect
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, get_type_hints

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qa.errors import QAError
from qa.web.admission import HungUp
from qa.web.middleware.collections import asked_path
from qa.web.middleware.headers import request_id
from qa.web.problems import (
    FieldError,
    Problem,
    ProblemError,
    Render,
    choose_problem,
    explain,
    internal,
    invalid,
    nothing_at,
    shown,
)

log = structlog.get_logger(__name__)

# The status that nginx logs where the client hung up; nobody receives it.
CLIENT_CLOSED = 499
# Keys that are named of those that stand twice in one JSON object.
_MOST_NAMED = 10
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def install(app: FastAPI, render: Render) -> None:
    """Answer every error that a route ends in by ``render``."""

    async def handle(request: Request, error: Exception) -> Response:
        return render(request, _problem(request, error))

    for kind in (ProblemError, QAError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, handle)
    for gone in (HungUp, ClientDisconnect):
        app.add_exception_handler(gone, _handle_hung_up)


async def _handle_hung_up(request: Request, error: Exception) -> Response:
    return Response(status_code=CLIENT_CLOSED)


class UnexpectedErrors:
    """The middleware that answers an unexpected error with a problem that says nothing of the inside, and logs it.

    It stands inside the middleware that sets headers, so that these responses have them too; the framework's own
    handler would stand outside.
    """

    def __init__(self, app: ASGIApp, render: Render) -> None:
        self.app = app
        self.render = render

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def send_and_note(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        except ClientDisconnect:
            # It hung up while its request was read, or while the response was sent. Nobody is there to be answered, and
            # what any client can do at any time is no error.
            return
        except Exception as error:
            if started:  # Too late for another response: the server must cut the connection.
                raise
            request = Request(scope)
            _log(request, error)
            await self.render(request, internal(request_id(scope)))(scope, receive, send)


def _log(request: Request, error: Exception) -> None:
    # Without the query string, because questions are not logged.
    log.error(
        "request failed",
        method=request.method,
        path=shown(asked_path(request.scope)),
        request_id=request_id(request.scope),
        exc_info=error,
    )


def _problem(request: Request, error: Exception) -> Problem:
    match error:
        case ProblemError():
            return error.problem
        case QAError():
            return service_problem(request, error)
        case RequestValidationError():
            return _validation_problem(request, error)
        case HTTPException():
            return _http_problem(request, error)
    raise error


def service_problem(request: Request, error: QAError) -> Problem:
    """Choose the problem that tells this client of an error of the service, and log an unexpected failure."""
    problem = choose_problem(error, request_id(request.scope), "q" if request.method == "GET" else "question")
    if problem.status == 500:
        _log(request, error)
    return problem


def _http_problem(request: Request, error: HTTPException) -> Problem:
    match error.status_code:
        case 404:
            return nothing_at(asked_path(request.scope))
        case 405:
            return _method_not_allowed(request, error)
        case 400:
            return _unreadable_body(error)
    return Problem("http-error", error.status_code, error.detail, headers=error.headers or {})


def _validation_problem(request: Request, error: RequestValidationError) -> Problem:
    errors: Sequence[Any] = error.errors()
    if errors[0]["type"] == "json_invalid":
        return _malformed_json(str(error.body), errors[0]["loc"][1], errors[0]["ctx"]["error"])
    # The first part of a location is "body", "query" or "path". A body that is wrong as a whole has no other part.
    inner = [{**e, "loc": e["loc"][1:]} for e in errors]
    return invalid(explain(inner, _fields(request)))


def _make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a JSON object of its keys and values. Raises ProblemError for a key that stands twice: one would count."""
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = [shown(key) for key, count in counts.items() if count > 1][:_MOST_NAMED]
        raise ProblemError(invalid(tuple(FieldError(key, f"{key} is given more than once.") for key in twice)))
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_make_object)


def parse_json(data: bytes, fields: Sequence[str]) -> object:
    """Parse a request body that is JSON with ``fields``.

    Raises:
        ProblemError: it is none, with the place where it goes wrong; or an object in it has a key twice.
    """
    if not data:
        raise ProblemError(invalid(explain([{"type": "missing", "loc": ()}], fields)))
    try:
        # As json.loads does, which would make a decoder for each body that is given a hook.
        return _DECODER.decode(data.decode(json.detect_encoding(data), "surrogatepass"))
    except json.JSONDecodeError as error:
        raise ProblemError(_malformed_json(error.doc, error.pos, error.msg)) from None
    except (ValueError, RecursionError) as error:
        raise ProblemError(_unparseable(error)) from None


def _malformed_json(text: str, position: int, reason: str) -> Problem:
    where = json.JSONDecodeError(reason, text, position)
    return Problem(
        "malformed-json",
        400,
        f"The request body is not JSON: {reason.rstrip('.')} at line {where.lineno}, column {where.colno}.",
    )


def _unparseable(error: ValueError | RecursionError) -> Problem:
    match error:
        case UnicodeDecodeError():
            return Problem("malformed-json", 400, f"The request body is not UTF-8, at byte {error.start}.")
        case RecursionError():
            return Problem("malformed-json", 400, "The request body is nested too deeply.")
    return Problem("malformed-json", 400, "The request body holds a number with too many digits.")


def _unreadable_body(error: HTTPException) -> Problem:
    match error.__cause__:
        case ProblemError() as cause:  # BodyLimit raised it while the framework was reading.
            return cause.problem
        case ValueError() | RecursionError() as cause:
            return _unparseable(cause)
    return Problem("body-unreadable", 400, "The request body could not be read to its end.")


def _method_not_allowed(request: Request, error: HTTPException) -> Problem:
    # The framework names the methods of only the first route at this path.
    allowed = [method for method in METHODS if _answers(request, method)]
    if not allowed:
        allowed = (error.headers or {}).get("Allow", "GET").split(", ")
    if "GET" in allowed and "HEAD" not in allowed:
        allowed.insert(1, "HEAD")
    names = ", ".join(allowed)
    detail = f"{shown(request.method)} is not allowed at {shown(asked_path(request.scope))}; use one of {names}."
    return Problem("method-not-allowed", 405, detail, headers={"Allow": names})


def _answers(request: Request, method: str) -> bool:
    app: FastAPI = request.app
    scope = {"type": "http", "method": method, "path": request.scope["path"], "headers": []}
    routes = [route for route in app.router.routes if not isinstance(route, Mount)]
    return any(route.matches(dict(scope))[0] is Match.FULL for route in routes)


def _fields(request: Request) -> list[str]:
    hints = get_type_hints(request.scope["endpoint"])
    hints.pop("return", None)
    models = [hint for hint in hints.values() if inspect.isclass(hint) and issubclass(hint, BaseModel)]
    return [name for model in models for name in model.model_fields]
