"""The only reader of the environment: ``QA_*`` variables, typed. ``docs/settings.md`` is generated from here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from qa.errors import SettingsError
from qa.files import Access
from qa.types import Limits, MilvusAddress, UploadLimits

DEFAULT_MODEL = "all-MiniLM-L6-v2"
# Bounds of what may be asked over HTTP: characters in a question, questions in a batch.
MAX_QUESTION_CHARS = 2000
MAX_BATCH = 256
# Tokens that a question may have read for it, unless the setting is more.
MAX_READ_TOKENS = 1000
_PREFIX = "QA_"
# Read by the tests, not by the program, and often set where both run.
_OF_THE_TESTS = {"QA_REQUIRE_BROWSER"}


def default_indexes() -> Path:
    """Return ``indexes`` of the working folder where it exists, or else the user's own folder of indexes.

    That one is ``qa/indexes`` in the folder for the user's data of the XDG Base Directory Specification.
    """
    here = Path("indexes")
    if here.is_dir():
        return here
    named = Path(os.environ.get("XDG_DATA_HOME", ""))
    try:
        # The specification has what is not absolute be ignored.
        data = named if named.is_absolute() else Path.home() / ".local" / "share"
    except RuntimeError:
        # A user without a home.
        return here
    return data / "qa" / "indexes"


class Settings(BaseSettings):
    """All settings. Each has a default; a flag of the command line wins over the environment."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="forbid")

    indexes: Path = Field(
        default_factory=default_indexes,
        description="The folder that holds all indexes: `indexes` in the working folder where there is one, or else "
        "`$XDG_DATA_HOME/qa/indexes`, which is `~/.local/share/qa/indexes` by default.",
    )
    access: Access = Field(
        default="owner",
        description="Which of this machine's users may read what is written, such as indexes and evaluations: owner, "
        "group or everyone. A stricter umask stays. An index's folder follows with its next build.",
    )
    name: str = Field(default="seeds", description="The index to build, ask or serve.")
    model: str = Field(
        default=DEFAULT_MODEL,
        description="The sentence-transformers model: accurate or multilingual, which packages carry (`qa models "
        "list`), the folder it lies in, or its name on a hub. The default, "
        f"{DEFAULT_MODEL}, comes from an installed package and needs no network.",
    )
    precision: Literal["fp32", "bf16", "int8", "int8-static"] = Field(
        default="bf16",
        description="The numbers that the compiled model computes with: fp32, bf16, int8 (weights only), or "
        "int8-static (weights and activations). The last two need `qa[int8]` to compile, and the last one "
        "`qa[build]`, too. After a change, build the index again.",
    )
    reranker: str = Field(
        default="",
        description="A sentence-transformers cross-encoder that may re-order the passages found: the folder it lies "
        "in, or its name on a hub. None by default.",
    )
    max_error: float = Field(
        default=0.25,
        gt=0,
        lt=1,
        description="The share of answers that may be wrong; an answer that is less sure is given as a guess. It is "
        "certified on held-out questions where the calibration allows it (docs/answers.md).",
    )
    read_tokens: int = Field(
        default=300,
        ge=50,
        le=5000,
        description="The tokens of the passages found that are read for one answer. More tokens find a few more "
        "answers and take proportionally longer (docs/answers.md).",
    )
    url: str = Field(
        default="",
        description="The address of a service, such as https://qa.example.org, that `qa ask` asks instead of an index "
        "of this machine.",
    )
    key: SecretStr = Field(default=SecretStr(""), description="The key that `qa ask` sends to that service.")
    host: str = Field(default="127.0.0.1", description="The address that the service listens on.")
    port: int = Field(
        default=8000, ge=0, le=65535, description="The port that the service listens on; 0 takes a free one."
    )
    workers: int = Field(
        default=0,
        ge=0,
        le=64,
        description="The processes that serve over one port. 0 means one for every core and every GB of memory, "
        "eight at most; limits of a container count.",
    )
    milvus: str = Field(
        default="",
        description="The address of a Milvus server, such as http://milvus:19530, that indexes are built into and "
        "searched in, for more vectors than one machine holds (docs/scaling.md). None by default: the vectors lie in "
        "the index's folder. Needs `qa[milvus]`.",
    )
    milvus_token: SecretStr = Field(
        default=SecretStr(""), description="What that server asks for: USER:PASSWORD, or a key."
    )
    milvus_replicas: int = Field(
        default=1,
        ge=1,
        description="In how many of that server's query nodes each vector is loaded: 1 for a standalone server, and 2 "
        "or more for a cluster, so that the loss of a node is no loss of answers.",
    )
    milvus_seconds: float = Field(
        default=10.0, gt=0, description="The longest time, in seconds, that one search of that server may take."
    )
    passage_tokens: int = Field(
        default=192,
        ge=16,
        description="The most tokens in a passage, its headings and the model's special tokens included.",
    )
    overlap_tokens: int = Field(
        default=32,
        ge=0,
        description="The most tokens, in whole sentences, that a passage repeats from the one before it.",
    )
    hidden: bool = Field(
        default=False,
        description="Read hidden sheets, rows and columns of workbooks, too. After a change, build the index again.",
    )
    ocr: bool = Field(
        default=True,
        description="Recognise pages without text, and images of pages (PNG, JPEG, TIFF), where `qa[ocr]` is "
        "installed. After a change, build the index again.",
    )
    max_file_mb: int = Field(
        default=200, ge=1, description="The largest file that is read, in MB. A larger one is reported as failed."
    )
    max_file_seconds: float = Field(
        default=60.0,
        gt=0,
        description="The longest time that reading one file may take, in seconds. Each page that is recognised has it "
        "for itself.",
    )
    reader_memory_mb: int = Field(
        default=2000,
        ge=64,
        description="The most memory, in MB, that reading one file may take. The models of OCR come on top.",
    )
    max_documents: int = Field(
        default=20_000, ge=1, description="The most files that may be uploaded into one collection."
    )
    max_documents_mb: int = Field(
        default=20_000, ge=1, description="The most that the uploaded files of one collection may take, in MB."
    )
    max_upload_mb: int = Field(
        default=1_000, ge=1, description="The most that one upload may hold, of however many files, in MB."
    )
    threads: int = Field(
        default=0,
        ge=0,
        description="Batches that the models compute at once, each on a thread. 0 means one for every core when "
        "building an index, and when serving for every core that a worker has, two at least.",
    )
    # A question that does not say how many asks for five.
    max_top_k: int = Field(default=100, ge=5, le=10_000, description="The most passages that one question may ask for.")
    cache_mb: int = Field(
        default=32,
        ge=0,
        description="The memory, in MB, for answers that are kept for a minute in case they are asked for again; 0 "
        "keeps none.",
    )
    api_keys: SecretStr = Field(
        default=SecretStr(""),
        description="Keys that clients must send, each as NAME:SCOPE:SHA256, with the scope ask or admin, and with "
        ":COLLECTION+COLLECTION behind it where it is for some collections alone; `qa keys` makes one. Without keys, "
        "only this machine may change the index; without keys of the scope ask, anyone may ask.",
    )
    allowed_hosts: str = Field(
        default="",
        description="Host names that clients may use for this service, such as qa.example.org or *.example.org; * "
        "allows every name. localhost, this machine's name and IP addresses are always allowed.",
    )
    cors_origins: str = Field(
        default="",
        description="Other sites whose pages may ask, as origins such as https://intranet.example.org. None by "
        "default.",
    )
    rate_limit: str = Field(
        default="1200/minute",
        description="How many requests one client may send, such as 20/second; empty for any number. A client is a "
        "key, or else an IP address.",
    )
    local_rate_limit: str = Field(
        default="60000/minute",
        description="The same for all clients on this machine together, without proxies that name their clients.",
    )
    behind_proxy: bool = Field(
        default=False,
        description="A proxy stands in front of the service: it does not start without keys.",
    )
    require_keys: bool = Field(
        default=False, description="Do not start without keys, so that a secret that is missing opens nothing."
    )
    feedback: str = Field(
        default="",
        description="The file that collects what people say about passages and answers: a question file for `qa "
        "evaluate`. None by default: then no one is asked.",
    )
    originals: bool = Field(
        default=False, description="Let people download the files that were indexed, as long as they have not changed."
    )
    unanswered_days: int = Field(
        default=0,
        ge=0,
        le=3650,
        description="For how many days questions are kept that were not answered, for who keeps the documents: without "
        "anything that tells who asked. 0 keeps none, and forgets those that were kept.",
    )
    pictures: bool = Field(
        default=True,
        description="Show pages of PDF files and images as pictures beside their text, as long as the file has not "
        "changed. At most 200 MB of them are kept below the folder of all indexes.",
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="The format of the log: text for people, or JSON."
    )
    log_requests: bool = Field(
        default=False, description="Log every request, except those that are refused because too many wait."
    )
    log_questions: bool = Field(
        default=False, description="Log the URL's query string. It can contain a user's question."
    )
    tracing: bool = Field(
        default=False,
        description="Send every request as an OpenTelemetry span to OTEL_EXPORTER_OTLP_ENDPOINT. Needs "
        "`qa[telemetry]`.",
    )
    max_evaluation_seconds: float = Field(
        default=3600.0,
        gt=0,
        description="The longest time, in seconds, that an evaluation over HTTP may take to find the judgments, and "
        "again to compute the measures and the report. Asking the questions has no limit.",
    )
    keep_snapshots: int = Field(
        default=5,
        ge=1,
        description="How many of the newest snapshots `qa snapshots prune` and `qa serve --watch` keep. The active "
        "one is always kept.",
    )

    @property
    def limits(self) -> Limits:
        """What may be asked at most."""
        return Limits(MAX_QUESTION_CHARS, self.max_top_k, MAX_BATCH, max(MAX_READ_TOKENS, self.read_tokens))

    @property
    def milvus_address(self) -> MilvusAddress | None:
        """Where the vectors are, if a server has them."""
        if not self.milvus:
            return None
        token = self.milvus_token.get_secret_value()
        return MilvusAddress(self.milvus, token, self.milvus_replicas, self.milvus_seconds)

    @property
    def upload_limits(self) -> UploadLimits:
        """What may be uploaded at most."""
        mb = 10**6
        return UploadLimits(self.max_file_mb * mb, self.max_documents, self.max_documents_mb * mb)


