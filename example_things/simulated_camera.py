"""A camera on a microscope that exists only in memory: a drawn sample, with something that swims about in it."""

import math
import random
import time

import numpy as np
from PIL import Image, ImageDraw

from labthings.types.numpy import NDArray

WIDTH, HEIGHT = 480, 360  # pixels, each of which shows 1 µm of the sample
SAMPLE_SIZE = 1600  # µm. Beyond that, the sample repeats itself.
NORMAL_EXPOSURE = 20.0  # ms, at which the image is neither dark nor bright
FULL_WELL = 2000.0  # electrons that a pixel holds
READ_NOISE = 8.0  # electrons


class SimulatedCamera:
    """The sensor and its electronics. The driver of a real camera would be in its place."""

    def __init__(self) -> None:
        self._sample = _drawn_sample()
        self._noise = np.random.default_rng().standard_normal((2 * HEIGHT, 2 * WIDTH, 3), dtype=np.float32)

    def read(self, exposure: float, gain: float, x: float = 0, y: float = 0) -> NDArray:
        """An image: uint8, with the shape (height, width, 3).

        :param exposure: how long light was collected, in ms.
        :param gain: the amplification, in dB.
        :param x: what is in the middle of the image, in µm.
        :param y: likewise.
        """
        electrons = self._view(x, y) * np.float32(0.5 * FULL_WELL / 255 * exposure / NORMAL_EXPOSURE)
        electrons += self._some_noise() * np.sqrt(electrons + READ_NOISE**2)  # shot noise and read noise
        np.minimum(electrons, FULL_WELL, out=electrons)
        electrons *= np.float32(255 / FULL_WELL * 2 * 10 ** (gain / 20))
        image: NDArray = np.clip(electrons, 0, 255).astype(np.uint8)
        return image

    def _view(self, x: float, y: float) -> NDArray:
        """The part of the sample that the camera sees, and what swims there."""
        left, top = round(x) - WIDTH // 2, round(y) - HEIGHT // 2
        rows = np.arange(top, top + HEIGHT) % SAMPLE_SIZE
        columns = np.arange(left, left + WIDTH) % SAMPLE_SIZE
        view = Image.fromarray(self._sample[rows][:, columns])
        _draw_swimmer(view, left, top)
        return np.asarray(view, dtype=np.float32)

    def _some_noise(self) -> NDArray:
        """A part of the noise that was made in advance: making it takes longer than all the rest."""
        row, column = random.randrange(HEIGHT), random.randrange(WIDTH)
        return self._noise[row : row + HEIGHT, column : column + WIDTH]


def _drawn_sample() -> NDArray:
    """Cells with their nuclei, always the same ones."""
    image = Image.new("RGB", (SAMPLE_SIZE, SAMPLE_SIZE), (150, 160, 150))
    draw, dice = ImageDraw.Draw(image), random.Random(4)
    for _ in range(260):
        x, y, size = dice.uniform(60, 1540), dice.uniform(60, 1540), dice.uniform(18, 50)
        shade = dice.randrange(80, 130)
        _draw_disc(draw, x, y, size, (shade + 60, shade, shade + 40), outline=(90, 70, 90))
        _draw_disc(draw, x + size / 5, y - size / 6, size / 3, (70, 40, 110))
    return np.asarray(image)


def _draw_swimmer(view: Image.Image, left: int, top: int) -> None:
    """A green alga, which goes round and round the middle of the sample, as time passes."""
    angle = time.time() % (2 * math.pi * 7)
    x, y = 130 * math.cos(angle) - left, 90 * math.sin(angle * 9 / 7) - top
    draw = ImageDraw.Draw(view)
    _draw_disc(draw, x, y, 22, (60, 170, 60), outline=(20, 90, 20))
    _draw_disc(draw, x + 7, y, 4, (220, 60, 30))


def _draw_disc(
    draw: ImageDraw.ImageDraw,
    x: float,
    y: float,
    radius: float,
    colour: tuple[int, int, int],
    outline: tuple[int, int, int] | None = None,
) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour, outline=outline, width=2)
