"""Images of pages in all their forms, and files that only look like images."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qa.errors import UnreadableDocument
from qa.readers import images
from qa.readers.composition import Content
from qa.readers.images import ImageReader
from qa.readers.registry import read_source
from qa.types import Source
from tests.support.scans import FakeModels, encoded, line, pages_of, recogniser_of, scan


def _read(kind: str, data: bytes, models: FakeModels | None = None, **bounds: int) -> Content:
    return ImageReader(kind, recogniser_of(models or FakeModels()), **bounds).read(data)


def _seen(kind: str, data: bytes) -> np.ndarray:
    """Return the one image that the models are given of a file."""
    models = FakeModels()
    _read(kind, data, models)
    (image,) = models.images
    return image


def _sheet(mode: str = "RGB", size: tuple[int, int] = (60, 40)) -> Image.Image:
    """Make a white sheet whose upper left quarter is black."""
    sheet = Image.new("L", size, 255)
    sheet.paste(0, (0, 0, size[0] // 2, size[1] // 2))
    return sheet.convert(mode)


@pytest.mark.parametrize(("name", "kind"), [("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.tif", "TIFF"), ("a.txt", "PNG")])
def test_an_image_is_a_document_of_one_page(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / name
    path.write_bytes(encoded(scan("noon"), kind))
    models = FakeModels(line("TIMETABLE", 100, 100, 90), line("The ferry leaves at noon.", 100, 300))
    document, report = read_source(Source(name, path, path.stat().st_size), recogniser=recogniser_of(models))
    assert document is not None
    assert (document.text, document.title) == ("TIMETABLE\n\nThe ferry leaves at noon.", "TIMETABLE")
    assert (document.media_type, document.reader) == (f"image/{kind.lower()}", f"{kind.lower()}/1")
    assert [(page.number, page.start, page.end) for page in document.pages] == [(1, 0, len(document.text))]
    assert report.status == "read"
    assert dict(report.recognised) == {1: pytest.approx(0.9)}


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16", "I"])
def test_every_kind_of_pixels_is_seen_as_it_looks(mode: str) -> None:
    if mode in {"I;16", "I"}:
        values = np.asarray(_sheet("L")).astype(np.uint16 if mode == "I;16" else np.int32) * 200
        sheet = Image.fromarray(values)
    else:
        sheet = _sheet(mode)
    image = _seen("tiff" if mode == "I" else "png", encoded(sheet, "TIFF" if mode == "I" else "PNG"))
    assert image.shape == (40, 60, 3)
    assert image[5, 5].tolist() == [0, 0, 0]
    assert image[35, 55].tolist() == [255, 255, 255]


def test_what_is_transparent_is_paper() -> None:
    sheet = Image.new("RGBA", (60, 40), (0, 0, 0, 0))
    sheet.paste((0, 0, 0, 255), (0, 0, 30, 20))
    image = _seen("png", encoded(sheet, "PNG"))
    assert (image[5, 5].tolist(), image[35, 55].tolist()) == ([0, 0, 0], [255, 255, 255])


def test_colours_are_given_blue_first() -> None:
    sheet = _sheet()
    sheet.putpixel((59, 39), (255, 0, 0))
    assert _seen("png", encoded(sheet, "PNG"))[39, 59].tolist() == [0, 0, 255]


def test_a_photograph_is_turned_as_its_camera_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn it a quarter clockwise
    image = _seen("jpeg", encoded(_sheet(), "JPEG", exif=exif, quality=95))
    assert image.shape == (60, 40, 3)
    assert image[5, 35].max() < 20
    assert image[5, 5].min() > 235


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "1"), ("PNG", "RGB"), ("JPEG", "RGB"), ("TIFF", "1")])
def test_a_large_scan_is_made_smaller_before_it_is_recognised(kind: str, mode: str) -> None:
    image = _seen(kind.lower(), encoded(_sheet(mode, (4800, 3200)), kind))
    assert image.shape == (1600, 2400, 3)


def test_the_pictures_of_a_fax_are_its_pages() -> None:
    pages = [scan(f"page {number}").convert("1") for number in range(3)]
    messages: list[Mapping[str, object]] = []
    models = FakeModels()
    data = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:], compression="group4")
    content = ImageReader("tiff", recogniser_of(models, messages)).read(data)
    assert [page.number for page in content.pages] == [1, 2, 3]
    assert pages_of(messages) == [1, 2, 3]
    assert {message["pages"] for message in messages if "pages" in message} == {3}
    assert content.problems == ()


def test_the_pages_of_a_fax_are_bounded_and_named() -> None:
    pages = [_sheet() for _ in range(30)]
    data = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    models = FakeModels()
    content = _read("tiff", data, models, most_pages=7)
    assert content.problems == ("only the first 7 pages were read",)
    assert (len(content.pages), len(models.images)) == (7, 7)


def test_the_pictures_of_an_animation_are_one_page() -> None:
    data = encoded(_sheet(), "PNG", save_all=True, append_images=[_sheet().transpose(Image.Transpose.ROTATE_180)] * 5)
    models = FakeModels()
    assert len(_read("png", data, models).pages) == len(models.images) == 1


def test_one_damaged_page_of_a_fax_loses_only_that_page() -> None:
    pages = [scan(f"page {number}") for number in range(2)]
    data = bytearray(
        encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:], compression="tiff_adobe_deflate")
    )
    data[40:2000] = bytes(1960)
    content = _read("tiff", bytes(data))
    assert content.problems == ("page 1 could not be read; get an intact copy",)
    assert [bool(content.text[page.start : page.end]) for page in content.pages] == [False, True]


def _png_that_says(width: int, height: int) -> bytes:
    """Make a PNG of a few bytes that declares so many pixels, all of which it holds: they compress well."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    packer = zlib.compressobj(9)
    row = bytes(1 + width // 8)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def test_a_bomb_is_not_decoded() -> None:
    data = _png_that_says(100_000, 20_000)
    assert len(data) < 300_000
    with pytest.raises(UnreadableDocument, match=r"page 1 has 2,000 million pixels, and at most 150 million are read"):
        _read("png", data)


def test_a_bomb_among_the_pages_of_a_fax_is_not_decoded() -> None:
    data = encoded(_sheet(), "TIFF", save_all=True, append_images=[_sheet(size=(900, 900))])
    with pytest.raises(UnreadableDocument, match="page 2 has 0 million pixels"):
        _read("tiff", data, most_pixels=100_000)


@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff"])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
def test_a_file_that_is_cut_off_is_refused_or_named(kind: str, share: float) -> None:
    data = encoded(scan("noon"), kind.upper())
    with pytest.raises(UnreadableDocument, match="get an intact copy"):
        _read(kind, data[: int(share * len(data))])


@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff"])
def test_damaged_bytes_raise_nothing_else(kind: str) -> None:
    data = encoded(scan("noon", size=(300, 200)), kind.upper())
    random = np.random.default_rng(7)
    for _ in range(60):
        broken = bytearray(data)
        for at in random.integers(0, min(len(data), 400), 4):
            broken[at] = random.integers(256)
        with suppress(UnreadableDocument):
            assert _read(kind, bytes(broken)).pages


def test_a_tiff_whose_pages_lead_back_to_the_first_ends() -> None:
    data = bytearray(encoded(_sheet(), "TIFF"))
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * entries, first)
    assert len(_read("tiff", bytes(data)).pages) == 1


def test_what_is_too_small_for_a_word_is_not_recognised() -> None:
    models = FakeModels()
    assert _read("png", encoded(Image.new("L", (2000, 4)), "PNG"), models).text == ""
    assert models.images == []


def test_large_scans_are_read_where_the_library_would_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(scan("noon"), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert _read("png", data).text
    assert images._MOST_PIXELS < 200_000_000


def test_a_picture_of_another_format_inside_is_not_opened() -> None:
    buffer = BytesIO()
    _sheet().save(buffer, "GIF")
    with pytest.raises(UnreadableDocument, match="not an image"):
        _read("png", buffer.getvalue())
