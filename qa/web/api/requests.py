"""The shapes of requests. The limits of the running service are checked by the service itself."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence, Set
from functools import cache
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError
from starlette.requests import Request

from qa.search.filters import parse_filter
from qa.types import CitationClaim, Condition, Mode, Query, Turn
from qa.web.api import examples
from qa.web.api.filters import FilterNode, FilterTexts
from qa.web.handlers import parse_json
from qa.web.problems import FieldError, Problem, ProblemError, explain, few, invalid

# For the OpenAPI document only.
NO_NUL: JsonDict = {"pattern": r"^[^\u0000]*$"}
NOT_BLANK: JsonDict = {"pattern": r"^[^\u0000]*\S[^\u0000]*$"}

MOST_LISTED = 1000
# Values of a body, by the commas in it: parsing lets no other thread run, 0.1 s for a million bytes of nothing else. A
# full batch with all its patterns has half as many, and texts have one for fifty characters.
_MOST_VALUES = 100_000

Glob = Annotated[str, Field(min_length=1, max_length=1024, json_schema_extra=NO_NUL)]


def _parse_whole(value: object) -> object:
    # JSON has no integers: some languages write 5 as 5.0.
    return int(value) if isinstance(value, float) and value.is_integer() else value


TopK = Annotated[int, BeforeValidator(_parse_whole), Field(description="How many passages to return, best first.")]
SearchMode = Annotated[
    Mode,
    Field(
        description="How to search. `dense` compares embeddings by cosine, `lexical` words by BM25, `hybrid` does both."
    ),
]
WantsAnswer = Annotated[
    bool, Field(description="Whether to read the passages for an answer. False returns the passages alone, sooner.")
]
MaxError = Annotated[
    float | None,
    Field(
        description="How often an answer may be wrong, above 0 and below 1; what is less sure is a guess. By default "
        "the server decides.",
        json_schema_extra={"exclusiveMinimum": 0, "exclusiveMaximum": 1},
    ),
]
Rerank = Annotated[
    bool,
    Field(description="Whether a cross-encoder re-orders the first passages. Refused where the service has none."),
]
Sections = Annotated[
    list[Glob],
    Field(max_length=100, description="Search only below headings that match one of these patterns. None means all."),
]
Globs = Annotated[
    list[Glob],
    Field(
        max_length=100,
        description="Search only documents whose id matches one of these patterns, such as `reports/*.txt`. "
        "None means all.",
    ),
]


Collections = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=100, json_schema_extra=NO_NUL)]],
    Field(
        max_length=100,
        description="Ask these collections together, by name; `*` is all that the key may ask. None means the one of "
        "the address.",
    ),
]


ReadTokens = Annotated[
    int | None,
    BeforeValidator(_parse_whole),
    Field(
        description="How many tokens of the passages found are read for the answer, at least 50: more find a few more "
        "answers, and take longer. By default the server decides."
    ),
]
_Text = Annotated[str, Field(json_schema_extra=NO_NUL)]


class TurnBody(BaseModel):
    """A question that was asked before, and the text that answered it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    question: str = Field(description="The question as it was asked.", json_schema_extra=NO_NUL)
    answer: str = Field(default="", description="The text that answered it, if any.", json_schema_extra=NO_NUL)


PREVIOUS = (
    "What was asked before, the oldest first. A question that leans on it, such as `and in 2023?`, is searched for as "
    "one that stands alone, which `searched` says; any other is not changed."
)
Previous = Annotated[list[_Text | TurnBody], Field(max_length=100, description=PREVIOUS)]
PreviousQuestions = Annotated[list[_Text], Field(max_length=100, description=PREVIOUS)]


