"""Which runtime a model gets: compiled where that can be done and agrees, sentence-transformers elsewhere."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import structlog

from qa.errors import ModelDisagrees, ModelNotFound, StorageError
from qa.files import staged_folder
from qa.models.compilation import PASSAGES, QUESTIONS
from qa.models.compiled import (
    LEAST_COSINE,
    PROBES_FILE,
    CompiledEncoder,
    CompiledManifest,
    compiler_versions,
    compute_sums,
    folder_name,
    least_cosine,
    read_manifest,
    read_refusal,
    write_manifest,
    write_refusal,
)
from qa.models.openvino import Precision

if TYPE_CHECKING:
    from qa.models.compilation import TorchModel
    from qa.models.files import EncoderFiles, ModelFiles
    from qa.models.openvino import Text
    from qa.protocols import Encoder

log = structlog.get_logger(__name__)

# Seconds to wait for another process that compiles the same model, before compiling it for this process alone.
_PATIENCE = 300.0
_FULL = (errno.ENOSPC, errno.EDQUOT)
# Folders of models that could not be kept; they go away with the process.
_unkept: list[tempfile.TemporaryDirectory[str]] = []

_Model = TypeVar("_Model")

Stage = Callable[[str], None]
Compile = Callable[[Path], CompiledManifest]


@dataclass(frozen=True, slots=True)
class Runtime:
    """How models are run. ``folder`` keeps compiled ones."""

    folder: Path
    precision: Precision
    threads: int


def choose(
    files: ModelFiles,
    runtime: Runtime,
    stage: Stage,
    *,
    compile: Compile,
    compiled: Callable[[Path, int], _Model],
    reference: Callable[[], _Model],
) -> _Model:
    """Make the compiled model, compiling it where that was not done before, or else the reference; neither is loaded.

    Args:
        stage: is called with a message where something begins that takes seconds.
        compiled: makes the model of a folder and the id of its padding token.

    Raises:
        StorageError: a compiled model cannot be kept, not even as a temporary one.
    """
    from qa.models.compilation import NotCompilable

    key = folder_name(files.fingerprint, runtime.precision)
    try:
        folder, manifest = compiled_model(runtime, files.name, key, compile, stage)
    except (NotCompilable, ModelNotFound) as error:
        # Not loadable is found again when it is loaded, unless its fingerprint is refused before.
        log.warning("model not compiled; sentence-transformers runs it", model=files.name, reason=str(error))
        return reference()
    return compiled(folder, manifest.pad)


def choose_encoder(files: EncoderFiles, runtime: Runtime, stage: Stage) -> Encoder:
    """Choose the runtime of an encoder, by :func:`choose`."""

    def reference() -> Encoder:
        from qa.models.sentence_transformers import SentenceTransformerEncoder

        return SentenceTransformerEncoder(files, threads=runtime.threads)

    def compiled(folder: Path, pad: int) -> Encoder:
        return CompiledEncoder(files, folder, precision=runtime.precision, pad=pad, threads=runtime.threads)

    return choose(
        files,
        runtime,
        stage,
        compile=lambda folder: _compile_encoder(files, runtime.precision, folder),
        compiled=compiled,
        reference=reference,
    )


def compiled_model(
    runtime: Runtime, name: str, key: str, compile: Compile, stage: Stage
) -> tuple[Path, CompiledManifest]:
    """Find or make the folder of the compiled model of this key, its sums checked.

    Two processes at once compile once; what one that was killed left is removed; what is damaged is compiled again;
    where the folder cannot be written the model is compiled for this process alone.

    Raises:
        NotCompilable: now, or at an earlier time with the same versions.
        StorageError: it cannot be kept, not even as a temporary one.
    """
    from qa.models.compilation import NotCompilable

    folder = runtime.folder / key
    if (manifest := _whole(folder)) is not None:
        return folder, manifest
    refusal = runtime.folder / f"{key}.refused"
    if (reason := read_refusal(refusal)) is not None:
        raise NotCompilable(reason)
    stage(f"Compiling the model {name} to {runtime.precision} (once)")
    try:
        return _kept(runtime.folder, key, compile)
    except NotCompilable as error:
        _note(refusal, str(error))
        raise
    except OSError as error:
        log.warning("compiled model cannot be kept; compiling it for this process alone", reason=str(error))
        return _temporary(compile)


def _whole(folder: Path) -> CompiledManifest | None:
    if not folder.exists():
        return None
    try:
        return read_manifest(folder)
    except ValueError as error:
        log.warning("compiled model is damaged; compiling it again", reason=str(error))
        return None


def _kept(root: Path, key: str, compile: Compile) -> tuple[Path, CompiledManifest]:
    from filelock import FileLock, Timeout

    root.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(root / f"{key}.lock", timeout=_PATIENCE):
            # Another process may have done it by now.
            if (manifest := _whole(root / key)) is None:
                with staged_folder(root / key) as staged:
                    manifest = compile(staged)
                    write_manifest(staged, manifest)
    except Timeout as error:
        raise OSError(f"another process has been compiling it for {_PATIENCE:.0f} s") from error
    return root / key, manifest


def _temporary(compile: Compile) -> tuple[Path, CompiledManifest]:
    try:
        kept = tempfile.TemporaryDirectory(prefix="qa-model-")
        manifest = compile(Path(kept.name))
        write_manifest(Path(kept.name), manifest)
    except OSError as error:
        what_to_do = "free some space" if error.errno in _FULL else "give a folder that can be written as TMPDIR"
        raise StorageError(
            f"a compiled model cannot be kept, not even in {tempfile.gettempdir()} ({error}); {what_to_do}"
        ) from error
    _unkept.append(kept)
    return Path(kept.name), manifest


def _note(refusal: Path, reason: str) -> None:
    try:
        write_refusal(refusal, reason)
    except StorageError as error:
        log.warning("cannot remember that a model does not compile; it is tried at every start", reason=str(error))


def _compile_encoder(files: EncoderFiles, precision: Precision, folder: Path) -> CompiledManifest:
    from qa.models.compilation import NotCompilable, TorchModel
    from qa.models.sentence_transformers import SentenceTransformerEncoder

    reference = SentenceTransformerEncoder(files, threads=os.cpu_count() or 1)
    torch_model = TorchModel(reference.module(), "sentence_embedding", files.window)
    wanted = reference.encode_passages(PASSAGES)
    # Two of one shape, which cost a start little.
    checked = (2, 3)
    probes = {
        "texts": [PASSAGES[at] for at in checked],
        "vectors": [wanted[at].tolist() for at in checked],
        "spread": reference.spread,
    }
    short = [text for text in QUESTIONS if reference.count_question_tokens([text])[0] <= files.window]

    def agreement() -> float:
        encoder = CompiledEncoder(files, folder, precision=precision, pad=torch_model.pad, threads=1)
        of_passages = least_cosine(wanted, encoder.encode_passages(PASSAGES))
        if encoder.count_tokens(PASSAGES) != reference.count_tokens(PASSAGES):
            raise NotCompilable("it counts other tokens than its reference")
        if not short:
            return of_passages
        return min(of_passages, least_cosine(reference.encode_questions(short), encoder.encode_questions(short)))

    made = Made(files, torch_model, [*QUESTIONS, *PASSAGES], probes, files.dimension)
    return compile_and_compare(made, precision, folder, agreement, LEAST_COSINE[precision])


@dataclass(frozen=True, slots=True)
class Made:
    """What is compiled: ``texts`` are traced, ``probes`` kept for every start; the result's rows are ``width`` wide."""

    files: ModelFiles
    torch_model: TorchModel
    texts: Sequence[Text]
    probes: Mapping[str, object]
    width: int


def compile_and_compare(
    made: Made, precision: Precision, folder: Path, agreement: Callable[[], float], least: float
) -> CompiledManifest:
    """Compile a model into ``folder``, and compare it with its reference.

    Raises:
        NotCompilable: it cannot be traced, or the agreement is below ``least``.
    """
    from qa.models.compilation import NotCompilable, write_model

    write_model(made.torch_model, precision, made.texts, folder)
    (folder / PROBES_FILE).write_text(json.dumps(made.probes), encoding="utf-8")
    try:
        found = agreement()
    except (ModelDisagrees, RuntimeError) as error:
        raise NotCompilable(f"compiled to {precision}: {' '.join(str(error).split())}") from error
    if found < least:
        raise NotCompilable(
            f"compiled to {precision} it gives other results than its reference (agreement {found:.4f} on a probe, "
            f"at least {least} is asked)"
        )
    return CompiledManifest(
        name=made.files.name,
        precision=precision,
        window=made.files.window,
        pad=made.torch_model.pad,
        width=made.width,
        agreement=found,
        versions=compiler_versions(),
        files=compute_sums(folder),
    )
