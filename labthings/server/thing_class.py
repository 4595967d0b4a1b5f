"""The class of a Thing, found by its import string."""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any, TypeGuard

from labthings.exceptions import ConfigurationError
from labthings.suggestions import did_you_mean
from labthings.thing import Thing

IMPORT_STRING = r"^[^\W\d]\w*(\.[^\W\d]\w*)*[:.][^\W\d]\w*(\.[^\W\d]\w*)*$"
_PACKAGE_FOLDER = Path(__file__).parents[1]


def thing_class(value: Any) -> type[Thing]:
    """A Thing's class: the value itself, or what it is the import string of.

    :param value: a class, or a string such as ``package.module:ClassName``.
    :raises ConfigurationError: if it cannot be imported, or is not a subclass of ``Thing``.
    """
    if isinstance(value, str):
        return _imported(value)
    if _is_thing_class(value):
        return value
    raise ConfigurationError(f"{value!r} is not a subclass of `labthings.Thing`, nor the import string of one.")


def import_string(cls: type[Thing]) -> str:
    """What to write into a configuration file to have this class."""
    return f"{cls.__module__}:{cls.__qualname__}"


def _is_thing_class(value: Any) -> TypeGuard[type[Thing]]:
    return isinstance(value, type) and issubclass(value, Thing)


def _imported(text: str) -> type[Thing]:
    if not re.fullmatch(IMPORT_STRING, text):
        raise ConfigurationError(_malformed(text))
    module_name, _, name = text.rpartition(":" if ":" in text else ".")
    module = _module(module_name)
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if _is_thing_class(found):
        return found
    fault = f"has no '{name}'" if found is None else f"has '{name}', but that is not a subclass of `labthings.Thing`"
    raise ConfigurationError(f"The module '{module_name}' {fault}.{_alternatives(name, module)}")


def _malformed(text: str) -> str:
    path, colon, name = text.rpartition(":")
    corrected = re.sub(r"[/\\]", ".", path.removesuffix(".py")).lstrip(".") + colon + name
    hint = f" Did you mean '{corrected}'?" if re.fullmatch(IMPORT_STRING, corrected) else ""
    return f"'{text}' should name a module and a class, like 'package.module:ClassName'.{hint}"


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        is_part_of_it = f"{name}.".startswith(f"{missing}.")
        remedy = f". Is that installed for {sys.executable}?"
        raise ConfigurationError(_not_found(missing) if is_part_of_it else _broken(name, error) + remedy) from error
    except (Exception, SystemExit) as error:
        raise ConfigurationError(_broken(name, error)) from error


def _not_found(name: str) -> str:
    searched = ", ".join(folder for folder in sys.path if folder and not _is_installed(folder))
    places = " and ".join(filter(None, [searched, "its installed packages"]))
    return f"There is no module '{name}'.{_similar_module(name)} Python looked in {places}."


def _similar_module(name: str) -> str:
    parent, _, last = name.rpartition(".")
    if last == "py":
        return f" Write '{parent}', without '.py'."
    folders = getattr(sys.modules.get(parent), "__path__", []) if parent else None
    return did_you_mean(last, (module.name for module in pkgutil.iter_modules(folders)))


def _broken(name: str, error: BaseException) -> str:
    if error.__cause__ is not None and "__set_name__" in str(error):  # so Python 3.11 and older wrap what it raised
        error = error.__cause__
    return f"The module '{name}' was found, but importing it failed{place_of(error)}: {type(error).__name__}: {error}"


def place_of(error: BaseException) -> str:
    """Words for the last line of the user's own code that an error passed through; none if there is none."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not _is_installed(frame.filename)]
    return f" at line {own[-1].lineno} of {own[-1].filename}" if own else ""


def _is_installed(path: str) -> bool:
    installed = {_PACKAGE_FOLDER, Path(sys.prefix), Path(sys.base_prefix)}
    return path.startswith("<frozen") or not installed.isdisjoint([Path(path), *Path(path).parents])


def _alternatives(name: str, module: ModuleType) -> str:
    things = [key for key, value in vars(module).items() if _is_thing_class(value) and value is not Thing]
    listing = f" Its Things are {', '.join(things)}." if things else " It has no subclass of `labthings.Thing`."
    return did_you_mean(name, things) or listing
