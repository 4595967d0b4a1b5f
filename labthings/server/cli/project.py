"""A small working project to start from."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from labthings.exceptions import ConfigurationError
from labthings.server.cli.schema import config_schema

_WRITTEN = """Wrote {files} to {folder}.

Start it:  cd {quoted_folder}
           labthings-server -c config.json
Test it:   pytest
"""


def create_project(folder: Path) -> str:
    """Write a configuration, a Thing, a test and a README into a folder.

    :return: what was written, and what to do next.

    :raises ConfigurationError: if any of them exists already, or the folder cannot be written to.
    """
    contents = _contents()
    existing = [name for name in contents if (folder / name).exists()]
    if existing:
        raise ConfigurationError(
            f"{folder} already has {', '.join(existing)}. "
            "Nothing was written: choose another folder, or move these away."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in contents.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be written to: {error.strerror}.") from error
    return _WRITTEN.format(files=", ".join(contents), folder=folder, quoted_folder=shlex.quote(str(folder)))


def _contents() -> Mapping[str, str]:
    template = files("labthings.server.cli") / "project_template"
    written = {each.name: each.read_text(encoding="utf-8") for each in template.iterdir() if each.is_file()}
    return {**dict(sorted(written.items())), "config.schema.json": f"{json.dumps(config_schema(), indent=2)}\n"}
