"""A Thing's class is found by its import string; what is wrong with it, or with its arguments, is said clearly."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from labthings.exceptions import ConfigurationError
from labthings.server.config_model import ThingServerConfig

HERE = "stage_module:Stage"
STAGE_MODULE = """
import labthings as lt

class Stage(lt.Thing):
    def __init__(self, port, baud_rate=9600, **kwargs):
        super().__init__(**kwargs)

class Camera(lt.Thing):
    def __init__(self, thing_server_interface, width=640):
        super().__init__(thing_server_interface)

class Group:
    class Lamp(lt.Thing):
        pass

def helper(): ...
"""


@pytest.fixture(autouse=True)
def folder(current_folder: Path) -> Path:
    """The current folder, which has a module with Things."""
    (current_folder / "stage_module.py").write_text(STAGE_MODULE)
    return current_folder


def fault(data: Mapping[str, Any]) -> str:
    """The error's message, as one line."""
    with pytest.raises(ConfigurationError) as caught:
        ThingServerConfig.from_mapping(data)
    header, *lines = str(caught.value).splitlines()
    assert header == "The server's configuration cannot be used:"
    return " ".join(line.strip() for line in lines)


# --- classes that cannot be used ----------------------------------------------------------------------------
def test_a_module_that_does_not_exist() -> None:
    message = fault({"things": {"stage": {"class": "stage_modul:Stage"}}})
    assert message.startswith(
        "things.stage.class: There is no module 'stage_modul'. Did you mean 'stage_module'? Python looked in "
    )
    assert str(Path.cwd()) in message
    assert "No module named" not in message


def test_a_file_name_is_not_a_module() -> None:
    message = fault({"things": {"stage": "stage_module.py:Stage"}})
    assert "There is no module 'stage_module.py'. Write 'stage_module', without '.py'." in message


def test_a_submodule_that_does_not_exist() -> None:
    message = fault({"things": {"stage": "labthings.servr:Stage"}})
    assert message.startswith("things.stage: There is no module 'labthings.servr'. Did you mean 'server'?")


def test_a_module_that_needs_another_which_does_not_exist(folder: Path) -> None:
    (folder / "needy.py").write_text("\nimport not_installed_anywhere\n")
    with pytest.raises(ConfigurationError) as caught:
        ThingServerConfig.from_mapping({"things": {"stage": "needy:Stage"}})
    assert (
        "things.stage: The module 'needy' was found, but importing it failed at line 2 of "
        f"{folder / 'needy.py'}: ModuleNotFoundError: No module named 'not_installed_anywhere'. "
        f"Is that installed for {sys.executable}?"
    ) in str(caught.value)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("1 / 0", "at line 1 of {}: ZeroDivisionError: division by zero"),
        ("raise SystemExit(4)", "at line 1 of {}: SystemExit: 4"),
        ("def f(:", "SyntaxError: invalid syntax (raising.py, line 1)"),
        (
            "import labthings as lt\nclass Bad(lt.Thing):\n    x = lt.property(default=1)",
            "MissingTypeError: ",
        ),
    ],
)
def test_a_module_that_raises(folder: Path, source: str, expected: str) -> None:
    (folder / "raising.py").write_text(source)
    message = fault({"things": {"stage": "raising:Stage"}})
    assert "The module 'raising' was found, but importing it failed" in message
    assert expected.format(folder / "raising.py") in message


def test_one_broken_module_is_one_fault_however_many_things_it_has(folder: Path) -> None:
    (folder / "raising.py").write_text("1 / 0")
    message = fault({"things": {"a": "raising:A", "b": "raising:B"}})
    assert message.startswith("things.a, things.b: The module 'raising' was found")
    assert message.count("ZeroDivisionError") == 1


@pytest.mark.parametrize(
    ("cls", "expected"),
    [
        ("stage_module:Staeg", "The module 'stage_module' has no 'Staeg'. Did you mean 'Stage'?"),
        ("stage_module:Microscope", "has no 'Microscope'. Its Things are Stage, Camera."),
        ("json:Stage", "The module 'json' has no 'Stage'. It has no subclass of `labthings.Thing`."),
        (
            "stage_module:Group",
            "The module 'stage_module' has 'Group', but that is not a subclass of `labthings.Thing`. "
            "Its Things are Stage, Camera.",
        ),
        ("stage_module:helper", "has 'helper', but that is not a subclass of `labthings.Thing`."),
        (int, "<class 'int'> is not a subclass of `labthings.Thing`, nor the import string of one."),
        (3, "3 is not a subclass of `labthings.Thing`, nor the import string of one."),
        ("Stage", "'Stage' should name a module and a class, like 'package.module:ClassName'."),
        ("./lab/stage.py:Stage", "like 'package.module:ClassName'. Did you mean 'lab.stage:Stage'?"),
        ("a:b\n", "should name a module and a class"),
    ],
)
def test_a_class_that_is_not_a_thing(cls: Any, expected: str) -> None:
    message = fault({"things": {"stage": {"class": cls}}})
    assert message.startswith("things.stage.class: ")
    assert expected in message


def test_a_thing_that_is_neither_a_class_nor_a_config() -> None:
    assert fault({"things": {"stage": 3}}) == "things.stage: Should be an object, {...}, not 3."


# --- arguments that a class does not take -------------------------------------------------------------------
@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            {"class": "stage_module:Camera", "kwargs": {"widht": 1}},
            "things.x.kwargs.widht: Camera takes no such argument. Did you mean 'width'?",
        ),
        (HERE, "things.x.kwargs.port: This argument is missing: Stage needs it."),
        (
            {"class": "stage_module:Camera", "kwargs": {"gain": 2}},
            "things.x.kwargs.gain: Camera takes no such argument. It takes width.",
        ),
        (
            {"class": "stage_module:Group.Lamp", "kwargs": {"gain": 2}},
            "things.x.kwargs.gain: Lamp takes no such argument. It takes none.",
        ),
        (
            {"class": "stage_module:Camera", "args": [1]},
            "things.x.args: Camera takes its arguments by name. Write them in `kwargs`.",
        ),
        (
            {"class": HERE, "args": ["COM1", 9600, 8]},
            "things.x.args: Stage takes at most 2, not 3.",
        ),
        (
            {"class": HERE, "args": ["COM1"], "kwargs": {"port": "COM2"}},
            "things.x.kwargs.port: This argument is in `args` already. Remove one of the two.",
        ),
        (
            {"class": HERE, "args": ["COM1"], "kwargs": {"thing_server_interface": None}},
            "things.x.kwargs.thing_server_interface: The server supplies this argument. Remove it.",
        ),
    ],
)
def test_arguments_that_the_class_does_not_take(config: Any, expected: str) -> None:
    assert fault({"things": {"x": config}}) == expected
