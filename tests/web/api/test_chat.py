"""A collection as a model: by the OpenAI API's own client where a front end uses one, and in its recorded shapes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import openai
import pytest
from starlette.testclient import TestClient

from qa.types import Eq, Query, Range, Turn
from qa.web.api.chat_messages import escape, make_query, read_answer
from qa.web.app import create_app
from qa.web.deps import Offered, Options
from qa.web.middleware.access import new_key, parse_keys
from tests.support.fake_service import ADDRESS, ANSWER, FERRY, LOADING, NOON, READY, SNAPSHOT, FakeService
from tests.support.served import serving

QUESTION = "When does the ferry leave?"
PATH = "/v1/chat/completions"
Message = dict[str, Any]


def user(text: object) -> Message:
    return {"role": "user", "content": text}


def chat(client: TestClient, *messages: Message, **fields: object) -> Any:
    return client.post(PATH, json={"model": "harbour", "messages": list(messages), **fields})


def content_of(client: TestClient, *messages: Message) -> str:
    return str(chat(client, *messages).json()["choices"][0]["message"]["content"])


@pytest.fixture
def address(service: FakeService) -> Iterator[str]:
    with serving(service) as address:
        yield address


@pytest.fixture
def own_client(address: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.mark.server
def test_the_official_client_gets_the_answer_with_its_source(
    own_client: openai.OpenAI, service: FakeService, address: str
) -> None:
    service.answer = ANSWER
    (model,) = own_client.models.list().data
    assert own_client.models.retrieve(model.id).id == model.id == "harbour"
    reply = own_client.chat.completions.create(model=model.id, messages=[{"role": "user", "content": QUESTION}])
    (choice,) = reply.choices
    assert choice.finish_reason == "stop"
    assert choice.message.annotations is not None
    assert choice.message.content is not None
    (annotation,) = choice.message.annotations
    cited = annotation.url_citation
    assert choice.message.content[cited.start_index : cited.end_index] == "noon"
    assert cited.title == "notes/ferry <i>.txt, page 1, Crossing the bay"
    assert cited.url.startswith(f"{address}{ADDRESS}?start={NOON}&end={NOON + 4}")
    assert (reply.model, reply.system_fingerprint) == ("harbour", SNAPSHOT)
    assert reply.model_extra is not None
    assert reply.model_extra["qa"]["answer"]["citation"]["document"] == FERRY.id


@pytest.mark.server
def test_the_official_client_gets_the_same_as_a_stream(own_client: openai.OpenAI, service: FakeService) -> None:
    service.answer = ANSWER
    messages: Any = [user(QUESTION)]
    whole = own_client.chat.completions.create(model="harbour", messages=messages)
    stream = own_client.chat.completions.create(
        model="harbour", messages=messages, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == whole.choices[0].message.content
    assert deltas[0].model_extra is not None
    assert deltas[0].model_extra["annotations"][0]["url_citation"]["title"].startswith("notes/ferry")
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices] == [None, "stop"]
    assert chunks[-1].usage is not None


@pytest.mark.server
def test_the_official_client_raises_what_is_wrong(own_client: openai.OpenAI, service: FakeService) -> None:
    with pytest.raises(openai.NotFoundError, match="There is no model 'gpt-5'; GET /v1/models lists them") as missing:
        own_client.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": QUESTION}])
    assert missing.value.code == "model-not-found"
    with pytest.raises(openai.UnprocessableEntityError, match="the question is blank"):
        own_client.chat.completions.create(model="harbour", messages=[{"role": "user", "content": " "}])
    service.current = LOADING
    with pytest.raises(openai.InternalServerError, match="being loaded"):
        own_client.chat.completions.create(model="harbour", messages=[{"role": "user", "content": QUESTION}])


def test_a_stream_is_events_and_an_end(client: TestClient, service: FakeService) -> None:
    service.answer = ANSWER
    response = chat(client, user(QUESTION), stream=True)
    assert response.headers["content-type"].startswith("text/event-stream")
    *events, end, rest = response.text.split("\n\n")
    assert (end, rest, len(events)) == ("data: [DONE]", "", 2)
    assert {json.loads(event.removeprefix("data: "))["object"] for event in events} == {"chat.completion.chunk"}


def test_earlier_questions_are_what_the_last_may_lean_on(client: TestClient, service: FakeService) -> None:
    service.answer = ANSWER
    first = content_of(client, user(QUESTION))
    said = content_of(client, {"role": "system", "content": "Be brief."}, user(QUESTION),
                      {"role": "assistant", "content": first}, user("Why?"))  # fmt: skip
    assert service.asked[-1] == Query("Why?", previous=(Turn(QUESTION, "noon"),))
    assert said.endswith("Searched for: Why does the ferry leave?")


def test_what_was_said_before_makes_no_question_wrong(client: TestClient, service: FakeService) -> None:
    before = [user("x" * 201), user("a\0"), user(""), *(user(f"ferry {number}?") for number in range(20))]
    assert chat(client, *before, user("Why?")).status_code == 200
    assert [turn.question for turn in service.asked[-1].previous] == [f"ferry {number}?" for number in range(12, 20)]


def test_parts_of_a_message_are_read_and_pictures_are_not(client: TestClient, service: FakeService) -> None:
    parts = [{"type": "text", "text": "When does"}, {"type": "image_url", "image_url": {"url": "data:,"}},
             {"type": "text", "text": "the ferry leave?"}]  # fmt: skip
    assert chat(client, user(parts)).status_code == 200
    assert service.asked[-1].question == "When does\nthe ferry leave?"


def test_what_has_no_meaning_here_is_ignored_and_what_has_one_counts(client: TestClient, service: FakeService) -> None:
    sent = {"temperature": 0.7, "tools": [{"type": "function"}], "top_k": "many", "stream": None, "n": 1,
            "documents": ["notes/*"], "max_error": 0.1, "read_tokens": 400}  # fmt: skip
    assert chat(client, user(QUESTION), **sent).status_code == 200
    assert service.asked[-1] == Query(QUESTION, documents=("notes/*",), max_error=0.1, read_tokens=400)


def test_a_filter_counts_as_it_does_where_one_question_is_asked(client: TestClient, service: FakeService) -> None:
    filter = {"op": "and", "filters": [{"op": "eq", "field": "folder", "value": "notes"},
                                       {"op": "range", "field": "date", "low": "2024"}]}  # fmt: skip
    assert chat(client, user(QUESTION), filter=filter).status_code == 200
    assert client.post("/v1/ask", json={"question": QUESTION, "filter": filter}).status_code == 200
    assert [query.filter for query in service.asked] == [(Eq("folder", "notes"), Range("date", "2024"))] * 2
    assert chat(client, user(QUESTION), filter=None).status_code == 200


@pytest.mark.parametrize(
    "filter",
    ["folder=hr", {"op": "eq", "field": "folder"}, {"op": "eq", "field": "foldre", "value": "hr"},
     {"op": "in", "field": "type", "values": ["x"] * 201}, {"op": "eq", "field": "type", "value": "a", "more": 1}],
)  # fmt: skip
def test_a_wrong_filter_is_refused_as_it_is_where_one_question_is_asked(client: TestClient, filter: object) -> None:
    response = chat(client, user(QUESTION), filter=filter)
    assert response.status_code == 422
    assert (
        response.json()["errors"]
        == client.post("/v1/ask", json={"question": QUESTION, "filter": filter}).json()["errors"]
    )


@pytest.mark.parametrize("content", [None, [], [{"type": "image_url", "image_url": {"url": "data:,"}}]])
def test_a_message_without_text_says_that_pictures_are_not_read(client: TestClient, content: object) -> None:
    response = chat(client, user(QUESTION), user(content))
    (error,) = response.json()["errors"]
    assert (response.status_code, response.json()["type"], error["field"]) == (
        422,
        "urn:qa:problem:question-empty",
        "messages",
    )
    assert error["message"].startswith("The last message of the role user has no text, and images are not read;")


def test_a_guess_is_called_one_and_nothing_found_is_said(client: TestClient, service: FakeService) -> None:
    service.answer = replace(ANSWER, outcome="unsure", confidence=0.4)
    guess = chat(client, user(QUESTION)).json()["choices"][0]["message"]
    assert guess["content"].startswith("I am not sure. The best guess: noon\n")
    cited = guess["annotations"][0]["url_citation"]
    assert guess["content"][cited["start_index"] : cited["end_index"]] == "noon"
    assert read_answer(guess["content"]) == "noon"
    service.answer = replace(ANSWER, outcome="not_found")
    nothing = chat(client, user(QUESTION)).json()["choices"][0]["message"]
    assert nothing["content"].startswith("The documents do not say")
    assert "- [notes/ferry \\<i\\>.txt, page 1, Crossing the bay](http://testserver/documents/" in nothing["content"]
    assert nothing["annotations"] == []
    assert read_answer(nothing["content"]) == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("![x](http://evil)", "!\\[x\\](http://evil)"),
        ("<img src=x>", "\\<img src=x\\>"),
        ("# 5 * 3 _now_", "\\# 5 \\* 3 \\_now\\_"),
        ("QA_MAX_ERROR is 0.2", "QA_MAX_ERROR is 0.2"),
        ("two\n\nlines \u202e", "two lines \\u202e"),
        ("1. first", "1\\. first"),
    ],
)
def test_words_of_documents_do_nothing_in_a_front_end(text: str, shown: str) -> None:
    assert escape(text).replace("\\\\", "\\") == shown


@pytest.mark.parametrize(
    ("body", "status", "message", "field"),
    [
        ({"messages": []}, 422, "messages is empty; it must hold at least 1.", "messages"),
        ({"messages": [None]}, 422, "messages[0] must be a JSON object; known fields: role, content.", "messages[0]"),
        ({"messages": [user(5)]}, 422, "messages[0].content must be a string or a list.", "messages[0].content"),
        ({"messages": [user(["a"])]}, 422, "messages[0].content[0] must be a JSON object; known fields: type, text.",
         "messages[0].content[0]"),
        ({"messages": [user([{"type": "text", "text": 5}])]}, 422, "messages[0].content[0].text must be a string.",
         "messages[0].content[0].text"),
        ({"messages": [user([{"type": "text"}] * 101)]}, 422, "messages[0].content may hold at most 100.",
         "messages[0].content"),
        ({"messages": [user("a")], "stream_options": 5}, 422,
         "The stream_options must be a JSON object; known fields: include_usage.", "stream_options"),
        ({"messages": [{"role": "system", "content": "x"}]}, 422, "messages holds no message of the role", "messages"),
        ({"messages": [user("x" * 201)]}, 422, "the question has 201 characters; at most 200 are allowed", "question"),
        ({"messages": [user("a")], "read_tokens": 3}, 422, "read_tokens must be from 50 to 1,000.", "read_tokens"),
        ({}, 422, "messages is missing; it is required.", "messages"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_a_problem_and_an_error_of_that_api(
    client: TestClient, body: object, status: int, message: str, field: str
) -> None:
    response = client.post(PATH, json=body)
    problem = response.json()
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    assert problem["error"]["message"] == problem["detail"]
    assert message in problem["detail"]
    assert len(problem["errors"]) == 1
    assert (problem["error"]["type"], problem["error"]["param"]) == ("invalid_request_error", field)


def test_other_routes_have_no_such_error(client: TestClient) -> None:
    assert "error" not in client.post("/v1/ask", json={}).json()


def test_a_model_is_a_collection_that_the_key_may_ask() -> None:
    (both, all_), (hr_secret, hr) = new_key("ann", "ask"), new_key("bob", "ask", ["hr"])
    services = [FakeService(), FakeService()]
    for service, name in zip(services, ("hr", "it"), strict=True):
        service.current = replace(READY, index=name)
        service.answer = ANSWER
    options = Options(keys=parse_keys(f"{all_},{hr}"))
    app = create_app(services[0], options=options, others=[Offered(services[1])])
    client = TestClient(app, headers={"Authorization": f"Bearer {both}"})
    assert [each["id"] for each in client.get("/v1/models").json()["data"]] == ["hr", "it"]
    sent = {"model": "it", "messages": [user(QUESTION)]}
    reply = client.post(PATH, json=sent).json()
    assert (len(services[0].asked), len(services[1].asked), reply["model"]) == (0, 1, "it")
    assert "/collections/it/documents/" in reply["choices"][0]["message"]["annotations"][0]["url_citation"]["url"]
    assert client.post("/v1/collections/hr/chat/completions", json=sent).status_code == 404
    refused = TestClient(app).post(PATH, json=sent)
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "unauthorized")
    of_one = TestClient(app, headers={"Authorization": f"Bearer {hr_secret}"})
    assert [each["id"] for each in of_one.get("/v1/models").json()["data"]] == ["hr"]
    assert of_one.get("/v1/models/it").json()["error"]["code"] == "model-not-found"
    assert of_one.post(PATH, json=sent).status_code == 404


def test_a_conversation_has_so_many_messages(service: FakeService) -> None:
    client = TestClient(create_app(service))
    assert chat(client, *[user("ferry?")] * 1000).status_code == 200
    response = chat(client, *[user("ferry?")] * 1001)
    assert (response.status_code, response.json()["detail"]) == (422, "messages may hold at most 1,000.")


def test_a_conversation_is_never_looked_through_on_the_event_loop(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(*arguments: Any) -> Query:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        return make_query(*arguments)

    monkeypatch.setattr("qa.web.api.chat.make_query", look)
    assert chat(TestClient(create_app(service)), user(QUESTION)).status_code == 200


def test_no_answer_is_looked_for_in_megabytes() -> None:
    assert read_answer("\\*" * 1_000_000) == ""
    assert read_answer("noon\n" + "x" * 1_000_000) == "noon"
