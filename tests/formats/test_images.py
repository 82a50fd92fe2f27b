"""Crops to bytes."""

from typing import Any

import cv2
import numpy as np
import pytest

from streamcrop.errors import FormatError
from streamcrop.formats.images import ENCODINGS, encode

MAGIC = {"jpeg": b"\xff\xd8\xff", "png": b"\x89PNG\r\n\x1a\n", "webp": b"RIFF"}


def gradient() -> Any:
    """A smooth picture whose three channels differ."""
    rows, columns = np.mgrid[0:48, 0:64]
    return np.dstack([rows * 4, columns * 3, rows + columns]).astype(np.uint8)


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_reads_back(encoding: str) -> None:
    """Every encoding is what its name says, and decodes to the picture that went in, BGR."""
    image = gradient()
    data = encode(image, encoding, 95)
    assert data.startswith(MAGIC[encoding])
    back = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert back is not None
    assert back.shape == image.shape
    assert np.abs(back.astype(int) - image).max() <= 24
    assert np.abs(back.astype(int) - image).mean() < 3


def test_png_is_exact() -> None:
    """PNG loses nothing."""
    image = np.random.default_rng(3).integers(0, 256, (17, 31, 3), np.uint8)
    back = cv2.imdecode(np.frombuffer(encode(image, "png", 1), np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(np.asarray(back), image)


def test_a_view_is_encoded_and_left_as_it_is() -> None:
    """A crop is a view of its frame: it need not be contiguous, and is not modified."""
    frame = gradient()
    kept = frame.copy()
    data = encode(frame[3:20, 5:40], "png", 90)
    back = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(np.asarray(back), kept[3:20, 5:40])
    assert np.array_equal(frame, kept)


@pytest.mark.parametrize("encoding", ["jpeg", "webp"])
def test_quality_counts(encoding: str) -> None:
    """A lower quality makes fewer bytes."""
    noise = np.random.default_rng(5).integers(0, 256, (64, 64, 3), np.uint8)
    assert len(encode(noise, encoding, 10)) < len(encode(noise, encoding, 90))


@pytest.mark.parametrize(("encoding", "width"), [("webp", 16_384), ("jpeg", 65_536)])
def test_too_large_for_the_encoding(encoding: str, width: int) -> None:
    """A picture that the encoding cannot hold is one counted loss that says its size."""
    with pytest.raises(
        FormatError, match=f"{encoding} cannot hold an image of {width} x 1"
    ) as info:
        encode(np.zeros((1, width, 3), np.uint8), encoding, 90)
    assert info.value.reason == "encoding_failed"


def test_the_largest_webp() -> None:
    """16,383 pixels a side are still WebP."""
    assert encode(np.zeros((1, 16_383, 3), np.uint8), "webp", 90).startswith(b"RIFF")


@pytest.mark.parametrize("outcome", [False, cv2.error("no memory")])
def test_both_ways_of_failing(monkeypatch: pytest.MonkeyPatch, outcome: object) -> None:
    """OpenCV's versions differ in whether an encoder that fails raises or returns False."""

    def imencode(*_: object) -> tuple[object, None]:
        if isinstance(outcome, cv2.error):
            raise outcome
        return outcome, None

    monkeypatch.setattr(cv2, "imencode", imencode)
    with pytest.raises(FormatError) as info:
        encode(np.zeros((2, 3, 3), np.uint8), "png", 90)
    assert info.value.reason == "encoding_failed"


def test_content_types_and_suffixes() -> None:
    """Media types and names are those that everybody knows."""
    assert {name: (row.content_type, row.suffix) for name, row in ENCODINGS.items()} == {
        "jpeg": ("image/jpeg", ".jpg"),
        "png": ("image/png", ".png"),
        "webp": ("image/webp", ".webp"),
    }
