"""Compiling: a model as OpenVINO's intermediate representation, and the texts to compare it with its reference on.

The default model is built from its files. Any other one's own torch modules are traced: everything from the token ids
to the result in one, so that pooling, normalisation and heads are the model's own. Only that needs torch.
"""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qa.models.compiled import MODEL_FILE, TOKENIZER_FILE
from qa.models.openvino import Precision, import_openvino, padded
from qa.models.tokens import Text, Tokens

if TYPE_CHECKING:
    from qa.models.files import EncoderFiles

# Texts of several lengths and scripts, and odd ones.
_PROSE = (
    "The lighthouse was built in 1874 on a reef two miles from the shore, and for ninety years three keepers at a time "
    "lived in it. Their supplies came by boat once a fortnight, when the sea allowed it. In the winter of 1911 no boat "
    "could land for seven weeks; the keepers lived on ship's biscuit and on the fish they caught from the gallery. The "
    "lamp burned colza oil at first, then paraffin, and was lit by electricity only in 1952. Engineers chose granite "
    "because sandstone, which was cheaper, had failed at the older tower within thirty years. Each block weighs about "
    "two tonnes and is dovetailed into its neighbours, so that no wave can move one without moving all of them. "
)

QUESTIONS = (
    "When was the lighthouse built?",
    "what did the keepers eat in winter",
    "Warum wurde Granit verwendet?",
    "灯塔是什么时候建造的？",
    "متى بنيت المنارة؟",
)

PASSAGES = (
    "",
    "Granite.",
    "Error 0x80070005: access denied (C:\\temp\\a_b.log, line 4,711).",
    _PROSE[:130],
    _PROSE[:300],
    _PROSE,
    _PROSE * 3,  # beyond most windows: what is cut is cut in the same place
    "Der Leuchtturm wurde 1874 auf einem Riff errichtet; neunzig Jahre lang lebten jeweils drei Wärter darin.",
    "Маяк был построен в 1874 году на рифе в двух милях от берега, и смотрители жили в нём по трое.",
    "灯塔建于一八七四年，位于离岸两英里的礁石上。九十年来，每次都有三名看守人住在里面。",
    "بنيت المنارة عام 1874 على شعاب مرجانية تبعد ميلين عن الشاطئ، وعاش فيها ثلاثة حراس.",
    "灯台は1874年に岩礁の上に建てられ、三人の灯台守が住んでいた。",
    "def lit(year: int) -> bool:\n    return year >= 1874  # colza, paraffin, then electricity\n",
    "| year | fuel |\n|---|---|\n| 1874 | colza oil |\n| 1903 | paraffin |\n| 1952 | electricity |",
)


_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class NotCompilable(Exception):
    """The model runs in sentence-transformers and not here; the message says why."""


@dataclass(frozen=True, slots=True)
class TorchModel:
    """A loaded sentence-transformers model, and ``output``, the name under which its last module leaves the result."""

    model: Any
    output: str
    window: int

    @property
    def pad(self) -> int:
        return int(self.model.tokenizer.pad_token_id or 0)


def write_traced(torch_model: TorchModel, precision: Precision, texts: Sequence[Text], folder: Path) -> None:
    """Trace a loaded model, and write it compiled, with its tokenizer, into ``folder``.

    Args:
        texts: to trace with, and to find the ranges of activations on where these become integers.

    Raises:
        NotCompilable: the model is built in a way that cannot be traced, or the precision needs a package that is not
            installed.
        OSError: the folder cannot be written.
    """
    definition = _tokenizer(torch_model.model)
    tokens = Tokens(definition, torch_model.window)
    with _quiet():
        graph = _traced(torch_model, tokens, texts[-2:])
        samples = [_features(torch_model, tokens, [text]) for text in texts]
        _write(graph, definition, precision, samples, folder)


def write_built(files: EncoderFiles, precision: Precision, texts: Sequence[Text], folder: Path) -> int:
    """Build the encoder of a BERT model with mean pooling from its files, without torch, and write the same.

    Returns:
        the id of the padding token.

    Raises:
        NotCompilable, OSError: as :func:`write_traced`.
    """
    from safetensors.numpy import load_file

    from qa.models.bert import build_encoder

    config = json.loads((files.folder / "config.json").read_bytes())
    weights = {f"bert.{name}": array for name, array in load_file(files.folder / "model.safetensors").items()}
    # As it is, so that the answer reader, which has the same, shares it.
    definition = (files.folder / TOKENIZER_FILE).read_text(encoding="utf-8")
    tokens, pad = Tokens(definition, files.window), int(config["pad_token_id"])
    with _quiet():
        graph = build_encoder(import_openvino(), weights, config["num_attention_heads"])
        encoded = tokens.read(texts)
        samples = [dict(padded([row], len(row.ids), pad)) for row in encoded]
        _write(graph, definition, precision, samples, folder)
    return pad


