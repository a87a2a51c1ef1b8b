"""One question, by body and by address."""

from __future__ import annotations

from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from qa.types import Query
from tests.support.fake_service import ANSWER, ATTACHMENT, DOCUMENTS, MAILBOX, NOON, SCRIPT, FakeService


def test_response_has_the_designed_shape(client: TestClient) -> None:
    response = client.post("/v1/ask", json={"question": "When does the ferry leave?", "top_k": 1})
    assert response.status_code == 200
    body = response.json()
    (passage,) = body.pop("passages")
    assert body == {
        "question": "When does the ferry leave?",
        "searched": None,
        "answer": None,
        "legs": [],
        "snapshot": "20260401T120000.000Z-5a7b4a42",
        "timings_ms": {"encode": 1.25, "search": 0.5, "total": 1.75},
        "collections": [],
    }
    assert set(passage) == {
        "rank", "id", "text", "document", "start", "end", "page", "recognised", "section", "metadata", "scores",
        "highlights",
    }  # fmt: skip
    assert passage["document"] == {
        "id": "notes/ferry <i>.txt",
        "title": "Ferry & <em>tickets</em>",
        "collection": None,
    }
    assert set(passage["scores"]) == {"dense", "lexical", "fused", "rerank", "relevance"}
    assert passage["scores"]["lexical"] is None
    assert (passage["rank"], passage["page"], passage["section"]) == (1, 1, "Crossing the bay")


@pytest.mark.parametrize("question", ["When does the ferry leave?", "متى تفتح المكتبة أبوابها"])
def test_every_passage_is_the_span_that_it_says(client: TestClient, question: str) -> None:
    for passage in client.post("/v1/ask", json={"question": question}).json()["passages"]:
        text = client.get(f"/v1/documents/{passage['document']['id']}").json()["text"]
        assert text[passage["start"] : passage["end"]] == passage["text"]


def test_address_asks_the_same(client: TestClient) -> None:
    by_body = client.post("/v1/ask", json={"question": "ferry?", "top_k": 2, "documents": ["notes/*", "*.txt"]})
    by_address = client.get("/v1/ask", params={"q": "ferry?", "top_k": 2, "documents": ["notes/*", "*.txt"]})
    assert by_address.json() == by_body.json()


def test_defaults(client: TestClient, service: FakeService) -> None:
    client.post("/v1/ask", json={"question": "ferry?"})
    client.get("/v1/ask?q=ferry?")
    assert service.asked == [Query("ferry?", top_k=5, documents=())] * 2


def test_question_is_asked_as_it_was_written(client: TestClient, service: FakeService) -> None:
    client.post("/v1/ask", json={"question": "  ferry\n?", "mode": "dense"})
    assert service.asked[0].question == "  ferry\n?"


def test_a_whole_number_may_have_a_point(client: TestClient, service: FakeService) -> None:
    assert client.post("/v1/ask", json={"question": "ferry?", "top_k": 2.0}).status_code == 200
    assert service.asked[0].top_k == 2


def test_documents_narrow_the_search(client: TestClient) -> None:
    body = client.post("/v1/ask", json={"question": "ferry", "documents": ["مكتبة*"]}).json()
    assert {passage["document"]["id"] for passage in body["passages"]} == {"مكتبة.txt"}


def test_limits_are_inclusive(client: TestClient, service: FakeService) -> None:
    largest = {"question": "q" * service.limits.question_chars, "top_k": service.limits.top_k}
    assert client.post("/v1/ask", json=largest).status_code == 200


def test_head_is_get_without_the_body(client: TestClient) -> None:
    get, head = client.get("/v1/ask?q=ferry"), client.head("/v1/ask?q=ferry")
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["content-length"] == get.headers["content-length"]


def test_document_has_its_canonical_text(client: TestClient) -> None:
    for id, document in DOCUMENTS.items():
        body = client.get(f"/v1/documents/{id}").json()
        assert (body["id"], body["text"]) == (id, document.text)
        assert body["source_sha256"] == document.source_sha256
    body = client.get("/v1/documents/notes/ferry%20%3Ci%3E.txt").json()
    assert body["sections"][1] == {"title": "Tickets", "level": 1, "start": 158, "body": 166, "end": len(body["text"])}
    assert body["pages"] == [{"number": 1, "start": 0, "end": len(body["text"]), "recognised": None}]


