"""A conversation as a question, and an answer as a message, in the shapes of the OpenAI API.

The last question of a conversation is asked, and those before it are what it may lean on. Nothing is generated: the
answer is quoted, with its source as an annotation. Everything else that a client sends is ignored, as these clients
send much that has no meaning here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from qa.markup import describe_confidence, safe_line
from qa.types import Citation, Hit, Query, Reply, Turn
from qa.web.api import examples, requests, responses
from qa.web.api.filters import FilterNode
from qa.web.problems import FieldError, ProblemError, invalid

# Messages of a conversation, and parts of one message.
MOST_MESSAGES = 1000
_MOST_PARTS = 100
# Characters of an answer that a later question may lean on.
_LONGEST_ANSWER = 100
# Characters of a message in which such an answer is looked for: each of its own may be escaped.
_LONGEST_MESSAGE = 1000
# Passages that are named where nothing was found.
_NEAREST = 3
# What no question may hold: NUL, and halves of surrogate pairs.
_UNSOUND = re.compile("[\\0\ud800-\udfff]")
_NO_TEXT = "The last message of the role user has no text, and images are not read; write the question as text."
_UNSURE = "I am not sure. The best guess: "
_NOT_FOUND = "The documents do not say: none of the passages that were read is about this."
_NO_ANSWER = "These passages match best:"


class ContentPart(BaseModel):
    """A part of a message. Only texts are read."""

    type: str = "text"
    text: str | None = None


class ChatMessage(BaseModel):
    """A message of the conversation. Those of ``user`` are questions, those of ``assistant`` their answers."""

    role: str
    content: str | Annotated[list[ContentPart], Field(max_length=_MOST_PARTS)] | None = None

    @property
    def text(self) -> str:
        """The text of the message; empty where it has none."""
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content if part.type == "text" and part.text)
        return self.content or ""


class StreamOptions(BaseModel):
    """What is sent in a stream beside the answer."""

    include_usage: bool | None = None


class ChatRequest(BaseModel):
    """A conversation. Fields of the OpenAI API that are not listed are ignored; the last five are of this service."""

    model_config = ConfigDict(extra="ignore", json_schema_extra={"examples": [examples.CHAT]})

    messages: list[ChatMessage] = Field(
        min_length=1, max_length=MOST_MESSAGES, description="The conversation. The last message of `user` is answered."
    )
    model: str | None = Field(default=None, description="The collection to ask; by default the first.")
    stream: bool | None = Field(default=None, description="Whether to send the answer as events, in one chunk.")
    stream_options: StreamOptions | None = None
    documents: requests.Globs = []
    sections: requests.Sections = []
    filter: FilterNode | None = None
    max_error: requests.MaxError = None
    read_tokens: requests.ReadTokens = None


class ModelBody(BaseModel):
    """A collection, as a model."""

    id: str = Field(description="The collection's name.")
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "qa"


class ModelsResponse(BaseModel):
    """The collections that may be asked."""

    object: Literal["list"] = "list"
    data: list[ModelBody]


class UrlCitation(BaseModel):
    """A source: ``start_index`` and ``end_index`` say which part of the message it is of."""

    start_index: int
    end_index: int
    url: str
    title: str


class Annotation(BaseModel):
    """What is said of a part of the message."""

    type: Literal["url_citation"] = "url_citation"
    url_citation: UrlCitation


class AnswerMessage(BaseModel):
    """The answer, in Markdown."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None
    annotations: list[Annotation]


class Choice(BaseModel):
    """The one answer that there is."""

    index: int = 0
    message: AnswerMessage
    logprobs: None = None
    finish_reason: Literal["stop"] = "stop"


class Usage(BaseModel):
    """Tokens of a language model: there is none."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class ChatResponse(BaseModel):
    """The answer in the shape of the OpenAI API, and in that of `POST /v1/ask` in `qa`."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int = Field(description="When it was answered, in seconds since 1970.")
    model: str
    choices: list[Choice]
    usage: Usage = Usage()
    system_fingerprint: str = Field(description="The snapshot that was asked.")
    qa: responses.AskResponse