class AskRequest(BaseModel):
    """One question and how to search for it."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [examples.ASK]})

    question: str = Field(description="The question, in plain language.", json_schema_extra=NOT_BLANK)
    top_k: TopK = 5
    mode: SearchMode = "hybrid"
    rerank: Rerank = False
    answer: WantsAnswer = True
    max_error: MaxError = None
    documents: Globs = []
    sections: Sections = []
    filter: FilterNode | None = None
    collections: Collections = []
    read_tokens: ReadTokens = None
    previous: Previous = []

    def query(self) -> Query:
        """Build the query."""
        turns = [Turn(each) if isinstance(each, str) else Turn(each.question, each.answer) for each in self.previous]
        filter = self.filter.conditions() if self.filter is not None else ()
        return _build_query(self, self.question, filter, turns)


Body = TypeVar("Body", bound=BaseModel)


def read(shape: type[Body], data: bytes) -> Body:
    """Read a request body, off the event loop: a hostile one takes long.

    Raises:
        ProblemError: it is no JSON, or not of this shape.
    """
    known = list(shape.model_fields)
    if (values_about := data.count(b",")) > _MOST_VALUES:
        detail = f"The request body holds about {values_about:,} values; at most {_MOST_VALUES:,} are allowed."
        raise ProblemError(Problem("invalid-request", 422, detail))
    values = parse_json(data, known)
    try:
        return shape.model_validate(few(values, known) if isinstance(values, dict) else values)
    except ValidationError as error:
        raise ProblemError(invalid(explain(error.errors(), known))) from None


class AskParameters(BaseModel):
    """The same as parameters of an address."""

    model_config = ConfigDict(extra="forbid")

    q: str = Field(
        description="The question, in plain language.", examples=[examples.ASK["question"]], json_schema_extra=NOT_BLANK
    )
    top_k: TopK = 5
    mode: SearchMode = "hybrid"
    rerank: Rerank = False
    answer: WantsAnswer = True
    max_error: MaxError = None
    documents: Globs = []
    sections: Sections = []
    filter: FilterTexts = []
    collections: Collections = []
    read_tokens: ReadTokens = None
    previous: PreviousQuestions = []
    previous_answer: str = Field(
        default="", description="The text that answered the last of `previous`.", json_schema_extra=NO_NUL
    )

    def query(self) -> Query:
        """Build the query."""
        turns = [Turn(question) for question in self.previous]
        if turns:
            turns[-1] = Turn(self.previous[-1], self.previous_answer)
        return _build_query(self, self.q, parse_filter(self.filter), turns)


@cache
def _lists(shape: type[BaseModel]) -> frozenset[str]:
    """Return the names of the parameters that may be repeated."""
    return frozenset(name for name, field in shape.model_fields.items() if field.get_default() == [])


def read_parameters(shape: type[Body], request: Request) -> Body:
    """Read the parameters of an address.

    Raises:
        ProblemError: they are not of this shape, or one is repeated that may not be.
    """
    lists, known, values = _lists(shape), list(shape.model_fields), dict[str, Any]()
    given = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    _require_once([name for name, _ in given], _single(shape))
    for name, value in given:
        if name in lists:
            values.setdefault(name, []).append(value)
        else:
            values[name] = value
    try:
        return shape.model_validate(few(values, known))
    except ValidationError as error:
        raise ProblemError(invalid(explain(error.errors(), known))) from None


async def require_once(request: Request) -> None:
    """Refuse an address in which a parameter of its route stands twice that is no list. Raises ProblemError."""
    names = [name for name, _ in request.query_params.multi_items()]
    if len(set(names)) < len(names):
        for each in request.scope["route"].dependant.query_params:
            shape = each.field_info.annotation
            is_shape = inspect.isclass(shape) and issubclass(shape, BaseModel)
            # No parameter that stands by itself is a list.
            _require_once(names, _single(shape) if is_shape else {each.alias})


def _single(shape: type[BaseModel]) -> Set[str]:
    """Return the names of the parameters that may not be repeated."""
    return shape.model_fields.keys() - _lists(shape)


def _require_once(names: Sequence[str], single: Set[str]) -> None:
    """Raise ProblemError for the parameters that stand twice and are no lists: one would count unsaid."""
    if wrong := repeated(names, single):
        raise ProblemError(invalid(wrong))


def repeated(names: Sequence[str], single: Set[str]) -> tuple[FieldError, ...]:
    """Return what is wrong with the names of an address's parameters, of which those of ``single`` may stand once."""
    if len(set(names)) == len(names):
        return ()
    twice = [name for name in dict.fromkeys(names) if name in single and names.count(name) > 1]
    return tuple(FieldError(name, f"{name} is given more than once.") for name in twice)


def _build_query(
    asked: AskRequest | AskParameters, question: str, filter: tuple[Condition, ...], previous: Sequence[Turn]
) -> Query:
    return Query(
        question,
        asked.top_k,
        tuple(asked.documents),
        tuple(asked.sections),
        asked.mode,
        asked.rerank,
        asked.answer,
        asked.max_error,
        filter,
        tuple(dict.fromkeys(asked.collections)),
        asked.read_tokens,
        tuple(previous),
    )


def _parse_sha256(value: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", value):
        raise PydanticCustomError("no_sha256", "not 64 hexadecimal digits")
    return value.lower()


Sha256 = Annotated[str, AfterValidator(_parse_sha256), Field(json_schema_extra={"pattern": "^[0-9a-fA-F]{64}$"})]


class VerifyParameters(BaseModel):
    """A citation, as an answer gave it."""

    model_config = ConfigDict(extra="forbid")

    start: int = Field(description="Where the span starts, in Unicode code points of the canonical text, from 0.")
    end: int = Field(description="Where it ends, exclusive.")
    sha256: Sha256 = Field(description="The citation's `sha256`: of the source's bytes as they were indexed.")
    text_sha256: Sha256 | None = Field(
        default=None,
        description="The citation's `text_sha256`. With it, a change in how the source was read is noticed.",
    )
    snapshot: str | None = Field(
        default=None, max_length=100, description="Check against this snapshot instead of the current one."
    )

    def claim(self, document: str) -> CitationClaim:
        """Build the claim that ``document`` holds this citation."""
        return CitationClaim(document, self.start, self.end, self.sha256, self.text_sha256)


class ListParameters(BaseModel):
    """Which part of a list."""

    model_config = ConfigDict(extra="forbid")

    offset: int = Field(default=0, ge=0, le=10**9, description="How many to leave out from the beginning.")
    limit: int = Field(default=MOST_LISTED, ge=1, le=MOST_LISTED, description="How many to list at most.")
    filter: FilterTexts = []


class BatchRequest(BaseModel):
    """Many questions. Each is a request of its own, or a plain string, which takes all the defaults."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [examples.BATCH]})

    # Each item is validated by itself, so that a wrong one does not fail the batch.
    questions: list[Annotated[object, WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}]})]]


def body_of(shape: type[BaseModel]) -> dict[str, Any]:
    """Describe a request body of this shape for the OpenAPI document; :func:`describe` adds the shape itself."""
    return {
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{shape.__name__}"}}},
        "required": True,
    }


def describe(shape: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON schemas of a shape and of those that it holds, as components of the OpenAPI document, by name."""
    schema = shape.model_json_schema(ref_template="#/components/schemas/{model}")
    held: dict[str, Any] = schema.pop("$defs", {})
    return {**held, shape.__name__: schema}