def test_a_document_says_what_its_file_says_of_itself_and_of_its_parts(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for document in (MAILBOX, ATTACHMENT):
        monkeypatch.setitem(DOCUMENTS, document.id, document)
    body = client.get("/v1/documents/box.mbox").json()
    assert body["metadata"] == {"author": ["<b>Ann</b>"]}
    assert body["parts"] == [
        {"start": 0, "end": 25, "metadata": {"sender": ["Ann <ann@x.org>"], "sent": ["2024-05-06T08:00:00Z"]}},
        {"start": 25, "end": 57, "metadata": {"sender": ["Bob <bob@x.org>"]}},
    ]
    assert (body["language"], body["container"], len(body["attachments"])) == ("en", None, 2)
    assert client.get(f"/v1/documents/{ATTACHMENT.id}").json()["container"] == "box.mbox"
    listed = {each["id"]: each for each in client.get("/v1/documents").json()["documents"]}
    assert listed["box.mbox"]["metadata"] == {"author": ["<b>Ann</b>"]}
    assert (listed[ATTACHMENT.id]["container"], listed["box.mbox"]["container"]) == ("box.mbox", None)


def test_documents_are_listed_with_the_report(client: TestClient) -> None:
    body = client.get("/v1/documents").json()
    assert body["snapshot"] == "20260401T120000.000Z-5a7b4a42"
    assert [document["id"] for document in body["documents"]] == list(DOCUMENTS)
    assert body["report"][-1]["status"] == "failed"
    assert body["report"][-1]["reason"] == "no text in it"


def test_ready_says_what_is_served(client: TestClient) -> None:
    body = client.get("/readyz").json()
    assert (body["status"], body["index"], body["documents"], body["passages"]) == ("ready", "harbour", 2, 6)


def test_health_does_not_wait_for_readiness(client: TestClient, service: FakeService) -> None:
    service.failure = RuntimeError("nothing works")
    assert client.get("/healthz").json() == {"status": "up"}


def test_a_sure_answer_has_its_text_and_its_sentence(client: TestClient, service: FakeService) -> None:
    service.answer = ANSWER
    answer = client.get("/v1/ask?q=ferry").json()["answer"]
    assert (answer["outcome"], answer["answerable"], answer["guess"]) == ("answered", True, None)
    assert answer["text"] == SCRIPT[answer["citation"]["start"] : answer["citation"]["end"]] == "noon"
    sentence = answer["sentence"]
    assert sentence["text"] == SCRIPT[sentence["start"] : sentence["end"]] == "The ferry leaves at noon"
    assert (answer["form"], answer["basis"]) == ("span", ANSWER.basis)
    assert [other["text"] for other in answer["alternatives"]] == ["ferry"]


def test_an_answer_that_is_not_sure_is_a_guess_and_no_answer(client: TestClient, service: FakeService) -> None:
    service.answer = replace(ANSWER, outcome="unsure", confidence=0.4)
    answer = client.get("/v1/ask?q=ferry").json()["answer"]
    assert (answer["outcome"], answer["answerable"]) == ("unsure", False)
    assert (answer["text"], answer["citation"], answer["sentence"], answer["alternatives"]) == (None, None, None, [])
    guess = answer["guess"]
    assert (guess["text"], guess["confidence"], guess["form"]) == ("noon", 0.4, "span")
    assert (guess["citation"]["start"], guess["sentence"]["text"]) == (NOON, "The ferry leaves at noon")


def test_where_nothing_is_found_there_is_neither(client: TestClient, service: FakeService) -> None:
    service.answer = replace(ANSWER, outcome="not_found", confidence=0.1, unread_files=3)
    answer = client.get("/v1/ask?q=ferry").json()["answer"]
    assert (answer["outcome"], answer["text"], answer["guess"]) == ("not_found", None, None)
    assert answer["unread_files"] == 3


def test_a_request_says_whether_to_answer_and_how_wrong_that_may_be(client: TestClient, service: FakeService) -> None:
    body = {"question": "ferry", "answer": False, "max_error": 0.1}
    assert client.post("/v1/ask", json=body).status_code == 200
    assert client.get("/v1/ask?q=ferry&answer=false&max_error=0.1").status_code == 200
    assert service.asked[0] == Query("ferry", answer=False, max_error=0.1)
    assert set(service.asked) == {service.asked[0]}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"max_error": 0}, "max_error must be above 0 and below 1, such as 0.2."),
        ({"max_error": 1.5}, "max_error must be above 0 and below 1, such as 0.2."),
        ({"max_error": "much"}, "max_error must be a number, such as 0.2."),
        ({"answer": "yes"}, "answer must be true or false."),
    ],
)
def test_a_wrong_way_of_answering_is_named(client: TestClient, wrong: dict[str, object], message: str) -> None:
    response = client.post("/v1/ask", json={"question": "ferry", **wrong})
    assert (response.status_code, response.json()["detail"]) == (422, message)


