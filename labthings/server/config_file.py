"""Read a server's configuration from a JSON file, and from the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labthings.exceptions import ConfigurationError
from labthings.server.config_model import ThingServerConfig


def load_config(path: Path | None, json_text: str | None) -> ThingServerConfig:
    """The configuration of a server.

    The file's folder and the current folder join those that Python imports from, so that Things' classes may be
    beside the file.

    :param path: a JSON file.
    :param json_text: a JSON object, whose keys replace those of the file.
    :raises ConfigurationError: which names the file, the key and the remedy.
    """
    _import_from(*([path.parent] if path else []), Path())
    data = _json_object(_text_of(path), str(path)) if path else {}
    if json_text is not None:
        data |= _json_object(json_text, "The text of --json")
    return ThingServerConfig.from_mapping(data, source_of(path, json_text))


def source_of(path: Path | None, json_text: str | None) -> str:
    """Where a configuration comes from, for messages."""
    if json_text is None:
        return str(path) if path else "The server's configuration"
    return f"{path} with --json" if path else "The configuration in --json"


def _import_from(*folders: Path) -> None:
    wanted = [str(folder.resolve()) for folder in folders]
    sys.path[:] = dict.fromkeys([*wanted, *sys.path])


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # Windows' editors like to begin files with a byte order mark
    except FileNotFoundError as error:
        raise ConfigurationError(f"There is no file '{path}'. {_neighbours(path)}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not a text file. Save it as JSON, encoded as UTF-8.") from error
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error


def _neighbours(path: Path) -> str:
    found = sorted(each.name for each in path.absolute().parent.glob("*.json"))
    folder = path.absolute().parent
    return f"{folder} has {', '.join(found)}." if found else f"{folder} has no JSON files."


def _json_object(text: str, source: str) -> dict[str, Any]:
    repeated: list[tuple[dict[str, Any], str]] = []

    def keep_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        keys = [key for key, _ in pairs]
        repeated.extend((found, key) for key in found if keys.count(key) > 1)
        return found

    try:
        data = json.loads(text, object_pairs_hook=keep_repeated)
    except json.JSONDecodeError as error:
        raise ConfigurationError(_syntax_error(error, source)) from error
    if not isinstance(data, dict):
        raise ConfigurationError(f'{source} should be a JSON object, like {{"things": {{...}}}}.')
    for found, key in repeated:
        raise ConfigurationError(
            f"{source} has the key '{_path_to(found, data)}{key}' twice. Rename or remove one of the two."
        )
    return data


def _syntax_error(error: json.JSONDecodeError, source: str) -> str:
    line = error.doc.splitlines()[error.lineno - 1 :][:1]
    excerpt = f"\n  {line[0]}\n  {' ' * (error.colno - 1)}^" if line else ""
    return (
        f"{source} is not valid JSON at line {error.lineno}, column {error.colno}: {error.msg}.{excerpt}\n"
        "JSON wants double quotes, a comma between entries but none after the last, and no comments."
    )


def _path_to(wanted: Any, data: Any) -> str:
    return next((path for path, each in _objects(data) if each is wanted), "")


def _objects(data: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Everything in a document, with its path, which ends in a dot unless it is empty."""
    yield path, data
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _objects(value, f"{path}{key}.")
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _objects(value, f"{path.removesuffix('.')}[{index}].")
