"""The root of all errors."""

from __future__ import annotations

import re
from typing import Any, ClassVar


class LabThingsError(Exception):
    """The root of LabThings' errors.

    ``status_code`` is the HTTP status that tells a client of it, ``type`` the stable URI of its class.
    """

    status_code: ClassVar[int] = 500
    type: ClassVar[str] = "urn:labthings:error:lab-things"
    problem: Any = None
    """What the server said of it, if a client raises it: `labthings.problem_details.ProblemDetails`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__.removesuffix("Error"))
        cls.type = f"urn:labthings:error:{words.lower()}"