def load_settings(**flags: Any) -> Settings:
    """Read settings from the environment; ``flags`` that are not ``None`` win.

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
    if settings.milvus and (fault := _address_fault(settings.milvus)):
        raise SettingsError(f"QA_MILVUS {fault}")
    if settings.milvus.endswith(".db"):
        # Milvus Lite locks its file.
        if settings.workers > 1:
            raise SettingsError(
                "QA_MILVUS is a file of Milvus Lite, which one process alone can open; serve with --workers 1 "
                "(QA_WORKERS), or start a Milvus server"
            )
        settings = settings.model_copy(update={"workers": 1})
    if settings.overlap_tokens > settings.passage_tokens // 2:
        raise SettingsError(
            f"--overlap-tokens (QA_OVERLAP_TOKENS) is {settings.overlap_tokens}: it may be at most half of "
            f"--passage-tokens (QA_PASSAGE_TOKENS), which is {settings.passage_tokens}"
        )
    return settings


def _address_fault(uri: str) -> str:
    """Say what is wrong with the address of a Milvus server, without showing it: it may hold a password."""
    try:
        parts = urlsplit(uri)
        has_port = parts.port is not None
    except ValueError:
        return "is no address; it must be one such as http://milvus:19530"
    if parts.username or parts.password:
        return "holds a user or a password; put them into QA_MILVUS_TOKEN, as USER:PASSWORD"
    if uri.endswith(".db") and not parts.scheme:
        return ""
    if parts.scheme not in {"http", "https"} or not parts.hostname or not has_port:
        return "is no address; it must be one such as http://milvus:19530"
    return ""
