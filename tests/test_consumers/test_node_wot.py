"""Eclipse Thingweb's node-wot uses every affordance of the example Things."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).with_name("node_wot")
PACKAGES = Path(os.environ.get("LABTHINGS_NODE_WOT", FOLDER))
THINGS = [
    *("BiasSupply", "Camera", "Counter", "LabAssistant", "MotorStage"),
    *("Multimeter", "SimulatedInstrument", "Spectrometer", "TemperatureController"),
]


@pytest.fixture
def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("node-wot was NOT tried: there is no node")
    if not (PACKAGES / "node_modules/@node-wot").exists():
        pytest.skip(
            f"node-wot was NOT tried: it is not in {PACKAGES / 'node_modules'}. `npm install` in a folder with a copy "
            f"of {FOLDER / 'package.json'}, and have LABTHINGS_NODE_WOT name that"
        )
    return found


@pytest.mark.parametrize("options", [[], ["--websockets"]], ids=["http", "http and websockets"])
def test_it_uses_everything(node: str, example_things: str, options: list[str]) -> None:
    command = [node, str(FOLDER / "check.mjs"), example_things, *options]
    environment = {**os.environ, "LABTHINGS_NODE_WOT": str(PACKAGES)}
    check = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    print(check.stdout)
    assert check.returncode == 0, f"{check.stdout}\n{check.stderr}"
    assert "FAILED" not in check.stdout
    assert sorted(line.split()[0] for line in check.stdout.splitlines()) == THINGS


def test_the_example_of_the_documentation_works(node: str, example_things: str, tmp_path: Path) -> None:
    page = (FOLDER.parents[2] / "docs/how-to/other_clients.md").read_text(encoding="utf-8")
    example, directory = re.findall(r"```javascript\n(.*?)```", page, re.DOTALL)
    script = example.replace("process.exit();", f"{directory}\nprocess.exit();")
    (tmp_path / "thermostat.mjs").write_text(script.replace("http://127.0.0.1:5000", example_things), encoding="utf-8")
    (tmp_path / "node_modules").symlink_to(PACKAGES.resolve() / "node_modules")
    run = subprocess.run([node, "thermostat.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    for said in (
        "It is ",
        "Now it goes to 20.1 °C.",
        "Now it goes to 20.3 °C.",
        "The ramp has completed at 20",
        "Counter",
    ):
        assert said in run.stdout
