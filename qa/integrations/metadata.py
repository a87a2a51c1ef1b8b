"""What a retriever keeps of a reply beside each of its passages."""

from __future__ import annotations

from typing import Any

from qa.web.api.responses import AskResponse


def describe_reply(reply: AskResponse) -> dict[str, Any]:
    """Return the answer of a reply as metadata, the same for each of its passages.

    ``outcome`` is ``answered``, ``unsure`` or ``not_found``. ``answer`` is the text where it is sure enough, ``guess``
    the text where it is not; ``confidence`` and ``citation`` are of the one that there is. Where nothing was found
    there is only a confidence, and where no answer was asked for nothing.
    """
    answer = reply.answer
    if answer is None:
        return {"outcome": None, "answer": None, "guess": None, "confidence": None, "citation": None}
    found = answer.guess or answer
    return {
        "outcome": answer.outcome,
        "answer": answer.text,
        "guess": answer.guess.text if answer.guess else None,
        "confidence": answer.confidence,
        "citation": found.citation.model_dump() if found.citation else None,
    }
