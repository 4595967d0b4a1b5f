"""Whether a Thing's class takes the arguments that a configuration gives it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from inspect import Parameter
from typing import Any, NamedTuple

from labthings.suggestions import did_you_mean

_SUPPLIED = "thing_server_interface"
_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_KEYWORD = (Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_VARIADIC = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


class ArgumentFault(NamedTuple):
    """An argument that the class does not take, or does not get."""

    location: tuple[str, ...]
    message: str


def argument_faults(cls: type, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[ArgumentFault]:
    """What would make calling the class a ``TypeError``."""
    parameters = _signature(cls).parameters.values()
    kinds = {each.kind for each in parameters}
    positional = [each.name for each in parameters if each.kind in _POSITIONAL]
    by_position = positional[: len(args)]

    if _SUPPLIED in by_position:
        yield ArgumentFault(("args",), f"{cls.__name__} takes its arguments by name. Write them in `kwargs`.")
    elif len(args) > len(positional) and Parameter.VAR_POSITIONAL not in kinds:
        yield ArgumentFault(("args",), f"{cls.__name__} takes at most {len(positional)}, not {len(args)}.")
    for name in kwargs:
        if name == _SUPPLIED:
            yield ArgumentFault(("kwargs", name), "The server supplies this argument. Remove it.")
        elif name in by_position:
            yield ArgumentFault(("kwargs", name), "This argument is in `args` already. Remove one of the two.")
        elif name not in _keywords(cls) and Parameter.VAR_KEYWORD not in kinds:
            yield _unknown(cls, name)
    for each in parameters:
        is_needed = each.default is Parameter.empty and each.kind not in _VARIADIC
        if is_needed and each.name not in {*by_position, *kwargs, _SUPPLIED}:
            yield ArgumentFault(("kwargs", each.name), f"This argument is missing: {cls.__name__} needs it.")


def refused_argument(cls: type, kwargs: Mapping[str, Any], error: BaseException) -> ArgumentFault | None:
    """Which argument was too much, if that is why a class that passes on ``**kwargs`` could not be made."""
    refused = (name for name in kwargs if f"unexpected keyword argument '{name}'" in str(error))
    return next((_unknown(cls, name) for name in refused), None) if isinstance(error, TypeError) else None


def _unknown(cls: type, name: str) -> ArgumentFault:
    possible = _keywords(cls)
    listing = f" It takes {', '.join(possible)}." if possible else " It takes none."
    text = f"{cls.__name__} takes no such argument.{did_you_mean(name, possible) or listing}"
    return ArgumentFault(("kwargs", name), text)


def _keywords(cls: type) -> list[str]:
    parameters = _signature(cls).parameters.values()
    return [each.name for each in parameters if each.kind in _KEYWORD and each.name != _SUPPLIED]


def _signature(cls: type) -> inspect.Signature:
    if sys.version_info >= (3, 14):  # where annotations are evaluated, unless asked not to, and may not be defined
        import annotationlib

        return inspect.signature(cls, annotation_format=annotationlib.Format.FORWARDREF)
    return inspect.signature(cls)
