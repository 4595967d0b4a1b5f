"""One Thing's settings on disk: a JSON object, replaced as a whole, with earlier versions to go back to.

NaN and the infinities are written as ``NaN``, ``Infinity`` and ``-Infinity``, as Python's ``json`` reads them:
strict JSON has only ``null`` for them, and would lose what a calibration said.

Earlier versions are in the folder ``<name>.versions`` beside the file. What a session finds in the file is kept
before it is first overwritten, then the file is kept at most once an hour. Of more than 40 versions the newest 20
and the oldest stay, and of the rest the one goes that leaves the smallest gap in proportion to its age.
"""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import re
import stat
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from glob import escape
from pathlib import Path
from typing import Any
from uuid import uuid4

from labthings.exceptions import SettingsNotSavedError

MOST_VERSIONS = 40
NEWEST_VERSIONS = 20
SECONDS_BETWEEN_VERSIONS = 3600.0

_TIME_FORMAT = "%Y%m%dT%H%M%SZ"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SettingsVersion:
    """Settings as they were saved at some time, and stood until the next newer version.

    :param saved_at: the time, in UTC, by the clock of then.
    :param number: counts the versions, whatever the clock did.
    """

    path: Path
    saved_at: datetime
    number: int


class SettingsFile:
    """The file of one Thing's settings. It must be loaded before it can be saved to.

    Its methods may be called from any thread, and block while the disk works.
    """

    def __init__(self, path: Path) -> None:
        # Made absolute because user code may change the folder it works in, and followed so that a link stays one.
        self.path = Path(os.path.realpath(path))
        self._versions_folder = self.path.with_name(f"{self.path.stem}.versions")
        self._lock = threading.Lock()
        self._last_known: bytes | None = None
        self._not_loaded: str | None = "it has not been loaded yet"
        self._unfinished: bytes | None = None
        self._next_version_at = -math.inf

    def load(self) -> dict[str, Any]:
        """Read the settings: an empty dictionary if there is no file, an earlier version if it cannot be parsed.

        :raises OSError: if there is a file that cannot be read; it will not be saved to until it has been loaded.
        """
        with self._lock:
            try:
                content = self._readable_content()
            except OSError as error:
                self._not_loaded = f"it could not be loaded ({error}): make it readable, then restart the server"
                raise
            self._not_loaded = None
            self._last_known = content
            self._next_version_at = -math.inf
            self._remove_leftovers()
            if content is None:
                self._warn_of_unused_versions()
                return {}
            return _decode(content)

    def save(self, values: Mapping[str, Any]) -> None:
        """Write values, and keep what the file has under other keys.

        :param values: what ``json`` can write; NaN and infinities included.
        :raises SettingsNotSavedError: if they may not be on disk.
        """
        with self._lock:
            if self._not_loaded is not None:
                raise SettingsNotSavedError(f"{self.path} is left as it is, because {self._not_loaded}.")
            try:
                self._save(values)
            except OSError as error:
                raise SettingsNotSavedError(f"{self.path} could not be written: {error}") from error

    def versions(self) -> list[SettingsVersion]:
        """Return the earlier versions, newest first."""
        paths = self._versions_folder.iterdir() if self._versions_folder.exists() else ()
        versions = filter(None, map(_version, paths))
        return sorted(versions, key=lambda version: version.number, reverse=True)

    def restore(self, version: SettingsVersion) -> dict[str, Any]:
        """Put an earlier version back and return its values; what it replaces becomes a version itself.

        :raises OSError: if the version cannot be read, or the file cannot be written.
        :raises ValueError: if the version is not a JSON object.
        """
        with self._lock:
            content = version.path.read_bytes()
            values = _decode(content)
            present = self._readable_content()
            if present is not None:
                self._add_version(present)
            self._replace(content)
            return values

    def _save(self, values: Mapping[str, Any]) -> None:
        present = self._readable_content()
        base = self._last_known if present is None else present
        old_values = {} if base is None else _decode(base)
        content = _encode({**old_values, **values})
        if present is not None:
            if content == _encode(old_values) and self._unfinished is None:
                return
            self._keep(present)
        self._replace(content)

    def _replace(self, content: bytes) -> None:
        # If its last step fails, the file has its new content already, but a power cut may take that back.
        self._unfinished = content
        _write(self.path, content, _mode(self.path))
        self._unfinished = None
        self._last_known = content

    def _readable_content(self) -> bytes | None:
        """Read the file, and repair it first if it cannot be parsed."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            _decode(content)
        except ValueError as error:
            return self._repair(content, error)
        return content

    def _repair(self, broken: bytes, error: ValueError) -> bytes | None:
        # A copy, not a move: there is no moment at which a crash leaves no file, which would mean defaults.
        aside = self._unused_path()
        _write(aside, broken, _mode(self.path))
        _logger.error("%s cannot be parsed: %s. It was moved to %s.", self.path, error, aside)
        content = self._newest_good_content()
        if content is None:
            _logger.error("There is no earlier version of %s, so its settings are lost.", self.path)
            self.path.unlink()
        else:
            self._replace(content)
        return content

    def _newest_good_content(self) -> bytes | None:
        if self._last_known is not None:
            _logger.error("%s goes on with what this server last read or wrote.", self.path)
            return self._last_known
        for version, content in self._readable_versions():
            _logger.error("%s goes on with its version of %s: CHECK IT.", self.path, version.saved_at)
            return content
        return None

    def _unused_path(self) -> Path:
        while True:
            now = datetime.now(timezone.utc)
            path = self.path.with_name(f"{self.path.stem}.broken-{now:%Y%m%dT%H%M%S.%fZ}.json")
            if not os.path.lexists(path):
                return path

    def _warn_of_unused_versions(self) -> None:
        if self._versions_folder.exists():
            _logger.warning("There is no %s, but %s has earlier versions.", self.path, self._versions_folder)

    def _remove_leftovers(self) -> None:
        """Remove what a crash left half-written."""
        try:
            for folder in (self.path.parent, self._versions_folder):
                for leftover in folder.glob(f".{escape(self.path.stem)}.*.tmp"):
                    leftover.unlink(missing_ok=True)
        except OSError as error:
            _logger.warning("A leftover temporary file could not be removed: %s", error)

    def _keep(self, content: bytes) -> None:
        changed_by_others = self._last_known is not None and content not in (self._last_known, self._unfinished)
        if changed_by_others:
            _logger.warning("%s was changed by something else; that becomes a version.", self.path)
        if changed_by_others or time.monotonic() >= self._next_version_at:
            self._add_version(content)
            self._next_version_at = time.monotonic() + SECONDS_BETWEEN_VERSIONS

    def _add_version(self, content: bytes) -> None:
        _, newest = next(self._readable_versions(), (None, None))
        if content == newest:
            return
        number = max((version.number for version in self.versions()), default=0) + 1
        saved_at = datetime.fromtimestamp(self.path.stat().st_mtime, timezone.utc)
        name = f"{self.path.stem}.{number:06}-{saved_at:{_TIME_FORMAT}}.json"
        _write(self._versions_folder / name, content, _mode(self.path))
        self._remove_expendable_versions()

    def _remove_expendable_versions(self) -> None:
        versions = self.versions()
        try:
            while len(versions) > MOST_VERSIONS:
                version = most_expendable(versions)
                versions.remove(version)
                version.path.unlink(missing_ok=True)
        except OSError as error:
            _logger.warning("An old version of %s could not be removed: %s", self.path, error)

    def _readable_versions(self) -> Iterator[tuple[SettingsVersion, bytes]]:
        for version in self.versions():
            try:
                content = version.path.read_bytes()
                _decode(content)
            except (OSError, ValueError) as error:
                _logger.warning("The version %s cannot be read: %s", version.path, error)
            else:
                yield version, content


def most_expendable(versions: Sequence[SettingsVersion]) -> SettingsVersion:
    """Choose the version to give up: the one that leaves the smallest gap in proportion to its age.

    :param versions: more than 21 of them, newest first.
    """

    def worth(index: int) -> float:
        gap = abs(versions[index - 1].saved_at - versions[index + 1].saved_at)
        age = abs(versions[0].saved_at - versions[index].saved_at)
        return gap / (age + timedelta(hours=1))

    return versions[min(range(NEWEST_VERSIONS, len(versions) - 1), key=worth)]


def _encode(values: Mapping[str, Any]) -> bytes:
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    # Half a surrogate pair has no UTF-8; a backslash escape is what JSON has for it.
    return text.encode("utf-8", "backslashreplace")


def _decode(content: bytes) -> dict[str, Any]:
    try:
        values = json.loads(content.decode("utf-8-sig"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(values, dict):
        raise ValueError(f"it holds a {type(values).__name__}, not an object")
    return values


def _version(path: Path) -> SettingsVersion | None:
    match = re.fullmatch(r".*\.(\d+)-(\d+T\d+Z)\.json", path.name)
    if match is None:
        return None
    try:
        saved_at = datetime.strptime(match[2], _TIME_FORMAT).replace(tzinfo=timezone.utc)
    except ValueError:  # a file that somebody put there
        return None
    return SettingsVersion(path, saved_at, int(match[1]))


def _mode(path: Path) -> int | None:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return None


def _write(path: Path, content: bytes, mode: int | None) -> None:
    """Replace a file: whenever the power is cut, it then has either its old content or all of the new."""
    try:
        _make_folder(path.parent)
        temporary = path.with_name(f".{path.stem}.{uuid4().hex}.tmp")
        try:
            _write_new(temporary, content, mode)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
    except OSError as error:
        # Named after the file that is wanted, as the temporary one has another name at every attempt.
        raise OSError(error.errno, error.strerror, str(path)) from error


def _write_new(path: Path, content: bytes, mode: int | None) -> None:
    with path.open("xb") as file:
        if mode is not None:
            path.chmod(mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # where a folder cannot be opened
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # as some network file systems answer
            raise
    finally:
        os.close(descriptor)
