"""Filters: what passes is what a person would pick out by hand, in both legs and together; and each error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qa.build.update import update
from qa.errors import QueryError
from qa.index.bitmaps import numbers_in
from qa.index.field_writer import KINDS
from qa.index.schema import passage_key
from qa.index.snapshots import Snapshots
from qa.protocols import And
from qa.readers.registry import read_source
from qa.search.filters import parse_filter, write_filter
from qa.search.ranking import DOCUMENT_WEIGHT, fuse
from qa.search.retriever import Found, Retriever
from qa.service.service import Service
from qa.settings import Settings
from qa.text.dates import parse_date
from qa.types import Condition, Eq, Hit, In, Limits, Mode, Passage, Query, Range
from tests.conftest import Recorder, hashing_encoder
from tests.support.filed import write_files
from tests.support.hashing import HashingEncoder

BOILER = Query("Is the boiler cold, and who is on leave this month?", top_k=100)


@pytest.fixture(scope="module")
def filed(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Index the folder of files that say of themselves who wrote them, and return the settings of that index."""
    root = tmp_path_factory.mktemp("filed")
    settings = Settings(indexes=root / "indexes", name="filed")
    update(settings, (write_files(root / "files"),), Recorder(), make=hashing_encoder, read=read_source)
    return settings


@pytest.fixture(scope="module")
def asked(filed: Settings) -> Iterator[Service]:
    service = Service(filed, make=hashing_encoder)
    service.reload()
    yield service
    service.close()


@pytest.fixture(scope="module")
def retriever(filed: Settings) -> Retriever:
    return Retriever(Snapshots(filed.indexes, filed.name).open(), HashingEncoder(), Limits(2000, 100, 100))


def found(service: Service, *texts: str) -> set[str]:
    """Ask with a filter, and return the documents of the passages, a mail of the mailbox by its number."""
    hits = service.ask(replace(BOILER, filter=parse_filter(texts))).hits
    mails = sorted({hit.passage.start for hit in service.ask(replace(BOILER, documents=("mail/*",))).hits})
    return {
        f"{hit.passage.document} {mails.index(hit.passage.start)}"
        if hit.passage.document.endswith(".mbox")
        else hit.passage.document
        for hit in hits
    }


LEAVE, PAY, HEAT, KESSEL = "hr/leave.html", "hr/policies/pay.html", "it/boiler.html", "it/kessel.html"
FIRST, SECOND, THIRD = (f"mail/box.mbox {number}" for number in range(3))


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        (["folder=hr"], {LEAVE, PAY, "hr/notes.md"}),
        (["folder=hr/policies"], {PAY}),
        (["folder=h"], set()),
        (["type=md"], {"hr/notes.md"}),
        (["type=md", "type=TXT"], {"hr/notes.md", "readme.txt"}),
        (["language=de"], {KESSEL}),
        (["title=pay"], {PAY}),
        # A person is found however they are written, and beside others.
        (["author=bo li"], {PAY, HEAT}),
        (["author=CAFE\u0301 mu\u0308ller"], {KESSEL}),
        (["author=bo li", "author=café müller"], {PAY, HEAT, KESSEL}),
        (["author=Li"], set()),
        (["folder=it", "author=bo li"], {HEAT}),
        # Only a mail that is from her, and not the whole mailbox.
        (["sender=Anna Ek <anna@example.org>"], {FIRST, THIRD}),
        (["sender=Anna Ek <anna@example.org>", "sent>=2024-06"], {THIRD}),
        # In UTC, which the mail of New Year's morning is not.
        (["sent=2024-12-31"], {THIRD}),
        (["date=2025"], set()),
        # A page is as old as its last change, and one that names a year is of that year alone.
        (["date>=2024"], {LEAVE, HEAT, FIRST, SECOND, THIRD}),
        (["date>=2024-06-01"], {HEAT, THIRD}),
        (["date<=2023"], {PAY, KESSEL}),
        (["date<=2023-06"], {KESSEL}),
        (["date>=2024-05-07", "date<=2024-05-07T09:00Z"], {SECOND}),
        (["created=2024-05", "created=2019"], {LEAVE, HEAT}),
        (["created=2023-01-01"], {KESSEL}),
        ([], {LEAVE, PAY, HEAT, KESSEL, FIRST, SECOND, THIRD, "hr/notes.md", "readme.txt"}),
    ],
)
def test_what_passes_is_what_says_so_of_itself(asked: Service, filter: list[str], expected: set[str]) -> None:
    assert found(asked, *filter) == expected
    # The list of documents shows a mailbox of which a mail passes.
    documents = asked.listing(0, -1, filter=parse_filter(filter)).documents
    assert {each.id for each in documents} == {each.partition(" ")[0] for each in expected}


