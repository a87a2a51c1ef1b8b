"""The language of a text, by the naive Bayes classifier of langid.py (Lui & Baldwin, 2012) as py3langid has it.

The package carries its model compressed to 4.6 MB, which take a third of a second to unpack into 70 MB of memory. So
what the languages with a stemmer need of it is unpacked once into a file, and mapped from then on::

    <folder>/languages-<hash>.bin    CRC-32 of the rest; JSON with the arrays' shapes, up to byte 4,096; the arrays

The name is a hash of the package's version, its model's size, and the languages. A file that is damaged is written
again; where none can be written the arrays stay in memory. Labels are those of the package, whichever way it is read.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import threading
import unicodedata
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import regex
import structlog

from qa.errors import StorageError
from qa.files import why, write_atomically
from qa.text.words import STEMMERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = structlog.get_logger(__name__)

# To be raised whenever what is kept is made in another way.
FORMAT = 1
_PACKAGE = "py3langid"
_HEADER = 4096
_SUM = 4
_ARRAYS = ("moves", "begins", "features", "weights", "priors")
_BYTES = 256
# The feature of a state that finds none.
_NONE = -1
# Enough to tell, and little enough that a book costs no more than a page.
_SAMPLE = 4000
_LEAST_LETTERS = 8
# Written without spaces between words: there is nothing to stem. Such languages are told from the others all the same.
_UNSTEMMED = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")
_LANGUAGES = sorted({*STEMMERS, "ja", "ko", "th", "vi", "zh"})
_LETTER = regex.compile(r"\p{L}")

_loading = threading.Lock()
_loaded: list[Classifier] = []


@cache
def prepare_detection(folder: Path | None) -> None:
    """Begin, once for a folder, to load the classifier beside what the caller does next.

    Args:
        folder: keeps what is unpacked; ``None`` keeps nothing. A process loads the classifier once, from the first.
    """
    threading.Thread(target=_classifier, args=(folder,), name="languages").start()


def detect_language(text: str) -> str:
    """Find the ISO 639-1 code of a text's language.

    Empty where none of :data:`qa.text.words.STEMMERS` is its stemmer: too few letters to tell, or a script without
    spaces.
    """
    sample = text[:_SAMPLE]
    letters = len(_LETTER.findall(sample))
    if letters < _LEAST_LETTERS or 2 * len(_UNSTEMMED.findall(sample)) > letters:
        return ""
    code = _classifier(None).classify(sample)
    return code if code in STEMMERS else ""


@dataclass(frozen=True, slots=True)
class Classifier:
    """The arrays of a classifier, and what it makes of a text.

    An automaton goes through the bytes of a text. ``columns`` has, for each of the 256 bytes, its column in the table
    of transitions ``moves (rows * columns,)``; a state's row begins at ``begins (states,)``. ``features (states,)`` is
    the feature that was found where a state is entered, or -1. ``weights (features, labels)`` and ``priors (labels,)``
    are logarithms.
    """

    labels: Sequence[str]
    columns: bytes
    moves: NDArray[np.uint32]
    begins: NDArray[np.uint32]
    features: NDArray[np.int32]
    weights: NDArray[np.float16]
    priors: NDArray[np.float32]

    def classify(self, text: str) -> str:
        """Return the likeliest label of a text."""
        # The features in the order in which they were found, as the package has them: sums of floats depend on it.
        found = Counter(map(self.features.data.__getitem__, self._states(_encoded(text))))
        found.pop(_NONE, None)
        if not found:
            return self.labels[0]
        features = np.fromiter(found.keys(), dtype=np.intp, count=len(found))
        counts = np.fromiter(found.values(), dtype=np.float32, count=len(found))
        # A label that stands twice, for two scripts, counts with the better of its two scores.
        return self.labels[int((np.log1p(counts) @ self.weights[features] + self.priors).argmax())]

    def _states(self, content: bytes) -> list[int]:
        """Return the state of the automaton after each byte."""
        moves, begins = self.moves.data, self.begins.data
        state = 0
        states: list[int] = []
        enter = states.append
        for column in content.translate(self.columns):
            state = moves[begins[state] + column]
            enter(state)
        return states


def _encoded(text: str) -> bytes:
    """Return the bytes that the automaton was made for."""
    return unicodedata.normalize("NFC", text.lower() if text.isupper() else text).encode("utf-8", "surrogatepass")


def _classifier(folder: Path | None) -> Classifier:
    with _loading:
        if not _loaded:
            _loaded.append(load_classifier(folder))
        return _loaded[0]


def load_classifier(folder: Path | None) -> Classifier:
    """Map the classifier that is kept in a folder, or unpack it and keep it there; ``None`` keeps nothing."""
    if folder is None:
        return _unpacked()
    path = folder / f"languages-{_key()}.bin"
    try:
        return _mapped(path)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, LookupError, TypeError) as error:
        log.warning("what tells languages apart cannot be used; unpacking it again", file=path.name, reason=why(error))
    classifier = _unpacked()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, _as_file(classifier))
        for other in folder.glob("languages-*.bin"):
            if other != path:  # of a version of the package that was there before
                other.unlink(missing_ok=True)
        # The arrays in memory go away.
        return _mapped(path)
    except (OSError, ValueError, StorageError) as error:
        log.debug("what tells languages apart cannot be kept; every process unpacks it", reason=why(error))
        return classifier


def _key() -> str:
    about = [FORMAT, version(_PACKAGE), _packed().stat().st_size, _LANGUAGES]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]


def _packed() -> Path:
    """Return the package's own file. Raises ModuleNotFoundError."""
    found = find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"the package {_PACKAGE} is not installed")
    return Path(found.origin).parent / "data" / "model.npz.xz"


