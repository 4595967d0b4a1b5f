"""The page that says why a server could not start."""

from __future__ import annotations

import html
import platform
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from string import Template

from labthings.problem_details import printable
from labthings.server.fallback.failure import Failure, Fault, Step
from labthings.server.version import labthings_version

CONTENT_SECURITY_POLICY = b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"


def page(failure: Failure) -> str:
    """The page, as HTML that needs nothing from the network."""
    return _template().substitute(
        headline=_escaped(failure.headline),
        faults="\n".join(map(_fault, failure.faults)),
        steps="\n".join(map(_step, failure.steps)),
        log=_escaped(failure.end_of_log.rstrip()) or "Nothing was logged.",
        traceback=_escaped(failure.traceback.rstrip()),
        facts="\n".join(f"<div><dt>{name}</dt><dd>{_escaped(fact)}</dd></div>" for name, fact in _facts(failure)),
    )


def _fault(fault: Fault) -> str:
    key = f"<h2><code>{_escaped(fault.key)}</code></h2>\n" if fault.key else ""
    element = "pre" if "\n" in fault.text else "p"  # of several lines, one may point at a place in another
    return f'<div class="fault">\n{key}<{element}>{_escaped(fault.text)}</{element}>\n</div>'


def _step(step: Step) -> str:
    command = f" <code>{_escaped(step.command)}</code>" if step.command else ""
    return f"<li>{_escaped(step.text)}{command}</li>"


def _facts(failure: Failure) -> Iterator[tuple[str, str]]:
    yield "When", failure.time.strftime("%Y-%m-%d %H:%M:%S %z")
    yield "Configuration", str(failure.config.absolute()) if failure.config else failure.source
    yield "Computer", f"{platform.node()}, listening at {failure.host}"
    yield "LabThings", f"{labthings_version()}, on Python {platform.python_version()}"


def _escaped(text: str) -> str:
    return html.escape(printable(text))


@cache
def _template() -> Template:
    return Template((files("labthings.server.fallback") / "page.html").read_text(encoding="utf-8"))