def _write(graph: Any, definition: str, precision: Precision, samples: Sequence[dict[str, Any]], folder: Path) -> None:
    if precision in {"int8", "int8-static"}:
        graph = _quantized(graph, precision, samples)
    (folder / TOKENIZER_FILE).write_text(definition, encoding="utf-8")
    try:
        import_openvino().save_model(graph, str(folder / MODEL_FILE), compress_to_fp16=False)
    except RuntimeError as error:
        # OpenVINO says "basic_ios::clear: iostream error", and not what the system said.
        raise OSError(f"its graph cannot be written ({error}); check permissions and free space") from error


def probe_pairs() -> list[tuple[str, str]]:
    """Pair every passage with a question."""
    return [(QUESTIONS[at % len(QUESTIONS)], passage) for at, passage in enumerate(PASSAGES)]


def _tokenizer(model: Any) -> str:
    if type(model[0]).__name__ != "Transformer":
        raise NotCompilable(f"its first module is {type(model[0]).__name__} and not Transformer")
    backend = getattr(model.tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise NotCompilable("it has no fast tokenizer")
    if model.tokenizer.padding_side != "right":
        raise NotCompilable(f"its tokenizer pads on the {model.tokenizer.padding_side}")
    return _uncut(backend.to_str())


def _uncut(definition: str) -> str:
    """Take a tokenizer's own cuts away: what a model reads is decided by its window."""
    return json.dumps({**json.loads(definition), "truncation": None, "padding": None}, ensure_ascii=False)


def _features(torch_model: TorchModel, tokens: Tokens, texts: Sequence[Text]) -> dict[str, Any]:
    encoded = tokens.read(texts)
    arrays = padded(encoded, max(len(row.ids) for row in encoded), torch_model.pad)
    names = torch_model.model.tokenizer.model_input_names
    return {name: arrays[name] for name in _INPUTS if name in names}


def _traced(torch_model: TorchModel, tokens: Tokens, texts: Sequence[Text]) -> Any:
    import torch

    class Traced(torch.nn.Module):
        """The whole model as a function of its inputs, by position."""

        def __init__(self) -> None:
            super().__init__()
            self.model = torch_model.model

        def forward(self, *inputs: Any) -> Any:
            return self.model(dict(zip(names, inputs, strict=True)))[torch_model.output]

    # Of two lengths, so that the mask is no constant.
    example = {name: torch.from_numpy(array) for name, array in _features(torch_model, tokens, texts).items()}
    names = list(example)
    openvino = import_openvino()
    try:
        with torch.no_grad():
            graph = openvino.convert_model(Traced().eval(), example_input=tuple(example.values()))
    except Exception as error:  # each model fails to be traced in a way of its own
        raise NotCompilable(f"it cannot be traced ({type(error).__name__}: {_line(error)})") from error
    if len(graph.inputs) != len(names):
        raise NotCompilable(f"tracing kept {len(graph.inputs)} of its {len(names)} inputs")
    for port, name in zip(graph.inputs, names, strict=True):
        port.get_tensor().set_names({name})
        port.get_node().set_partial_shape(openvino.PartialShape([-1, -1]))
    graph.validate_nodes_and_infer_types()
    return graph


def _quantized(graph: Any, precision: Precision, samples: Sequence[dict[str, Any]]) -> Any:
    try:
        import nncf
    except ImportError as error:
        raise NotCompilable(f"the precision {precision} needs the package nncf; install qa[int8]") from error
    logging.getLogger("nncf").setLevel(logging.ERROR)
    try:
        # Its progress bars are of no use to anybody here.
        with redirect_stdout(io.StringIO()):
            if precision == "int8":
                return nncf.compress_weights(graph, mode=nncf.CompressWeightsMode.INT8_SYM)
            return nncf.quantize(
                graph, nncf.Dataset(samples), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(samples)
            )
    except Exception as error:
        raise NotCompilable(f"it cannot be quantized ({type(error).__name__}: {_line(error)})") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Tracing warns of every branch that depends on a value; whether that matters is what the comparison finds."""
    loggers = [logging.getLogger(name) for name in ("transformers", "nncf", "openvino")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
