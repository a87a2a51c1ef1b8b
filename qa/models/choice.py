"""Which runtime a model gets: compiled where that can be done and agrees, sentence-transformers elsewhere."""

from __future__ import annotations

import errno
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import structlog

from qa.errors import ExtraMissing, ModelDisagrees, ModelNotFound, StorageError
from qa.extras import is_installed, require
from qa.files import staged_folder, why
from qa.machine import usable_cores
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
    spread_of,
    write_manifest,
    write_refusal,
)
from qa.models.openvino import Precision

if TYPE_CHECKING:
    from qa.models.files import EncoderFiles, ModelFiles
    from qa.models.reference import EncoderReference
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
        ExtraMissing, ModelNotFound: it needs torch, and ``qa[build]`` is not installed.
    """
    from qa.models.compilation import NotCompilable

    key = folder_name(files.fingerprint, runtime.precision)
    try:
        folder, manifest = compiled_model(runtime, files.name, key, compile, stage)
    except (NotCompilable, ModelNotFound) as error:
        if not is_installed("build"):
            needs = str(ExtraMissing("running it as it is", "build"))
            raise ModelNotFound(f"the model {files.name} was not compiled ({error}), and {needs}") from error
        # Not loadable is found again when it is loaded, unless its fingerprint is refused before.
        log.warning("model not compiled; sentence-transformers runs it", model=files.name, reason=str(error))
        return reference()
    return compiled(folder, manifest.pad)


def is_compiled(files: ModelFiles, runtime: Runtime) -> bool:
    """Tell whether a model was compiled before, and is whole, so that making it takes no time."""
    try:
        read_manifest(runtime.folder / folder_name(files.fingerprint, runtime.precision))
    except ValueError:
        return False
    return True


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
        log.warning(
            "compiled model cannot be kept; compiling it for this process alone",
            folder=str(runtime.folder),
            reason=why(error),
        )
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
    from qa.models.compilation import TorchModel, write_built, write_traced
    from qa.models.reference import find_reference, make_reference

    texts = [*QUESTIONS, *PASSAGES]
    # Where activations become integers, too, the graph as torch has it is quantised better (docs/decisions/0033).
    if precision != "int8-static" and (known := find_reference(files)) is not None:
        pad = write_built(files, precision, texts, folder)
        spread = spread_of(known.questions, known.passages)
    else:
        require("build", f"compiling the model {files.name}")
        from qa.models.sentence_transformers import SentenceTransformerEncoder

        reference = SentenceTransformerEncoder(files, threads=max(1, int(usable_cores())))
        torch_model = TorchModel(reference.module(), "sentence_embedding", files.window)
        write_traced(torch_model, precision, texts, folder)
        known, pad, spread = make_reference(reference), torch_model.pad, reference.spread
    # Two of one shape, which cost a start little.
    checked = (2, 3)
    probes = {
        "texts": [PASSAGES[at] for at in checked],
        "vectors": [known.passages[at].tolist() for at in checked],
        "spread": spread,
    }
    encoder = CompiledEncoder(files, folder, precision=precision, pad=pad, threads=1)
    made = Made(files, pad, probes, files.dimension)
    return compare(made, precision, folder, lambda: _agreement(encoder, known), LEAST_COSINE[precision])


def _agreement(encoder: CompiledEncoder, reference: EncoderReference) -> float:
    """Return the least cosine of a compiled encoder's rows of the probes with the reference's. Raises NotCompilable."""
    from qa.models.compilation import NotCompilable
    from qa.models.reference import fitting

    counts = reference.question_tokens.tolist()
    if encoder.count_tokens(PASSAGES) != reference.passage_tokens.tolist():
        raise NotCompilable("it counts other tokens than its reference")
    found = least_cosine(reference.passages, encoder.encode_passages(PASSAGES))
    if not (questions := fitting(counts, encoder.window)):
        return found
    return min(found, least_cosine(reference.questions, encoder.encode_questions(questions)))


@dataclass(frozen=True, slots=True)
class Made:
    """What was compiled: ``pad`` fills its rows, ``probes`` are kept for every start, results are ``width`` wide."""

    files: ModelFiles
    pad: int
    probes: Mapping[str, object]
    width: int


def compare(
    made: Made, precision: Precision, folder: Path, agreement: Callable[[], float], least: float
) -> CompiledManifest:
    """Compare the model that was compiled into ``folder`` with its reference, and keep the probes beside it.

    Raises:
        NotCompilable: the agreement is below ``least``.
    """
    from qa.models.compilation import NotCompilable

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
        pad=made.pad,
        width=made.width,
        agreement=found,
        versions=compiler_versions(),
        files=compute_sums(folder),
    )
