"""What the example camera and spectrometer produce, as pictures for `examples.md`."""

from pathlib import Path

import numpy as np
from PIL import Image

from example_things.simulated_camera import NORMAL_EXPOSURE, SimulatedCamera
from example_things.spectrometer import SimulatedSensor
from labthings.types.numpy import NDArray

WIDTH, HEIGHT = 720, 300
LEFT, TOP, RIGHT, BOTTOM = 70, 20, 700, 250  # of the plot in the picture
COLOUR = "#2f6db5"


def draw_examples(folder: Path) -> None:
    """Write ``camera.jpg`` and ``spectrum.svg`` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(SimulatedCamera().read(NORMAL_EXPOSURE, gain=0)).save(folder / "camera.jpg", quality=90)
    (folder / "spectrum.svg").write_text(_plot(*_spectrum()), encoding="utf-8")


def _spectrum() -> tuple[NDArray, NDArray]:
    """The wavelengths in nm, and counts without the dark ones."""
    sensor = SimulatedSensor()
    light, dark = (np.mean([sensor.read(0.05, each) for _ in range(10)], axis=0) for each in (True, False))
    return sensor.wavelengths, light - dark


def _plot(wavelengths: NDArray, counts: NDArray) -> str:
    most = 5000 * np.ceil(counts.max() / 5000)
    columns = LEFT + (RIGHT - LEFT) * (wavelengths - wavelengths[0]) / np.ptp(wavelengths)
    rows = BOTTOM - (BOTTOM - TOP) * counts / most
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(columns, rows, strict=True))
    across = np.arange(400, wavelengths[-1] + 1, 100)
    places = np.interp(across, wavelengths, columns)
    below = [f'<text x="{x:.0f}" y="{BOTTOM + 20}">{value:.0f}</text>' for x, value in zip(places, across, strict=True)]
    beside = [
        f'<text class="left" x="{LEFT - 8}" y="{BOTTOM - part * (BOTTOM - TOP) + 5:.0f}">{part * most:.0f}</text>'
        for part in (0, 0.5, 1)
    ]
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">
<style>
text {{ font: 14px system-ui, sans-serif; fill: #1c2733; text-anchor: middle; }}
.left {{ text-anchor: end; }}
</style>
<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#ffffff"/>
<path d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}" fill="none" stroke="#9aa7b4"/>
<polyline points="{points}" fill="none" stroke="{COLOUR}" stroke-width="1.5"/>
{"".join(below + beside)}
<text x="{(LEFT + RIGHT) / 2}" y="{BOTTOM + 40}">wavelength in nm</text>
<text x="{LEFT + 40}" y="{TOP + 5}">counts</text>
</svg>
"""
