"""Evaluations as pages: choose a question file, see how far it is, read the report. Whole without JavaScript.

Two evaluations side by side: what changed, and whether chance could have done it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.responses import RedirectResponse, Response

from qa.errors import Fault, QuestionFileError
from qa.web.api.evaluations import (
    REFRESH_SECONDS,
    AskingParameters,
    Running,
    may_run,
    refuse_elsewhere,
    standing_alone,
    too_many,
)
from qa.web.pages.rendering import MODES, render
from qa.web.ports import AskService, Evaluations
from qa.web.problems import Problem, ProblemError

PATH = "/evaluate"
MOST_FAULTS = 20

router = APIRouter(include_in_schema=False)

FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".json": "squad"}
_DIGITS = 9


@router.get(PATH)
async def evaluate_page(request: Request, evaluations: Running) -> Response:
    return await run_in_threadpool(_page, request, evaluations)


@router.post(PATH)
async def submit(request: Request, evaluations: Running) -> Response:
    """Queue the file of the form, and go to its page. What is wrong is told at its field."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "multipart/form-data":
        detail = "Send the question file as a form's file, or as the body of POST /v1/evaluations."
        raise ProblemError(Problem("unsupported-media-type", 415, detail))
    async with request.form(max_files=1, max_fields=2) as form:
        name, data = await _file(form)
        given = {field: value for field in ("mode", "top_k") if isinstance(value := form.get(field), str)}
    options, wrong = _options(given, request.app.state.service.limits.top_k)
    if wrong:
        return await run_in_threadpool(_page, request, evaluations, given=given, wrong=wrong)
    try:
        return await run_in_threadpool(_submit, evaluations, name, data, options)
    except QuestionFileError as error:
        return await run_in_threadpool(_page, request, evaluations, error.faults, given=given)


@router.get(f"{PATH}/{{id}}")
async def evaluation_page(id: str, request: Request, evaluations: Running) -> Response:
    """How far one is; it is loaded anew by itself until that one is over."""
    job = await run_in_threadpool(evaluations.get, id)
    # A header and not a meta element, which would go on reloading in a page that somebody saved.
    headers = None if job.is_over else {"Refresh": str(REFRESH_SECONDS)}
    service: AskService = request.app.state.service
    return render(request, "evaluation.html", service.state(), headers=headers, job=job, may_run=may_run(request))


@router.get(f"{PATH}/{{id}}/cancel")
def ask_back(id: str, request: Request, evaluations: Running) -> Response:
    """Whether it is meant: what is gone is gone. A page of its own, as that of the evaluation loads anew by itself."""
    refuse_elsewhere(
        request, "Evaluations are cancelled and removed by clients on the server's own machine, or with a key."
    )
    service: AskService = request.app.state.service
    return render(request, "removing.html", service.state(), job=evaluations.get(id))


@router.post(f"{PATH}/{{id}}/cancel")
def cancel(id: str, evaluations: Running, asked: Annotated[Literal["cancel", "remove"], Form()]) -> Response:
    """Stop one, or remove one that is over, whichever was asked back: it may have ended since."""
    if evaluations.get(id).is_over != (asked == "remove"):
        return RedirectResponse(f"{PATH}/{id}/cancel", 303)
    evaluations.cancel(id)
    return RedirectResponse(PATH, 303)


def _page(
    request: Request,
    evaluations: Evaluations,
    faults: tuple[Fault, ...] = (),
    *,
    given: Mapping[str, str] | None = None,
    wrong: Mapping[str, str] | None = None,
) -> Response:
    service: AskService = request.app.state.service
    allowed = may_run(request)
    return render(
        request,
        "evaluate.html",
        service.state(),
        422 if faults or wrong else 200,
        # Names of files and addresses of reports are for whoever may have a file evaluated.
        jobs=evaluations.listing() if allowed else (),
        may_run=allowed,
        needs_key=request.app.state.needs_key,
        faults=[str(fault) for fault in faults[:MOST_FAULTS]],
        more=max(0, len(faults) - MOST_FAULTS),
        accepted=",".join(FORMATS),
        given={"mode": "hybrid", "top_k": min(AskingParameters().top_k, service.limits.top_k), **(given or {})},
        wrong=wrong or {},
        most_passages=service.limits.top_k,
    )


def _options(given: Mapping[str, str], most: int) -> tuple[dict[str, Any], dict[str, str]]:
    """How to ask, and by field what is wrong with that."""
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


async def _file(form: FormData) -> tuple[str, bytes]:
    file = form.get("file")
    if not isinstance(file, UploadFile) or not file.filename:
        return "", b""
    return file.filename, await file.read()


def _submit(evaluations: Evaluations, name: str, data: bytes, options: Mapping[str, Any]) -> Response:
    """Raises QuestionFileError."""
    from qa.questions.formats import parse_questions

    if not name:
        raise QuestionFileError([Fault("no file", None, "", "choose a question file first")])
    format = FORMATS.get(PurePath(name).suffix.lower())
    # What is written into a folder and a report: as the parameter of the same name.
    shown = re.sub(r"[^\w .()-]", "_", name)[-100:]
    if format is None:
        known = ", ".join(FORMATS)
        raise QuestionFileError([Fault(shown, None, "", f"the name must end in one of {known}, which says its format")])
    if error := too_many(parse_questions(shown, data, format)):  # type: ignore[arg-type]
        raise QuestionFileError([Fault(shown, None, "", error)])
    job = evaluations.submit(shown, data, format, options, False)
    return RedirectResponse(f"{PATH}/{job.id}", 303)


COMPARISON_PATH = "/evaluate/compare"

comparison_router = APIRouter(include_in_schema=False)

Id = Annotated[str, Query(max_length=64)]


@comparison_router.get(COMPARISON_PATH)
async def compare_page(request: Request, evaluations: Running, a: Id, b: Id) -> Response:
    """The numbers of ``b`` against ``a``; until they are computed, that they are, loaded anew by itself."""
    refuse_elsewhere(
        request, "Evaluations are compared for clients on the server's own machine; elsewhere, qa compare does it."
    )
    return await run_in_threadpool(_comparison_page, request, evaluations, a, b)


@comparison_router.get(f"{PATH}/report")
def comparison_report(evaluations: Running, a: Id, b: Id) -> Response:
    """Both rankings of each question that changed."""
    return standing_alone(evaluations.comparison_report(a, b))


def _comparison_page(request: Request, evaluations: Evaluations, a: str, b: str) -> Response:
    service: AskService = request.app.state.service
    compared = evaluations.compare(a, b)
    headers = {"Refresh": str(REFRESH_SECONDS)} if compared.status == "computing" else None
    return render(
        request,
        "comparison.html",
        service.state(),
        headers=headers,
        compared=compared,
        baseline=evaluations.get(a),
        candidate=evaluations.get(b),
    )
