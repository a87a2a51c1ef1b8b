"""Collections as models of the OpenAI API (``/v1/chat/completions``, ``/v1/models``), for the front ends of chats."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from qa.types import Query, Reply
from qa.web.api import requests, responses
from qa.web.api.chat_messages import (
    AnswerMessage,
    ChatRequest,
    ChatResponse,
    Choice,
    ModelBody,
    ModelsResponse,
    make_query,
    write,
)
from qa.web.api.openapi import problems
from qa.web.api.routes import json_only, read_body
from qa.web.deps import Dependencies, Deps, visible_collections
from qa.web.middleware.headers import request_id
from qa.web.pages.rendering import reading_address
from qa.web.problems import CHAT, MODELS, Problem, ProblemError, shown

router = APIRouter(tags=["questions"])


@router.post(
    CHAT,
    operation_id="chat",
    summary="Answer the last question of a conversation, as the OpenAI API does",
    dependencies=[Depends(json_only)],
    response_model=ChatResponse,
    openapi_extra={"requestBody": requests.body_of(ChatRequest)},
    responses={
        **problems(400, 404, 413, 415, 422, 503),
        200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
    },
)
async def chat(deps: Deps, request: Request) -> Response:
    """Return the answer with its source, or that there is none, as a message; with `stream` as events, in one chunk.

    Problems have a member `error` too, as the clients of that API expect.
    """
    body = await read_body(ChatRequest, request)
    parts = _choose(request, deps, body.model)
    limits = parts.service.limits
    # In a thread, because a thousand messages have megabytes.
    query = await run_in_threadpool(make_query, body, limits.question_chars, limits.previous)
    reply = await parts.asking.ask(query, request)
    return await run_in_threadpool(_respond, request, deps, parts, body, query, reply)


@router.get(
    MODELS,
    operation_id="listModels",
    summary="The collections, as models of the OpenAI API",
    responses=problems(503),
)
async def list_models(request: Request) -> ModelsResponse:
    """List the collections that may be asked, the default one first."""
    return ModelsResponse(data=[ModelBody(id=each.name) for each in visible_collections(request)])


@router.get(
    MODELS + "/{id}",
    operation_id="getModel",
    summary="One collection, as a model of the OpenAI API",
    responses=problems(404, 503),
)
async def get_model(id: Annotated[str, Path(description="The collection's name.")], request: Request) -> ModelBody:
    """Return a collection that may be asked."""
    if id not in (each.name for each in visible_collections(request)):
        raise ProblemError(_no_model(id))
    return ModelBody(id=id)


def _choose(request: Request, deps: Dependencies, model: str | None) -> Dependencies:
    """Return the collection that ``model`` names; an address that names one itself is of that one alone."""
    if not model or model == deps.name:
        return deps
    asked = [] if request.scope["state"]["named"] else visible_collections(request)
    for each in asked:
        if each.name == model:
            return each
    raise ProblemError(_no_model(model))


def _no_model(id: str) -> Problem:
    return Problem("model-not-found", 404, f"There is no model {shown(id)!r}; GET {MODELS} lists them.")


def _respond(
    request: Request, deps: Dependencies, parts: Dependencies, body: ChatRequest, query: Query, reply: Reply
) -> Response:
    root = str(request.base_url).rstrip("/")
    collection = "" if parts.name == deps.name else parts.name

    def address(document: str, start: int, end: int) -> str:
        return root + reading_address(document, start, end, query, collection)

    content, annotations = write(reply, address)
    answer = ChatResponse(
        id=f"chatcmpl-{request_id(request.scope)}",
        created=int(time.time()),
        model=parts.name,
        choices=[Choice(message=AnswerMessage(content=content, annotations=annotations))],
        system_fingerprint=reply.snapshot,
        qa=responses.AskResponse.from_reply(reply),
    )
    if not body.stream:
        return Response(answer.model_dump_json(), media_type="application/json")
    with_usage = body.stream_options is not None and bool(body.stream_options.include_usage)
    return Response("".join(_events(answer, with_usage=with_usage)), media_type="text/event-stream")


def _events(answer: ChatResponse, *, with_usage: bool) -> Iterator[str]:
    """Write an answer as server-sent events: one chunk with all of it, one that says it is over, and the end."""
    whole = answer.model_dump(mode="json", include={"id", "created", "model", "system_fingerprint"})
    head = {**whole, "object": "chat.completion.chunk"}
    delta = answer.choices[0].message.model_dump(mode="json", include={"role", "content", "annotations"})
    more = {"qa": answer.qa.model_dump(mode="json")}
    chunks: list[dict[str, Any]] = [
        {**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}], **more},
        {**head, "choices": [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]},
    ]
    if with_usage:
        chunks.append({**head, "choices": [], "usage": answer.usage.model_dump()})
    for chunk in chunks:
        yield f"data: {json.dumps(chunk, ensure_ascii=True)}\n\n"
    yield "data: [DONE]\n\n"
