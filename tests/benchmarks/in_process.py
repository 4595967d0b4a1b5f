"""What Thing code costs when no client is involved, in microseconds: ``python tests/benchmarks/in_process.py``.

Run with another interpreter that has labthings-fastapi installed and ``--peer`` for the same numbers from it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import tempfile
import timeit
from typing import Any

parser = argparse.ArgumentParser()
parser.add_argument("--peer", action="store_true", help="measure labthings-fastapi instead of labthings")
arguments = parser.parse_args()
lt: Any = importlib.import_module("labthings_fastapi" if arguments.peer else "labthings")


class Device(lt.Thing):  # type: ignore[misc, name-defined]
    """An instrument."""

    value: float = lt.property(default=1.5)
    kept: float = lt.setting(default=1.5)

    @lt.action
    def noop(self) -> None:
        """Do nothing."""


def microseconds(statement: str, number: int, names: dict[str, Any]) -> float:
    """The median time of one of many executions."""
    times = timeit.repeat(statement, globals=names, number=number, repeat=7)
    return statistics.median(times) / number * 1e6


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = lt.ThingServer.from_things({"device": Device}, settings_folder=folder)
        client = server.test_client() if hasattr(server, "test_client") else None
        with client or importlib.import_module("fastapi.testclient").TestClient(server.app):
            names = {"device": server.things["device"]}
            number = 200 if arguments.peer else 20_000
            statements = {
                "read a property": "device.value",
                "set a property that nobody observes": "device.value = 2.5",
                "set a setting": "device.kept = 2.5",
                "call an action": "device.noop()",
            }
            found = {name: round(microseconds(code, number, names), 2) for name, code in statements.items()}
            print(json.dumps({"package": lt.__name__, "microseconds": found}, indent=1))


if __name__ == "__main__":
    main()
