"""The only reader of the environment: ``QA_*`` variables, typed. ``docs/settings.md`` is generated from here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from qa.errors import SettingsError
from qa.types import Limits

DEFAULT_MODEL = "all-MiniLM-L6-v2"
_PREFIX = "QA_"
# Read by the tests, not by the program, and often set where both run.
_OF_THE_TESTS = {"QA_REQUIRE_BROWSER"}


class Settings(BaseSettings):
    """Every setting has a default; a flag of the command line wins over the environment."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="forbid")

    indexes: Path = Field(default=Path("indexes"), description="The folder that holds all indexes.")
    name: str = Field(default="seeds", description="The index to build, ask or serve.")
    model: str = Field(
        default=DEFAULT_MODEL,
        description="The sentence-transformers model: the folder it lies in, or its name on a hub. "
        f"The default, {DEFAULT_MODEL}, comes from an installed package and needs no network.",
    )
    precision: Literal["fp32", "bf16", "int8", "int8-static"] = Field(
        default="bf16",
        description="What the compiled model multiplies in: fp32, bf16, int8 (weights), or int8-static (weights and "
        "activations). The last two need `qa[int8]` to compile. Another precision is another model to an index.",
    )
    reranker: str = Field(
        default="",
        description="A sentence-transformers cross-encoder that may order what was found anew: the folder it lies in, "
        "or its name on a hub. None by default.",
    )
    rerank_budget_ms: float = Field(
        default=200.0,
        gt=0,
        description="The most milliseconds that re-ranking one question may take; what is not scored by then keeps its "
        "order.",
    )
    max_error: float = Field(
        default=0.3,
        gt=0,
        lt=1,
        description="How often what is answered may be wrong: an answer that is less sure is given as a guess. It is "
        "certified on held-out questions where the calibration allows it (docs/answers.md).",
    )
    read_tokens: int = Field(
        default=300,
        ge=50,
        le=5000,
        description="Tokens of the passages found that are read for one answer. More tokens find a few answers more, "
        "and take as much longer (docs/answers.md).",
    )
    host: str = Field(default="127.0.0.1", description="The address that the service listens on.")
    port: int = Field(
        default=8000, ge=0, le=65535, description="The port that the service listens on; 0 takes a free one."
    )
    passage_tokens: int = Field(
        default=192,
        ge=16,
        description="The most tokens in a passage, its headings and the model's special tokens included.",
    )
    overlap_tokens: int = Field(
        default=32,
        ge=0,
        description="The most tokens, in whole sentences, that a passage repeats of the one before it.",
    )
    window_tokens: int = Field(
        default=64,
        ge=1,
        description="The most tokens in a window: the sentences of a passage that are embedded together, headings "
        "included. A single sentence may take more.",
    )
    max_file_mb: int = Field(
        default=200, ge=1, description="The largest file that is read, in MB; a larger one is reported as failed."
    )
    max_file_seconds: float = Field(default=60.0, gt=0, description="The most seconds that reading one file may take.")
    reader_memory_mb: int = Field(
        default=2000, ge=64, description="The most memory, in MB, that the process that reads files may take for one."
    )
    threads: int = Field(
        default=0,
        ge=0,
        description="Threads that encode. 0 means one when serving and every core when building an index.",
    )
    batch_size: int = Field(
        default=32,
        ge=1,
        le=1024,
        description="Passages in one call of a model that sentence-transformers runs, because it cannot be compiled.",
    )
    max_question_chars: int = Field(default=2000, ge=1, description="The longest question, in characters.")
    # A question that does not say how many asks for five.
    max_top_k: int = Field(default=100, ge=5, le=10_000, description="The most passages that one question may ask for.")
    max_batch: int = Field(default=256, ge=1, le=10_000, description="The most questions in one batch over HTTP.")
    max_waiting: int = Field(
        default=128, ge=1, description="Questions that may wait to be answered; past it, requests are refused with 503."
    )
    cache_mb: int = Field(
        default=32, ge=0, description="The memory, in MB, for answers that may be asked for again; 0 keeps none."
    )
    cache_seconds: float = Field(
        default=60.0,
        gt=0,
        description="How long an answer is kept: its citation was compared with the source when it was first given.",
    )
    api_keys: SecretStr = Field(
        default=SecretStr(""),
        description="Keys that clients must send, each as NAME:SCOPE:SHA256, scope ask or admin; `qa keys` makes one. "
        "With none, operating is for this machine alone; with none of scope ask, asking is free.",
    )
    allowed_hosts: str = Field(
        default="",
        description="Host names that clients may reach the service by, such as qa.example.org or *.example.org; * is "
        "every one. localhost, this machine's name and addresses in figures are allowed always.",
    )
    cors_origins: str = Field(
        default="", description="Origins whose pages may ask, such as https://intranet.example.org. None by default."
    )
    rate_limit: str = Field(
        default="1200/minute",
        description="Requests that one client, a key or else an address, may send, such as 20/second; empty for any "
        "number. Clients on this machine are not counted.",
    )
    request_seconds: float = Field(
        default=30.0, gt=0, description="The most seconds in which the body of a request must have arrived."
    )
    feedback: str = Field(
        default="",
        description="The file to which people who ask may add whether a passage answers: a question file for "
        "`qa evaluate`. None by default: then nobody is asked.",
    )
    originals: bool = Field(
        default=False, description="Whether the files that were indexed can be downloaded, where they have not changed."
    )
    log_format: Literal["text", "json"] = Field(default="text", description="A line of the log: for people, or JSON.")
    log_requests: bool = Field(
        default=False, description="Whether each request is a line of the log, but for those that a full queue refuses."
    )
    log_questions: bool = Field(
        default=False, description="Whether that line has the address's query, in which a question may be."
    )
    tracing: bool = Field(
        default=False,
        description="Whether requests are OpenTelemetry spans, sent to OTEL_EXPORTER_OTLP_ENDPOINT. "
        "Needs `qa[telemetry]`.",
    )
    max_upload_mb: int = Field(default=20, ge=1, description="The largest question file over HTTP, in MB.")
    max_evaluations: int = Field(
        default=8, ge=1, description="Evaluations over HTTP that may wait while one runs; more are refused."
    )
    keep_evaluations: int = Field(
        default=50, ge=1, description="Evaluations over HTTP that are over and kept, the newest."
    )
    max_evaluation_seconds: float = Field(
        default=3600.0,
        gt=0,
        description="The most seconds that an evaluation over HTTP may compute at a time: once to find the judgments, "
        "once for the measures and the report. Asking the questions has no limit.",
    )
    keep_snapshots: int = Field(
        default=5,
        ge=1,
        description="The newest snapshots that `qa snapshots prune` and `qa serve --watch` leave, with their "
        "embeddings; the active one stays.",
    )

    @property
    def limits(self) -> Limits:
        """What may be asked at most."""
        return Limits(self.max_question_chars, self.max_top_k, self.max_batch)


def load_settings(**flags: Any) -> Settings:
    """Settings from the environment, under ``flags`` that are not ``None``.

    Raises:
        SettingsError: a ``QA_*`` variable is unknown, or a value is wrong; the message names it.
    """
    known = {_PREFIX + name.upper() for name in Settings.model_fields}
    unknown = sorted(name for name in os.environ if name.upper().startswith(_PREFIX) and name not in known)
    if unknown := [name for name in unknown if name not in _OF_THE_TESTS]:
        raise SettingsError(f"no setting is called {', '.join(unknown)}; the settings are {', '.join(sorted(known))}")
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        shown = f"--{name.replace('_', '-')}" if name in given else _PREFIX + name.upper()
        raise SettingsError(f"{shown} is {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}") from error
    if settings.overlap_tokens > settings.passage_tokens // 2:
        raise SettingsError(
            f"--overlap-tokens (QA_OVERLAP_TOKENS) is {settings.overlap_tokens}: it may be at most half of "
            f"--passage-tokens (QA_PASSAGE_TOKENS), which is {settings.passage_tokens}"
        )
    return settings
