"""Which LabThings this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def labthings_version() -> str:
    """The version that is installed, or that none is."""
    try:
        return version("labthings")
    except PackageNotFoundError:
        return "not installed as a package"