def test_globs_and_filters_together_let_pass_what_both_do(asked: Service) -> None:
    query = replace(BOILER, documents=("it/*",), filter=(Eq("author", "Bo Li"),))
    assert {hit.passage.document for hit in asked.ask(query).hits} == {HEAT}
    assert not asked.ask(replace(query, documents=("mail/*",))).hits
    listed = asked.listing(0, -1, ("hr/*",), (Eq("author", "Bo Li"),))
    assert [each.id for each in listed.documents] == [PAY]
    below = replace(BOILER, sections=("Later",), filter=(Eq("folder", "hr"),))
    assert [hit.passage.section for hit in asked.ask(below).hits] == ["Later"]


def test_where_nothing_passes_nothing_is_found_and_the_reply_says_why(asked: Service) -> None:
    for mode in ("hybrid", "dense", "lexical"):
        reply = asked.ask(replace(BOILER, mode=mode, filter=(Eq("author", "Nobody"),)))
        assert reply.hits == ()
        assert reply.answer is not None
        assert reply.answer.outcome == "not_found"
        assert {(leg.used, leg.reason) for leg in reply.legs} == {(False, "no passage passes the filter")}


def test_nothing_is_read_but_what_passes(asked: Service) -> None:
    question = "When is the boiler serviced?"
    everywhere = asked.ask(Query(question)).answer
    limited = asked.ask(Query(question, filter=(Eq("language", "de"),))).answer
    assert everywhere is not None
    assert everywhere.citation is not None
    assert everywhere.citation.document == HEAT
    assert limited is not None
    assert limited.citation is None or limited.citation.document == KESSEL


_VALUES = {
    "folder": ["hr", "HR/policies", "it", "mail", "x"],
    "type": ["html", "md", "mbox"],
    "language": ["en", "de", "fr"],
    "title": ["Leave", "the boiler"],
    "author": ["anna ek", "BO LI", "Nobody"],
    "sender": ["Anna Ek <anna@example.org>", "Bo Li <bo@example.org>"],
    "keyword": ["leave", "heizung"],
    "date": (dates := ["2019", "2023", "2024", "2024-05", "2024-05-07", "2024-12-31T23:30Z"]),
    **{"sent": dates, "created": dates, "modified": dates},
}


def _conditions(field: str) -> st.SearchStrategy[Condition]:
    values = st.sampled_from(_VALUES[field])
    either: st.SearchStrategy[Condition] = st.one_of(
        values.map(lambda value: Eq(field, value)),
        st.lists(values, min_size=1, max_size=3, unique=True).map(lambda several: In(field, tuple(several))),
    )
    ends = st.tuples(st.none() | values, st.none() | values).filter(any)
    ranges = ends.map(lambda pair: Range(field, *pair))
    return either | ranges if KINDS[field] == "date" else either


FILTERS = st.lists(st.sampled_from(list(_VALUES)).flatmap(_conditions), min_size=1, max_size=3).map(tuple)


def _said(retriever: Retriever, passage: Passage) -> dict[str, list[str]]:
    """Collect field by field what a passage's document and part say, as a person would from what is shown of them."""
    store = retriever.index.store
    (document,) = (each for each in store.summaries() if each.id == passage.document)
    said: dict[str, list[str]] = {}
    for name, value in store.metadata_at(passage.document, passage.start):
        said.setdefault(name, []).append(value)
    folders = passage.document.split("/")[:-1]
    said["folder"] = ["/".join(folders[: count + 1]) for count in range(len(folders))]
    said |= {"type": [passage.document.rpartition(".")[2]], "language": [document.language], "title": [document.title]}
    said["date"] = next((said[name] for name in ("sent", "modified", "created") if name in said), [])
    return said


