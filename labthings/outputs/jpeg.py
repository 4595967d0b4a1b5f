"""JPEG images: what is one, and how to make one of an array."""

from __future__ import annotations

import io
from typing import Any

from labthings.exceptions import InvalidFrameError

START_OF_IMAGE, END_OF_IMAGE = b"\xff\xd8\xff", b"\xff\xd9"


def checked_jpeg(frame: Any, stream: str) -> bytes:
    """The bytes of a JPEG, without the zeros that some cameras add at its end.

    :param frame: what should be one.
    :param stream: what it is for, as messages call it.
    :raises InvalidFrameError: if it is something else, with what is wrong.
    """
    if isinstance(frame, bytearray | memoryview):
        frame = bytes(frame)
    fault = _fault(frame)
    if fault is None:
        return frame if frame.endswith(END_OF_IMAGE) else bytes(frame).rstrip(b"\0")
    raise InvalidFrameError(f"A frame for {stream} is not a JPEG: {fault}")


def _fault(frame: Any) -> str | None:
    if not isinstance(frame, bytes):
        hint = (
            " Use `add_array` for an array, or its `tobytes()` if it holds a JPEG." if hasattr(frame, "dtype") else ""
        )
        return f"it must be bytes, not {type(frame).__name__}.{hint}"
    if not frame:
        return "it is empty."
    if not frame.startswith(START_OF_IMAGE):
        return f"its {len(frame)} bytes start with {frame[:3].hex(' ')}, not with {START_OF_IMAGE.hex(' ')}."
    if not frame.endswith(END_OF_IMAGE) and not frame.rstrip(b"\0").endswith(END_OF_IMAGE):
        return (
            f"its {len(frame)} bytes end with {frame[-2:].hex(' ')}, not with {END_OF_IMAGE.hex(' ')}. "
            "A part of it is missing, or something follows it."
        )
    return None


def encoded_jpeg(image: Any, quality: int, stream: str) -> bytes:
    """Make a JPEG of an image.

    :param image: a numpy array of uint8, with the shape (height, width) or (height, width, 3).
    :param quality: from 1 to 95.
    :param stream: what it is for, as messages call it.
    :raises InvalidFrameError: if it cannot be done, with the reason.
    """
    fault = _array_fault(image) or _quality_fault(quality)
    if fault is not None:
        raise InvalidFrameError(f"An image for {stream} cannot be shown: {fault}")
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return file.getvalue()


def _array_fault(image: Any) -> str | None:
    import numpy

    if not isinstance(image, numpy.ndarray):
        return f"it must be a numpy array, not {type(image).__name__}."
    if image.dtype != numpy.uint8:
        return f"its dtype must be uint8, not {image.dtype}. Scale it to 0 to 255, and use `.astype('uint8')`."
    if not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
        return f"its shape must be (height, width) or (height, width, 3), not {image.shape}."
    if not 0 < min(image.shape) <= max(image.shape) <= LARGEST_SIDE:
        return f"its sides must be between 1 and {LARGEST_SIDE} pixels: its shape is {image.shape}."
    return None


def _quality_fault(quality: Any) -> str | None:
    if isinstance(quality, int) and 1 <= quality <= 95:
        return None
    return f"the quality must be a whole number from 1 to 95, not {quality!r}."


LARGEST_SIDE = 65_500  # what the JPEG library takes