def test_a_question_that_leans_on_another_says_what_was_searched(client: TestClient, service: FakeService) -> None:
    first = "When does the ferry leave?"
    by_text = client.post("/v1/ask", json={"question": "Why?", "previous": [first]}).json()
    with_answer = client.post("/v1/ask", json={"question": "Why?", "previous": [{"question": first, "answer": "noon"}]})
    by_address = client.get("/v1/ask", params={"q": "Why?", "previous": first, "previous_answer": "noon"}).json()
    batch = client.post("/v1/ask/batch", json={"questions": [{"question": "Why?", "previous": [first]}]}).json()
    found = [by_text, with_answer.json(), by_address, batch["results"][0]["response"]]
    assert {each["searched"] for each in found} == {"Why does the ferry leave?"}
    assert {each["question"] for each in found} == {"Why?"}
    answers = [query.previous[0].answer for query in service.asked]
    assert answers == ["", "noon", "noon", ""]


def test_a_parameter_that_is_no_list_may_not_be_repeated(client: TestClient, service: FakeService) -> None:
    reply = client.get("/v1/ask?q=ferry?&q=boat?&top_k=3&top_k=4&documents=a&documents=b")
    assert reply.status_code == 422
    assert reply.json()["detail"] == "q is given more than once. top_k is given more than once."
    assert [error["field"] for error in reply.json()["errors"]] == ["q", "top_k"]
    assert service.asked == []


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("/v1/documents?limit=1&limit=2", "limit"),
        ("/v1/documents/ferry.txt/verify?start=0&end=4&start=1", "start"),
    ],
    ids=["documents", "verify"],
)
def test_nor_may_one_of_another_address(client: TestClient, address: str, name: str) -> None:
    reply = client.get(address)
    assert (reply.status_code, reply.json()["detail"]) == (422, f"{name} is given more than once.")


@pytest.mark.parametrize("address", ["/v1/ask?q=ferry&=x", "/v1/documents?=x"])
def test_a_parameter_without_a_name_is_not_called_a_body(client: TestClient, address: str) -> None:
    reply = client.get(address)
    assert reply.status_code == 422
    assert reply.json()["detail"].startswith("a name that is empty is not a known field. Known fields: ")


def test_a_request_says_how_much_is_read(client: TestClient, service: FakeService) -> None:
    client.post("/v1/ask", json={"question": "ferry?", "read_tokens": 500})
    client.get("/v1/ask?q=ferry?&read_tokens=500")
    client.post("/v1/ask/batch", json={"questions": [{"question": "ferry?", "read_tokens": 500}]})
    assert [query.read_tokens for query in service.asked] == [500] * 3


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"read_tokens": 20}, "read_tokens must be from 50 to 1,000."),
        ({"read_tokens": "many"}, "read_tokens must be a whole number."),
        ({"previous": ["a"] * 9}, "previous holds 9 questions; at most 8 are allowed; keep the last ones."),
        ({"previous": ["a" * 201]}, "previous[0] has 201 characters; at most 200 are allowed; shorten it."),
        ({"previous": ["\0"]}, "previous[0] holds a NUL character; remove it."),
        ({"previous": "Why?"}, "previous must be a list."),
    ],
)
def test_a_wrong_context_is_named(client: TestClient, wrong: dict[str, object], message: str) -> None:
    response = client.post("/v1/ask", json={"question": "ferry", **wrong})
    assert (response.status_code, response.json()["detail"]) == (422, message)
    assert response.json()["errors"][0]["field"].startswith(next(iter(wrong)))