def _passes(said: dict[str, list[str]], condition: Condition) -> bool:
    values = said.get(condition.column, [])
    wanted = [condition.value] if isinstance(condition, Eq) else condition.values if isinstance(condition, In) else ()
    if KINDS[condition.column] != "date":
        return any(value.casefold() == other.casefold() for value in values for other in wanted)
    ranges = [(condition.low, condition.high)] if isinstance(condition, Range) else [(each, each) for each in wanted]
    return any(_lies_within(value, low, high) for value in values for low, high in ranges)


def _lies_within(value: str, low: str | None, high: str | None) -> bool:
    spans = [parse_date(each) for each in (value, low or "0001", high or "9999")]
    first, least, most = (span for span in spans if span is not None)
    return least[0] <= first[0] and first[1] <= most[1]


@given(filter=FILTERS, mode=st.sampled_from(["hybrid", "dense", "lexical"]), globs=st.booleans())
def test_a_filtered_search_is_the_exact_search_of_what_passes(
    retriever: Retriever, filter: tuple[Condition, ...], mode: Mode, globs: bool
) -> None:
    documents = ("*.html",) if globs else ()
    index = retriever.index
    every = {passage_key(passage.id): passage for passage in index.store.all_passages()}
    passing = {
        key
        for key, passage in every.items()
        if all(_passes(_said(retriever, passage), condition) for condition in filter)
        and (not globs or passage.document.endswith(".html"))
    }
    query = replace(BOILER, mode=mode, documents=documents, filter=filter, answer=False)
    (limited, whole) = retriever.find([query, replace(query, documents=(), filter=())], depth=100)
    assert isinstance(limited, Found)
    assert isinstance(whole, Found)
    exact = [hit for hit in whole.hits if passage_key(hit.passage.id) in passing]
    assert {hit.passage.id: _raw(hit) for hit in limited.hits} == {hit.passage.id: _raw(hit) for hit in exact}
    if mode != "hybrid":
        assert [hit.passage.id for hit in limited.hits] == [hit.passage.id for hit in exact]
    elif limited.hits and limited.vector is not None and limited.hits[0].scores.fused is not None:
        assert [hit.passage.id for hit in limited.hits] == _fused_order(retriever, limited.vector, exact)


def _raw(hit: Hit) -> tuple[float | None, float | None]:
    # A leg in which nothing that passes has a word takes no part, which is a score of 0.
    return hit.scores.dense, hit.scores.lexical or None


def _fused_order(retriever: Retriever, vector: np.ndarray, hits: list[Hit]) -> list[str]:
    """Order passages by the formula of the fusion, whose best BM25 is that of what passes."""
    whole = []
    for hit in hits:
        numbers = {id: number for number, id, *_ in retriever.index.store.filed()}
        windows = retriever.index.relations.windows_in(numbers[hit.passage.document])
        mean = retriever.index.vectors.rows(windows).mean(axis=0)
        whole.append(float(mean @ vector / np.linalg.norm(mean)))
    dense = np.array([hit.scores.dense for hit in hits], np.float32)
    cosines = (1 - DOCUMENT_WEIGHT) * dense + DOCUMENT_WEIGHT * np.array(whole, np.float32)
    fused = fuse(cosines.astype(np.float32), np.array([hit.scores.lexical or 0.0 for hit in hits], np.float32))
    keys = [passage_key(hit.passage.id) for hit in hits]
    return [hits[at].passage.id for at in np.lexsort((np.array(keys), -np.round(fused, 6)))]


