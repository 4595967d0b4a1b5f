"""A configuration is read from a file and from the command line, and an error names which of them is wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from labthings.exceptions import ConfigurationError
from labthings.server.config_file import load_config


@pytest.fixture(autouse=True)
def folder(current_folder: Path) -> Path:
    """The current folder, which has a module with a Thing."""
    (current_folder / "camera_module.py").write_text("import labthings as lt\nclass Camera(lt.Thing): ...\n")
    return current_folder


def write(text: str | bytes) -> Path:
    path = Path("config.json")
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_file_is_loaded_with_the_classes_beside_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "elsewhere").mkdir()
    write('{"things": {"camera": "camera_module:Camera"}}')
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(folder)])
    monkeypatch.chdir(folder / "elsewhere")
    config = load_config(Path("../config.json"), None)
    assert config.thing_configs["camera"].cls.__name__ == "Camera"
    assert config.settings_folder == "./settings"
    assert sys.path[:2] == [str(folder), str(folder / "elsewhere")]


def test_a_file_of_windows_is_read() -> None:
    assert load_config(write(b'\xef\xbb\xbf{"things": {}}'), None).things == {}


def test_json_replaces_keys_of_the_file() -> None:
    path = write('{"things": {"a": "camera_module:Camera"}, "api_prefix": "/a", "stop_timeout": 1}')
    config = load_config(path, '{"things": {"b": "camera_module:Camera"}, "api_prefix": "/b"}')
    assert list(config.things) == ["b"]
    assert (config.api_prefix, config.stop_timeout) == ("/b", 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"things": {}, "x": 1}', "config.json cannot be used:\n  x: There is no such key."),
        ("[]", 'config.json should be a JSON object, like {"things": {...}}.'),
        (
            '{\n  "things": {},,\n}',
            "config.json is not valid JSON at line 2, column 16: ",
        ),
        ("", "config.json is not valid JSON at line 1, column 1: Expecting value."),
        (b"\xff\xfe{", "config.json is not a text file. Save it as JSON, encoded as UTF-8."),
        (
            '{"things": {"stage": "a:B", "stage": "a:C"}}',
            "config.json has the key 'things.stage' twice. Rename or remove one of the two.",
        ),
        ('{"things": {}, "things": {}}', "config.json has the key 'things' twice."),
        (
            '{"things": {"a": {"args": [0, {"x": 1, "x": 1}]}}}',
            "config.json has the key 'things.a.args[1].x' twice.",
        ),
    ],
)
def test_a_fault_names_its_file(text: str | bytes, expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_config(write(text), None)
    assert str(caught.value).startswith(expected)


def test_a_syntax_error_shows_the_place() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_config(write('{\n  "things" {}\n}'), None)
    assert '\n  \x20 "things" {}\n             ^\n' in str(caught.value)


def test_a_fault_in_json_names_the_option() -> None:
    with pytest.raises(ConfigurationError, match=r"^The text of --json is not valid JSON at line 1, column 2: "):
        load_config(None, "{'things': {}}")
    with pytest.raises(ConfigurationError, match=r"^config\.json with --json cannot be used:\n  api_prefix: "):
        load_config(write('{"things": {}}'), '{"api_prefix": "/"}')


def test_a_file_that_does_not_exist(folder: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_config(Path("conf.json"), None)
    assert str(caught.value) == f"There is no file 'conf.json'. {folder} has no JSON files."
    write("{}")
    with pytest.raises(ConfigurationError, match=r"config\.json\.$"):
        load_config(Path("conf.json"), None)


def test_a_folder_is_not_a_file(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be read: "):
        load_config(folder, None)