def make_query(body: ChatRequest, longest: int, most: int) -> Query:
    """Make the query of a conversation: its last question, after those before it.

    Of these the last ``most`` count, and none of more than ``longest`` characters: a question does not become wrong by
    what was said before it. Raises ProblemError where there is no question.
    """
    # Questions with the last message that answered each.
    turns: list[tuple[str, str]] = []
    # Whether the last question could be blank by itself, and not because what it is made of is no text.
    has_text = True
    for message in body.messages:
        text = message.text
        if message.role == "user":
            has_text = isinstance(message.content, str) or bool(text)
            turns.append((text, ""))
        elif message.role == "assistant" and turns:
            turns[-1] = turns[-1][0], text
    if not turns:
        raise ProblemError(invalid((FieldError("messages", "messages holds no message of the role user."),)))
    if not has_text:
        raise ProblemError(invalid((FieldError("messages", _NO_TEXT, "question-empty"),)))
    *earlier, (last, _) = turns
    before = [(asked, said) for asked, said in earlier if asked.strip() and _is_sound(asked, longest)]
    return Query(
        last,
        documents=tuple(body.documents),
        sections=tuple(body.sections),
        max_error=body.max_error,
        filter=body.filter.conditions() if body.filter is not None else (),
        read_tokens=body.read_tokens,
        previous=tuple(Turn(asked, read_answer(said)) for asked, said in before[-most:]),
    )


def _is_sound(text: str, longest: int) -> bool:
    return len(text) <= longest and _UNSOUND.search(text) is None


def read_answer(content: str) -> str:
    """Read the answer back out of a message of :func:`write`; empty where it gave none, or a long one."""
    first = content[:_LONGEST_MESSAGE].partition("\n")[0].removeprefix(_UNSURE).strip()
    answer = re.sub(r"\\([^\w\s])", r"\1", first)
    is_none = not answer or answer in (_NOT_FOUND, _NO_ANSWER) or len(answer) > _LONGEST_ANSWER
    return answer if not is_none and _is_sound(answer, _LONGEST_ANSWER) else ""


Address = Callable[[str, int, int], str]


def write(reply: Reply, address: Address) -> tuple[str, list[Annotation]]:
    """Write a reply as a message in Markdown, whose first line is the answer, with its source as an annotation.

    Args:
        address: of the page that shows a span of a document.
    """
    answer = reply.answer
    if answer is None or answer.citation is None or answer.outcome == "not_found":
        parts = [_NO_ANSWER if answer is None else _NOT_FOUND]
        nearest = [_describe_passage(hit, address) for hit in reply.hits[:_NEAREST]]
        if nearest:
            parts.append("\n".join(([] if answer is None else ["Nearest passages:", ""]) + nearest))
        return "\n\n".join(_with_searched(reply, parts)), []
    said = escape(answer.text or "")
    parts = [(_UNSURE if answer.outcome == "unsure" else "") + said]
    if answer.sentence_text and answer.form == "span" and _flat(answer.sentence_text) != _flat(answer.text or ""):
        parts.append(f"> {escape(answer.sentence_text)}")
    url = address(answer.citation.document, answer.citation.start, answer.citation.end)
    parts.append(f"Source: [{escape(_title(answer.citation))}]({url})")
    parts += [escape(line) for line in describe_confidence(answer)[:1]]
    cited = UrlCitation(
        start_index=len(parts[0]) - len(said), end_index=len(parts[0]), url=url, title=_title(answer.citation)
    )
    return "\n\n".join(_with_searched(reply, parts)), [Annotation(url_citation=cited)]


def _with_searched(reply: Reply, parts: list[str]) -> list[str]:
    return [*parts, f"Searched for: {escape(reply.searched)}"] if reply.searched else parts


def _title(citation: Citation) -> str:
    place = [citation.document, f"page {citation.page}" if citation.page else "", citation.section or ""]
    return ", ".join(filter(None, place))


def _describe_passage(hit: Hit, address: Address) -> str:
    passage = hit.passage
    place = [passage.document, f"page {passage.page}" if passage.page else "", passage.section or ""]
    url = address(passage.document, passage.start, passage.end)
    return f"- [{escape(', '.join(filter(None, place)))}]({url})"


def _flat(text: str) -> str:
    return " ".join(text.split())


# What Markdown acts on: a document must not load pictures, or draw links, in the front end that shows its words.
_ACTING = re.compile(r"[\\`*\[\]<>|~&]|(?<!\w)_|_(?!\w)|^[#>+-]|(?<=^\d)[.)]")


def escape(text: str) -> str:
    """Write a document's text on one line of Markdown that shows it as it is, and does nothing."""
    return _ACTING.sub(lambda found: f"\\{found[0]}", safe_line(_flat(text)))
