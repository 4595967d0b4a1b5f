"""wotpy uses every affordance of the example Things whose values are each of one type."""

import os
import re
import subprocess
from pathlib import Path

import pytest

CHECK = Path(__file__).with_name("wotpy_check.py")
LEFT_OUT = ["LabAssistant", "Multimeter", "Spectrometer"]  # which have optional properties
USED = ["BiasSupply", "Camera", "Counter", "MotorStage", "SimulatedInstrument", "TemperatureController"]


@pytest.fixture
def python() -> str:
    """A Python that has wotpy."""
    python = os.environ.get("LABTHINGS_WOTPY_PYTHON")
    if python is None:
        pytest.skip("wotpy was NOT tried: LABTHINGS_WOTPY_PYTHON does not name a Python that has it")
    if subprocess.run([python, "-c", "import wotpy"], capture_output=True).returncode:
        pytest.skip(f"wotpy was NOT tried: {python} cannot import it")
    return python


def test_it_uses_everything_of_one_type(python: str, example_things: str) -> None:
    check = subprocess.run([python, str(CHECK), example_things], capture_output=True, text=True, timeout=120)
    print(check.stdout)
    assert check.returncode == 0, f"{check.stdout}\n{check.stderr}"
    told = {line.split()[0]: "left out" in line for line in check.stdout.splitlines()}
    assert sorted(name for name, is_left_out in told.items() if is_left_out) == LEFT_OUT
    assert sorted(name for name, is_left_out in told.items() if not is_left_out) == USED


def test_the_example_of_the_documentation_works(python: str, example_things: str) -> None:
    page = (CHECK.parents[2] / "docs/how-to/other_clients.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```py\n(.*?)```", page, re.DOTALL)
    script = example.replace("http://127.0.0.1:5000", example_things)
    run = subprocess.run([python, "-c", script], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert "It is " in run.stdout
    assert "Now it goes to 20.1 °C." in run.stdout
