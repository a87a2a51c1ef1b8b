"""Pages of evaluations: send a question file, see how far it is, read the report, compare two. No JavaScript needed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import PurePath
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Request
from fastapi import Query as FromQuery
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.responses import RedirectResponse, Response

from qa.errors import Fault, QuestionFileError
from qa.evaluation.jobs.check import check_file
from qa.evaluation.jobs.queue import EvaluationQueue
from qa.web.api.evaluations import (
    REFRESH_SECONDS,
    AskingParameters,
    may_run,
    refuse_elsewhere,
    stream_page,
)
from qa.web.deps import Dependencies, Deps, EvaluationsDep
from qa.web.middleware.collections import in_collection
from qa.web.pages.rendering import MODES, render
from qa.web.problems import Problem, ProblemError
from qa.web.receiving import unescape

PATH = "/evaluate"
COMPARISON_PATH = f"{PATH}/compare"
MOST_FAULTS = 20
# Formats of question files, by the ending of the name.
FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".json": "squad"}
# Digits of the largest number that a form may send.
_DIGITS = 9

EvaluationId = Annotated[str, FromQuery(max_length=64)]

router = APIRouter(include_in_schema=False)


@router.get(PATH)
async def evaluate_page(request: Request, deps: Deps, evaluations: EvaluationsDep) -> Response:
    """Show the form for a question file, and the past evaluations."""
    return await run_in_threadpool(_page, request, deps, evaluations)


@router.post(PATH)
async def submit(request: Request, deps: Deps, evaluations: EvaluationsDep) -> Response:
    """Queue the file of the form and go to its page, or show the form again with what is wrong at each field."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "multipart/form-data":
        detail = "Send the question file as a form's file, or as the body of POST /v1/evaluations."
        raise ProblemError(Problem("unsupported-media-type", 415, detail))
    async with request.form(max_files=1, max_fields=2) as form:
        name, data = await _read_file(form)
        given = {field: value for field in ("mode", "top_k") if isinstance(value := form.get(field), str)}
    options, wrong = _parse_options(given, deps.service.limits.top_k)
    if wrong:
        return await run_in_threadpool(_page, request, deps, evaluations, given=given, wrong=wrong)
    try:
        return await deps.uploads.run_watched(partial(_submit, evaluations, name, data, options), request)
    except QuestionFileError as error:
        return await run_in_threadpool(_page, request, deps, evaluations, error, given=given)


# Before the page of one evaluation, which would take this address for an id.
@router.get(COMPARISON_PATH)
async def compare_page(
    request: Request, deps: Deps, evaluations: EvaluationsDep, a: EvaluationId, b: EvaluationId
) -> Response:
    """Show the measures of ``b`` against ``a``; the page reloads itself until they are computed."""
    refuse_elsewhere(request, "Evaluations can be compared on the server's own machine; elsewhere, use qa compare.")
    return await run_in_threadpool(_comparison_page, request, deps, evaluations, a, b)


@router.get(f"{COMPARISON_PATH}/report")
def comparison_report(evaluations: EvaluationsDep, a: EvaluationId, b: EvaluationId) -> Response:
    """Show both rankings of each question that changed."""
    return stream_page(evaluations.comparison_report(a, b))


@router.get(f"{PATH}/{{id}}")
async def evaluation_page(id: str, request: Request, deps: Deps, evaluations: EvaluationsDep) -> Response:
    """Show how far an evaluation is; the page reloads itself until it is over."""
    job = await run_in_threadpool(evaluations.get, id)
    # A header, because a meta element would go on reloading in a saved page.
    headers = None if job.is_over else {"Refresh": str(REFRESH_SECONDS)}
    return render(request, "evaluation.html", deps.service.state(), headers=headers, job=job, may_run=may_run(request))


@router.get(f"{PATH}/{{id}}/cancel")
def confirm(id: str, request: Request, deps: Deps, evaluations: EvaluationsDep) -> Response:
    """Ask whether to cancel or remove an evaluation, on a page of its own that does not reload itself."""
    refuse_elsewhere(request, "Evaluations can be cancelled and removed on the server's own machine, or with a key.")
    return render(request, "removing.html", deps.service.state(), job=evaluations.get(id))