def _unpacked() -> Classifier:
    """Read the package's model, and keep the columns of the languages alone."""
    from py3langid.modelio import load_model

    weights, priors, labels, moves, rows, features = load_model(_packed())
    chosen = [at for at, label in enumerate(labels) if label in _LANGUAGES]
    # Bytes that lead from every state to the same one share a column.
    table = np.asarray(moves, dtype=np.uint32).reshape(-1, _BYTES)
    distinct: dict[bytes, int] = {}
    sums = (hashlib.sha256(np.ascontiguousarray(table[:, byte]).data).digest() for byte in range(_BYTES))
    columns = bytes(distinct.setdefault(sum, len(distinct)) for sum in sums)
    firsts = [columns.index(column) for column in range(len(distinct))]
    return Classifier(
        labels=[labels[at] for at in chosen],
        columns=columns,
        moves=table[:, firsts].reshape(-1),
        begins=np.asarray(rows).astype(np.uint32) * np.uint32(len(distinct)),
        features=np.asarray(features, dtype=np.int32),
        weights=np.ascontiguousarray(weights[:, chosen]),
        priors=np.asarray(priors, dtype=np.float32)[chosen],
    )


def _as_file(classifier: Classifier) -> bytes:
    arrays = [getattr(classifier, name) for name in _ARRAYS]
    header = {
        "labels": classifier.labels,
        "columns": list(classifier.columns),
        "arrays": [(array.dtype.str, array.shape) for array in arrays],
    }
    parts = [json.dumps(header).encode().ljust(_HEADER - _SUM), *(array.reshape(-1).data.cast("B") for array in arrays)]
    sum = 0
    for part in parts:
        sum = zlib.crc32(part, sum)
    return b"".join([sum.to_bytes(_SUM, "little"), *parts])


def _mapped(path: Path) -> Classifier:
    """Map a file. Raises OSError, or ValueError, LookupError or TypeError if it is not as it was written."""
    with path.open("rb") as file:
        content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    if int.from_bytes(content[:_SUM], "little") != zlib.crc32(content[_SUM:]):
        raise ValueError("it changed since it was written")
    header = json.loads(bytes(content[_SUM:_HEADER]))
    arrays: dict[str, Any] = {}
    at = _HEADER
    for name, (kind, shape) in zip(_ARRAYS, header["arrays"], strict=True):
        arrays[name] = np.frombuffer(content, kind, math.prod(shape), at).reshape(shape)
        at += arrays[name].nbytes
    return Classifier(header["labels"], bytes(header["columns"]), **arrays)
