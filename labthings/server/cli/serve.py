"""Serve what a configuration says."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import typer

from labthings.server.cli.configured_server import configured_server
from labthings.server.cli.failure import EXIT_CODE, report
from labthings.server.cli.log_output import RecentLog, show_log
from labthings.server.cli.port import require_free
from labthings.server.config_file import source_of

LOGGER = logging.getLogger(__name__)


def serve(
    config: Path | None,
    json_text: str | None,
    host: str,
    port: int,
    *,
    debug: bool,
    fallback: bool,
    discovery: bool | None,
) -> None:
    """Serve until interrupted.

    :param fallback: whether to serve a page that says why, if the server cannot start.
    :param discovery: whether to announce the server on the network, if the command line says.
    :raises LabThingsError: if the server cannot start, or not even the page can be served.
    """
    show_log(debug=debug)
    require_free(host, port)
    changes = {} if discovery is None else {"discovery": discovery}
    try:
        _serve(config, json_text, host, port, changes, debug=debug, fallback=fallback)
    finally:
        _tell_of_threads()


def _serve(
    config: Path | None,
    json_text: str | None,
    host: str,
    port: int,
    changes: dict[str, Any],
    *,
    debug: bool,
    fallback: bool,
) -> None:
    if not fallback:
        configured_server(config, json_text, debug=debug, **changes).serve(host, port)
        return
    with RecentLog() as log:
        try:
            configured_server(config, json_text, debug=debug, **changes).serve(host, port)
        except Exception as error:
            report(error, debug=debug)
            _explain(error, config, json_text, host, port, log.text, debug)
            raise typer.Exit(EXIT_CODE) from error


def _explain(
    error: Exception, config: Path | None, json_text: str | None, host: str, port: int, log: str, debug: bool
) -> None:
    from labthings.server.fallback import Failure, serve_fallback

    failure = Failure(error, config, source_of(config, json_text), f"{host}:{port}", log, debug)
    serve_fallback(failure, host, port)


def _tell_of_threads() -> None:
    """Log which threads hold up the end of the process."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            LOGGER.error(
                "The server has stopped, but its process goes on until the thread '%s' ends. "
                "End it in `__exit__`, or start it with `daemon=True`.",
                thread.name,
            )