@pytest.mark.parametrize("few", [0, 28])
def test_words_are_searched_exactly_in_named_documents_and_by_hits_alike(
    retriever: Retriever, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qa.index.fields._FEW", few)
    fields = Retriever(retriever.index, HashingEncoder(), Limits(2000, 100, 100)).fields
    lexical = retriever.index.lexical
    terms = lexical.question_terms(BOILER.question)
    keys, scores = lexical.search(terms, 100)
    for texts in (
        ["folder=it"],
        ["author=Bo Li"],
        ["date>=2024"],
        ["author=Nobody"],
        ["type=html", "type=md"],
        ["sent>=2024-12"],
    ):
        vectors, filters = fields.limits(parse_filter(texts))
        passing = set(retriever.index.relations.passages_of(vectors.ids[numbers_in(vectors.bits)]).tolist())
        for k in (1, 2, 100):
            for filter in (And(filters), And((And(filters), And(())))):
                some, their = lexical.search(terms, k, filter)
                expected = [(key, score) for key, score in zip(keys.tolist(), scores, strict=True) if key in passing]
                assert list(zip(some.tolist(), their, strict=True)) == expected[:k]


@pytest.mark.parametrize(
    ("filter", "message"),
    [
        (
            (Eq("autor", "Anna"),),
            r"filter: there is no field 'autor'; did you mean author\? Fields: folder, type, language, title, date, "
            r"author, created, modified, sender, recipient, sent, keyword, sheet$",
        ),
        ((Eq("x" * 50, "Anna"),), r"there is no field 'xxx.*'\. Fields: folder"),
        ((Eq("date", "yesterday"),), r"filter: 'yesterday' is no date for the field date; write 2024, 2024-05, "),
        ((Range("date", "2024-13"),), "'2024-13' is no date"),
        ((Range("sent", None, "2024-02-30"),), "'2024-02-30' is no date for the field sent"),
        ((In("created", ("2024", "-1")),), "'-1' is no date"),
        (
            (Range("author", "a", "b"),),
            "the field author has no order, so that >= and <= cannot be used; write author=",
        ),
        ((In("author", ()),), "'author' has no value"),
        ((Range("date"),), "'date' has no value"),
        ((Eq("author", "a"),) * 21, "filter has 21 conditions; at most 20 are allowed"),
        ((In("author", ("a",) * 201),), "filter has 201 values; at most 200 are allowed"),
        ((Eq("author", "a" * 1025),), "filter has 1,025 characters in one value; at most 1,024 are allowed"),
        ((In("author", ("a" * 1000,) * 11),), "filter has 11,006 characters; at most 10,000 are allowed"),
        ((Eq("folder", "a\udfff"),), "'folder' has a value with half of a surrogate pair"),
    ],
)
def test_a_wrong_filter_says_what_is_wrong_and_what_there_is(
    asked: Service, filter: tuple[Condition, ...], message: str
) -> None:
    calls: list[Callable[[], object]] = [
        lambda: asked.ask(replace(BOILER, filter=filter)),
        lambda: asked.listing(0, 10, filter=filter),
        lambda: asked.facets(filter),
    ]
    for call in calls:
        with pytest.raises(QueryError, match=message) as caught:
            call()
        assert caught.value.field == "filter"


def test_all_faults_of_a_filter_are_named_together(asked: Service) -> None:
    with pytest.raises(QueryError) as caught:
        asked.ask(replace(BOILER, filter=(Eq("x", "1"), Eq("date", "now"), Range("type", "a"))))
    assert [str(fault).partition(";")[0] for fault in caught.value.faults] == [
        "filter: there is no field 'x'. Fields: folder, type, language, title, date, author, created, modified, "
        "sender, recipient, sent, keyword, sheet",
        "filter: 'now' is no date for the field date",
        "filter: the field type has no order, so that >= and <= cannot be used",
    ]


def test_conditions_of_one_field_are_alternatives_and_ends_a_range() -> None:
    texts = ["type=pdf", " folder = hr/a=b ", "type=docx", "type=pdf", "date>=2024", "date<= 2024-06 "]
    conditions = parse_filter(texts)
    assert conditions == (In("type", ("pdf", "docx")), Eq("folder", "hr/a=b"), Range("date", "2024", "2024-06"))
    assert write_filter(conditions) == ["type=pdf", "type=docx", "folder=hr/a=b", "date>=2024", "date<=2024-06"]


@given(filter=FILTERS)
def test_what_is_written_is_read_again_as_it_was(filter: tuple[Condition, ...]) -> None:
    by_field: dict[str, list[Condition]] = {}
    for condition in filter:
        by_field.setdefault(condition.column, []).append(condition)
    once = tuple(conditions[0] for conditions in by_field.values())
    again = parse_filter(write_filter(once))
    assert write_filter(again) == write_filter(once)


@pytest.mark.parametrize("text", ["", "author", "=Anna", "author=", "author= ", ">=2024", "a<b", "  =  ", " " * 5000])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(QueryError, match=r"is no condition; write field=value, or field>=2024 and field<=2024"):
        parse_filter([text])


def test_two_beginnings_and_too_many_conditions_are_refused() -> None:
    with pytest.raises(QueryError, match="'date' has two conditions with >=; keep one"):
        parse_filter(["date>=2024", "date>=2023"])
    with pytest.raises(QueryError, match="filter has more than 200 values; shorten it"):
        parse_filter(["type=pdf"] * 201)


def test_facets_count_documents_and_show_what_else_could_be_chosen(asked: Service) -> None:
    counted = asked.facets()
    values = {facet.field: {each.value: each.documents for each in facet.values} for facet in counted.fields}
    assert counted.documents == 7
    assert values["folder"] == {"hr": 3, "it": 2, "hr/policies": 1, "mail": 1}
    assert values["language"] == {"en": 6, "de": 1}
    # One person however written, and each document once.
    assert values["author"] == {"Anna Ek": 2, "Bo Li": 2, "Café Müller": 1}
    # Years, the latest first.
    assert list(values["date"].items()) == [("2024", 3), ("2023", 2)]
    assert "sheet" not in values
    limited = asked.facets(parse_filter(["folder=it"]), most=2)
    found = {facet.field: {each.value: each.documents for each in facet.values} for facet in limited.fields}
    assert limited.documents == 2
    assert found["author"] == {"Bo Li": 1, "Café Müller": 1}
    # The other folders are counted as if none was chosen.
    assert found["folder"] == {"hr": 3, "it": 2}
    folder = next(facet for facet in limited.fields if facet.field == "folder")
    assert (folder.kind, folder.documents, folder.distinct) == ("folder", 6, 4)


def test_a_folder_in_which_there_is_one_folder_alone_is_not_offered_above_it(tmp_path: Path) -> None:
    deep = "/".join("abcdefghijklmnop")
    for name in (f"{deep}/one.txt", f"{deep}/two.txt", "hr/notes.txt", "hr/pay/pay.txt", "hr/pay/old/old.txt"):
        path = tmp_path / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"About {name}.\n")
    settings = Settings(indexes=tmp_path / "indexes", name="deep")
    update(settings, (tmp_path / "files",), Recorder(), make=hashing_encoder, read=read_source)
    service = Service(settings, make=hashing_encoder)
    service.reload()

    def offered(*filter: Condition) -> tuple[dict[str, int], int]:
        folder = next(each for each in service.facets(filter).fields if each.field == "folder")
        return {each.value: each.documents for each in folder.values}, folder.distinct

    assert offered() == ({"hr": 3, "hr/pay": 2, deep: 2, "hr/pay/old": 1}, 4)
    # What is left out can still be chosen, and what is offered does not depend on what else is chosen.
    assert service.facets((Eq("folder", "a/b"),)).documents == 2
    assert offered(Eq("type", "txt")) == offered()
    service.close()


def test_documents_without_passages_pass_by_what_they_say(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "a.txt").write_text("Apples are red.\n")
    (folder / "empty.html").write_text("<html><head><title>Nothing</title></head><body></body></html>")
    settings = Settings(indexes=tmp_path / "indexes", name="few")
    update(settings, (folder,), Recorder(), make=hashing_encoder, read=read_source)
    service = Service(settings, make=hashing_encoder)
    service.reload()
    listed = [each.id for each in service.listing(0, -1).documents]
    types = {
        each.value: each.documents
        for facet in service.facets().fields
        if facet.field == "type"
        for each in facet.values
    }
    assert sum(types.values()) == len(listed)
    assert [each.id for each in service.listing(0, -1, filter=(Eq("type", "txt"),)).documents] == ["a.txt"]
