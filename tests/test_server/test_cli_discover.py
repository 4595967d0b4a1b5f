"""``labthings-server discover`` lists what it finds, and says what to do if that is nothing."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import labthings as lt
from labthings.client import FoundServer, FoundThing
from labthings.exceptions import DiscoveryError
from labthings.server.announcement import announcement
from labthings.server.cli import serve_from_cli

LAB = FoundServer(
    "LabThings on lab:5000 (123456)",
    "http://192.0.2.5:5000/",
    (
        FoundThing("pump", "Syringe pump", "Pumps.", "http://192.0.2.5:5000/pump/"),
        FoundThing("stage", "Stage", "", "http://192.0.2.5:5000/stage/"),
    ),
)
BROKEN = FoundServer("Broken", "http://192.0.2.6:5000/", error="it has not answered in 5 seconds")
EMPTY = FoundServer("Empty", "http://192.0.2.7:5000/")
PARTLY = FoundServer("Partly", "http://192.0.2.8/", LAB.things[:1], "1 of its Things cannot be shown.")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``labthings-server``: the exit code, and what it prints on stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            serve_from_cli(arguments)
        except SystemExit as ending:
            return (int(ending.code or 0), *capsys.readouterr())
        return (0, *capsys.readouterr())

    return run


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What there is on the network, and how it was asked for."""
    network: dict[str, Any] = {"servers": []}

    def discover(seconds: float, interfaces: Sequence[str] | None) -> list[FoundServer]:
        network["asked"] = (seconds, interfaces)
        if "error" in network:
            raise network["error"]
        return list(network["servers"])

    monkeypatch.setattr("labthings.server.cli.discover.discover", discover)
    return network


def test_the_list(run: Run, network: dict[str, Any]) -> None:
    network["servers"] = [LAB, BROKEN, EMPTY, PARTLY]
    code, out, _ = run("discover")
    assert code == 0
    assert out.splitlines() == [
        "LabThings on lab:5000 (123456)  http://192.0.2.5:5000/",
        "  pump   http://192.0.2.5:5000/pump/   Pumps.",
        "  stage  http://192.0.2.5:5000/stage/  Stage",
        "",
        "Broken  http://192.0.2.6:5000/",
        "  it has not answered in 5 seconds",
        "",
        "Empty  http://192.0.2.7:5000/",
        "  It has no Things.",
        "",
        "Partly  http://192.0.2.8/",
        "  pump  http://192.0.2.5:5000/pump/  Pumps.",
        "  But: 1 of its Things cannot be shown.",
    ]
    assert network["asked"] == (3, None)


def test_json(run: Run, network: dict[str, Any]) -> None:
    network["servers"] = [LAB, BROKEN]
    code, out, _ = run("discover", "--json", "--seconds", "0.5", "--interface", "127.0.0.1")
    assert code == 0
    found = json.loads(out)
    assert [sorted(each) for each in found] == [["error", "name", "things", "url"]] * 2
    assert found[0]["things"][0] == vars(LAB.things[0])
    assert found[1]["error"] == BROKEN.error
    assert network["asked"] == (0.5, ["127.0.0.1"])


@pytest.mark.parametrize(("option", "printed"), [([], ""), (["--json"], "[]\n")])
def test_nothing_is_found(run: Run, network: dict[str, Any], option: list[str], printed: str) -> None:
    code, out, err = run("discover", *option)
    assert (code, out) == (1, printed)
    for word in ("No server was found", "--host 0.0.0.0", "--no-discovery", "subnet", "Firewalls", "5353"):
        assert word in err


def test_nothing_is_found_on_this_computer(run: Run, network: dict[str, Any]) -> None:
    code, _, err = run("discover", "--interface", "127.0.0.1")
    assert code == 1
    assert "labthings-server --discovery" in err


def test_it_cannot_look(run: Run, network: dict[str, Any]) -> None:
    network["error"] = DiscoveryError("This computer is on no network.")
    code, out, err = run("discover")
    assert (code, out) == (3, "")
    assert err.endswith("Error: This computer is on no network.\n")


@pytest.mark.parametrize("seconds", ["0", "-1", "soon", "nan"])
def test_seconds_that_make_no_sense(run: Run, seconds: str) -> None:
    code, _, err = run("discover", "--seconds", seconds)
    assert code in (2, 3)
    assert "seconds" in err


@pytest.mark.parametrize(
    ("option", "configured", "expected"),
    [
        ([], None, None),
        ([], False, False),
        (["--no-discovery"], None, False),
        (["--no-discovery"], True, False),
        (["--discovery"], False, True),
    ],
)
def test_the_command_line_has_the_last_word(
    run: Run,
    option: list[str],
    configured: bool | None,
    expected: bool | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served: list[bool | None] = []
    monkeypatch.setattr("labthings.server.serving.serve", lambda *arguments: served.append(arguments[-1]))
    config = {"things": {}, "settings_folder": str(tmp_path), "discovery": configured}
    assert run("-j", json.dumps(config), "--port", "0", *option)[0] == 0
    assert served == [expected]


@pytest.mark.parametrize(("argument", "expected"), [(None, False), (True, True), (False, False)])
def test_so_has_the_argument_of_serve(
    argument: bool | None, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[bool | None] = []
    monkeypatch.setattr("labthings.server.serving.serve", lambda *arguments: served.append(arguments[-1]))
    lt.ThingServer.from_things({}, discovery=False, settings_folder=str(tmp_path)).serve(discovery=argument)
    assert served == [expected]


def test_people_are_told_that_it_is_announced(tmp_path: Path) -> None:
    server = lt.ThingServer.from_things({}, settings_folder=str(tmp_path))
    lines = announcement(server, "http://127.0.0.1:5000", "Others find it.").splitlines()
    assert lines[-3:] == [
        "Try them in a web browser at http://127.0.0.1:5000",
        "Others find it.",
        "Press Ctrl+C to stop.",
    ]
