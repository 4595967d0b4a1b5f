"""The example Things, served to clients that are not ours."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).parents[2]
FAST = {"stage": 20, "thermostat": 100}  # times real time


@pytest.fixture
def example_things(tmp_path: Path) -> Iterator[str]:
    """The URL of a server of all example Things, in a process of its own."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"things": _things(), "settings_folder": str(tmp_path / "settings")}))
    command = [sys.executable, "-m", "labthings.server.cli", "-c", str(config), "--port", "0"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, cwd=CHECKOUT, **pipes) as process:
        try:
            assert process.stdout is not None
            found = (re.search(r"(http://\S+)/counter/", line) for line in process.stdout)
            yield next(match[1] for match in found if match)
        finally:
            process.kill()


def _things() -> dict[str, Any]:
    things: dict[str, Any] = json.loads((CHECKOUT / "config.example.json").read_text(encoding="utf-8"))["things"]
    for name, time_scale in FAST.items():
        things[name]["kwargs"]["time_scale"] = time_scale
    example = (CHECKOUT / "example_things/multimeter.example.json").read_text(encoding="utf-8")
    port = _free_port()
    things |= json.loads(example.replace("5025", str(port)))["things"]
    return things


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
