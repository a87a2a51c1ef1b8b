"""The models of RapidOCR, run by OpenVINO: where text stands on an image, which way up it is, what each line says.

RapidOCR (Apache-2.0) gives the weights, which are PaddleOCR's PP-OCRv6, and what turns the output of the first model
into boxes (Liao et al., "Real-time Scene Text Detection with Differentiable Binarization", 2020). Its own pipeline
would look for missing weights on the network, and keep memory for every width of a line that it has met; here lines
are padded to few widths, one at a time, so that what a line says depends on nothing beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qa.machine import usable_cores
from qa.readers.recognition.layout import RecognisedImage, RecognisedLine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]

_PACKAGE = "rapidocr"
_DETECTION = "PP-OCRv6_det_small.onnx"
_DIRECTION = "ch_ppocr_mobile_v2.0_cls_mobile.onnx"
_RECOGNITION = "PP-OCRv6_rec_small.onnx"

# Pixels of the longer side of what the first model sees: more costs memory and finds little more (docs/decisions/0022).
_DETECTED_SIDE = 1280
_STRIDE = 32
# Small pictures, such as parts of a screen, are enlarged up to this much: their words are small as well.
_MOST_ENLARGED = 2.0
# What the models were trained with: the height of a line, and of a line whose direction is asked for with its width.
_LINE_HEIGHT = 48
_DIRECTION_WIDTH = 192
# Widths of lines are rounded up to a multiple of this many pixels, and none is wider than the last.
_STEP, _WIDEST = 64, 4096
# The outline of text that the first model gives, as RapidOCR is set: its threshold, its least score, how far it grows.
_THRESHOLD, _LEAST_SCORE, _MOST_BOXES, _GROWTH = 0.3, 0.5, 1000, 1.6
# Lines that are looked at for the way up of a page, and how sure the model must be of one.
_LOOKED_AT, _SURE = 9, 0.9
# A box this much taller than wide is a line that is turned by a quarter.
_TURNED = 1.5
_MOST_THREADS = 8


class Models:
    """The three models. Not thread-safe.

    Raises:
        ImportError: ``qa[ocr]`` is not installed.
        OSError: the weights are not where its wheel puts them; nothing is ever fetched.
    """

    def __init__(self) -> None:
        from openvino import Core
        from rapidocr.ch_ppocr_det.utils import DBPostProcess

        spec = find_spec(_PACKAGE)
        assert spec is not None
        assert spec.submodule_search_locations is not None
        self._folder = Path(spec.submodule_search_locations[0]) / "models"
        self._core = Core()
        self._detection, _ = self._compiled(_DETECTION)
        self._direction, _ = self._compiled(_DIRECTION)
        self._recognition, recognition = self._compiled(_RECOGNITION)
        characters = recognition.get_rt_info(["framework", "character"]).value.splitlines()
        # Class 0 says "no character" (connectionist temporal classification), the last one is the space.
        self._characters = ["", *characters, " "]
        self._outlines = DBPostProcess(_THRESHOLD, _LEAST_SCORE, _MOST_BOXES, _GROWTH, "fast", use_dilation=True)

    def _compiled(self, name: str) -> tuple[Any, Any]:
        path = self._folder / name
        if not path.is_file():
            raise FileNotFoundError(f"{_PACKAGE} lacks {name}; install qa[ocr] again")
        model = self._core.read_model(path)
        # Bound to cores, as OpenVINO binds them by itself, they would wait for the threads of other processes there.
        threading = {"INFERENCE_NUM_THREADS": self._threads, "ENABLE_CPU_PINNING": False}
        properties = {"PERFORMANCE_HINT": "LATENCY", **threading}
        return self._core.compile_model(model, "CPU", properties).create_infer_request(), model

    @cached_property
    def _threads(self) -> int:
        return max(1, min(int(usable_cores()), _MOST_THREADS))

    def recognise(self, image: Image) -> RecognisedImage:
        """Recognise the text of an image.

        Args:
            image: ``(height, width, 3)``, blue first. It may be turned by a quarter or be upside down.
        """
        boxes, quarters = self._find(image), 0
        if _are_turned(boxes):
            image, quarters = np.ascontiguousarray(np.rot90(image)), 1
            boxes = self._find(image)
        if self._is_upside_down(image, boxes):
            quarters += 2
            image = np.ascontiguousarray(image[::-1, ::-1])
            boxes = _half_turned(boxes, image.shape[:2])
        lines = []
        for box in boxes:
            text, confidence = self._read(_crop(image, box))
            if text.strip():
                first, second, third, fourth = ((float(x), float(y)) for x, y in box)
                lines.append(RecognisedLine(text.strip(), confidence, (first, second, third, fourth)))
        return RecognisedImage(tuple(lines), (image.shape[0], image.shape[1]), quarters)

    def _find(self, image: Image) -> NDArray[np.float32]:
        """Return the boxes ``(n, 4, 2)`` of the lines of text."""
        import cv2

        height, width = image.shape[:2]
        scale = min(_MOST_ENLARGED, _DETECTED_SIDE / max(height, width))
        size = [max(round(side * scale / _STRIDE), 1) * _STRIDE for side in (width, height)]
        shrunk = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
        boxes, _ = self._outlines(_infer(self._detection, _scaled(shrunk)[None]), (height, width))
        return np.asarray(boxes, np.float32).reshape(-1, 4, 2)

    def _is_upside_down(self, image: Image, boxes: NDArray[np.float32]) -> bool:
        """Return whether most of the longest lines are upside down."""
        longest = sorted(boxes, key=lambda box: -float(np.linalg.norm(box[1] - box[0])))[:_LOOKED_AT]
        turned = 0
        for box in longest:
            line = _fitted(_crop(image, box), _DIRECTION_WIDTH, _DIRECTION_WIDTH)
            upright, upside_down = _infer(self._direction, line[None])[0]
            turned += bool(upside_down > max(upright, _SURE))
        return 2 * turned > len(longest)

    def _read(self, line: Image) -> tuple[str, float]:
        """Return what a line says and how sure that is; nothing where it is too small to be text."""
        height, width = line.shape[:2]
        if min(height, width) < 3:
            return "", 0.0
        fitted = min(math.ceil(_LINE_HEIGHT * width / height), _WIDEST)
        padded = -(-fitted // _STEP) * _STEP
        probabilities = _infer(self._recognition, _fitted(line, fitted, padded)[None])[0]
        best = probabilities.argmax(axis=1)
        # A character that is repeated without "no character" between is one.
        is_new = (best != 0) & np.append(True, best[1:] != best[:-1])
        if not is_new.any():
            return "", 0.0
        text = "".join(self._characters[number] for number in best[is_new])
        return text, float(probabilities[is_new].max(axis=1).mean())


def _infer(request: Any, values: NDArray[np.float32]) -> NDArray[np.float32]:
    request.infer([values])
    output: NDArray[np.float32] = request.get_output_tensor().data
    return output


def _scaled(image: NDArray[Any]) -> NDArray[np.float32]:
    """Turn pixels ``(height, width, 3)`` into numbers from -1 to 1 ``(3, height, width)``."""
    return (image.astype(np.float32) / 127.5 - 1.0).transpose(2, 0, 1)


def _fitted(line: Image, width: int, padded: int) -> NDArray[np.float32]:
    """Scale a line to the height that the models take and at most ``width``, and pad it on its right."""
    import cv2

    natural = min(max(math.ceil(_LINE_HEIGHT * line.shape[1] / line.shape[0]), 1), width)
    values = np.zeros((3, _LINE_HEIGHT, padded), np.float32)
    values[:, :, :natural] = _scaled(cv2.resize(line, (natural, _LINE_HEIGHT)))
    return values


def _crop(image: Image, box: NDArray[np.float32]) -> Image:
    from rapidocr.utils.process_img import get_rotate_crop_image

    cropped: Image = get_rotate_crop_image(image, box)
    return cropped


def _are_turned(boxes: NDArray[np.float32]) -> bool:
    """Return whether most of the text, by its length, runs up or down the image."""
    widths = np.linalg.norm(boxes[:, 1] - boxes[:, 0], axis=1)
    heights = np.linalg.norm(boxes[:, 3] - boxes[:, 0], axis=1)
    return bool(heights[heights > _TURNED * widths].sum() > widths[widths >= heights / _TURNED].sum())


def _half_turned(boxes: NDArray[np.float32], shape: Sequence[int]) -> NDArray[np.float32]:
    """Turn boxes with an image of ``(height, width)`` by 180°: their top left corner is what was their bottom right."""
    last = np.array([shape[1] - 1, shape[0] - 1], np.float32)
    return np.ascontiguousarray((last - boxes)[:, [2, 3, 0, 1]])