@router.post(f"{PATH}/{{id}}/cancel")
def cancel(id: str, evaluations: EvaluationsDep, asked: Annotated[Literal["cancel", "remove"], Form()]) -> Response:
    """Stop an evaluation, or remove one that is over; ask again where it has ended since the question."""
    if evaluations.get(id).is_over != (asked == "remove"):
        return RedirectResponse(in_collection(f"{PATH}/{id}/cancel"), 303)
    evaluations.cancel(id)
    return RedirectResponse(in_collection(PATH), 303)


def _page(
    request: Request,
    deps: Dependencies,
    evaluations: EvaluationQueue,
    error: QuestionFileError | None = None,
    *,
    given: Mapping[str, str] | None = None,
    wrong: Mapping[str, str] | None = None,
) -> Response:
    allowed = may_run(request)
    return render(
        request,
        "evaluate.html",
        deps.service.state(),
        422 if error or wrong else 200,
        # Names of files and addresses of reports are shown only to people who may send a file.
        jobs=evaluations.listing() if allowed else (),
        may_run=allowed,
        needs_key=deps.needs_key,
        faults=[str(fault) for fault in error.faults[:MOST_FAULTS]] if error else [],
        more=max(0, error.count - MOST_FAULTS) if error else 0,
        accepted=",".join(FORMATS),
        given={"mode": "hybrid", "top_k": min(AskingParameters().top_k, deps.service.limits.top_k), **(given or {})},
        wrong=wrong or {},
        most_passages=deps.service.limits.top_k,
    )


def _parse_options(given: Mapping[str, str], most: int) -> tuple[dict[str, Any], dict[str, str]]:
    """Return how to ask, and what is wrong with that by field."""
    number = given.get("top_k", "").strip()
    wrong = {}
    if given.get("mode", "hybrid") not in MODES:
        wrong["mode"] = f"choose one of {', '.join(MODES)}"
    is_number = number.isascii() and number.isdigit() and len(number) <= _DIGITS
    if "top_k" in given and not (is_number and 1 <= int(number) <= most):
        wrong["top_k"] = f"must be a whole number from 1 to {most}"
    if wrong:
        return {}, wrong
    return AskingParameters.model_validate({**given, **({"top_k": int(number)} if number else {})}).options(), {}


async def _read_file(form: FormData) -> tuple[str, bytes]:
    file = form.get("file")
    if not isinstance(file, UploadFile) or not file.filename:
        return "", b""
    return unescape(file.filename), await file.read()


def _submit(
    evaluations: EvaluationQueue, name: str, data: bytes, options: Mapping[str, Any], check: Callable[[], None]
) -> Response:
    """Queue a question file. Raises QuestionFileError."""
    if not name:
        raise QuestionFileError([Fault("no file", None, "", "choose a question file first")])
    format = FORMATS.get(PurePath(name).suffix.lower())
    # The name goes into a folder and a report: the same characters as in the API's parameter.
    shown = re.sub(r"[^\w .()-]", "_", name)[-100:]
    if format is None:
        known = ", ".join(FORMATS)
        raise QuestionFileError([Fault(shown, None, "", f"the name must end in one of {known}, which says its format")])
    check_file(shown, data, format, check=check)
    job = evaluations.submit(shown, data, format, options, False)
    return RedirectResponse(in_collection(f"{PATH}/{job.id}"), 303)


def _comparison_page(request: Request, deps: Dependencies, evaluations: EvaluationQueue, a: str, b: str) -> Response:
    compared = evaluations.compare(a, b)
    headers = {"Refresh": str(REFRESH_SECONDS)} if compared.status == "computing" else None
    return render(
        request,
        "comparison.html",
        deps.service.state(),
        headers=headers,
        compared=compared,
        baseline=evaluations.get(a),
        candidate=evaluations.get(b),
    )
