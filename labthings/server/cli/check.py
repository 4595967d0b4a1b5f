"""Say whether a configuration would start."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from labthings.base_descriptor import faults_of
from labthings.exceptions import ConfigurationError, LabThingsError
from labthings.server import ThingServer
from labthings.server.cli.configured_server import configured_server
from labthings.server.config_file import source_of
from labthings.server.hosted_thing import HostedThing
from labthings.server.thing_arguments import refused_argument
from labthings.server.thing_class import import_string
from labthings.thing_description import build_thing_description, validate_thing_description


def check_config(config: Path | None, json_text: str | None) -> str:
    """What a server would have: it is made, but not started, and leaves no files behind.

    :raises LabThingsError: if it could not start, or not with every Thing.
    """
    source = source_of(config, json_text)
    with TemporaryDirectory() as folder, _no_bytecode_files():
        server = configured_server(config, json_text, settings_folder=folder)
        things = server.served_things.values()
        faults = [fault for each in things for fault in _faults(each)]
    if faults:
        raise ConfigurationError("\n".join([f"{source} would not start with all its Things:", *faults]))
    if not things:
        return f"{source} would start, but has no Things."
    count = f"{len(things)} Thing{'' if len(things) == 1 else 's'}"
    return "\n".join([f"{source} would start, with {count}:", "", *_listing(server)])


@contextmanager
def _no_bytecode_files() -> Iterator[None]:
    writes_none = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = writes_none


def _faults(hosted: HostedThing) -> Iterator[str]:
    key = f"  things.{hosted.name}"
    if hosted.error is not None:
        refused = refused_argument(hosted.cls, hosted.config.kwargs, hosted.error)
        if refused:
            yield f"{'.'.join([key, *refused.location])}: {refused.message}"
        else:
            yield f"{key}: {type(hosted.error).__name__}: {hosted.error}"
    yield from (f"{key}.{name}: {type(error).__name__}: {error}" for name, error in faults_of(hosted.cls).items())
    try:
        validate_thing_description(build_thing_description(hosted, "http://localhost/", uuid.uuid4()))
    except LabThingsError as error:
        yield f"{key}: Its Thing Description is not valid: {error}"


def _listing(server: ThingServer) -> Iterator[str]:
    width = max(map(len, server.served_things), default=0)
    for name, hosted in server.served_things.items():
        yield f"  {name:<{width}}  {import_string(hosted.cls)}"
        for slot_name, slot in hosted.slots.items():
            connected = [thing.name for filled, thing in hosted.connections() if filled is slot]
            yield f"  {'':<{width}}    {slot_name}: {', '.join(connected) or 'nothing'}"
