"""Sphinx's configuration. Build the documentation with ``python -m sphinx docs docs/_build``."""

import builtins
import re
import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from docutils.nodes import Element
from pydantic import BaseModel
from sphinx.application import Sphinx

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

project = "LabThings"
copyright = "the LabThings authors"
version = release = installed_version("labthings")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"LabThings {version}"

myst_heading_anchors = 3
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_line_continuation_character = "\\"

default_role = "py:obj"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
maximum_signature_line_length = 100

# What has no page here to link to. Everything else must.
_OTHER_PACKAGES = (
    r"(anyio|_?asyncio|collections|concurrent|contextlib|datetime|fastapi|httpx|logging|numpy|os|pathlib|pydantic"
    r"|starlette|tempfile|threading|types|typing|typing_extensions|uuid)\..*"
)
_BUILTINS = "|".join(vars(builtins))
_TYPE_VARIABLES = (
    r"(labthings\..*\.)?(Client|Collection|ConnectedThings|Data|Descriptor|Encoded|Handler|Info|Model|Owner|Params|ReturnType"
    r"|ThingSubclass|Value)"
)
_PRIVATE = (
    r"(labthings\..*\.)?(AsyncConnection|BRIEF_SECONDS|Background|Batch|BlockingConnection|Breath|Channel|DescribedThing|DirectoryPage"
    r"|Hearing|HostedThing|LiveProperty|Moment|RemoteThing|Server|Subscriber|Topic"
    r"|ThingAccess|Told|interval|is_reset_in_loop|is_written_in_loop)"
)
nitpick_ignore_regex = [("py:.*", names) for names in (_OTHER_PACKAGES, _BUILTINS, _TYPE_VARIABLES, _PRIVATE)]


def setup(app: Sphinx) -> None:
    app.connect("missing-reference", _find_short_name)
    app.connect("autodoc-process-docstring", _leave_out_the_tree)
    app.connect("autodoc-process-signature", _leave_out_fields)
    app.connect("build-finished", _draw_examples)


def _find_short_name(app: Sphinx, env: Any, node: Element, content: Element) -> Any:
    """Link a name that is written without its module to the one object that has it."""
    if node.get("refdomain") != "py":
        return None
    domain = env.get_domain("py")
    ending = re.compile(rf"(^|.*\.){re.escape(node['reftarget'].lstrip('.'))}$")
    found = [name for name, entry in domain.objects.items() if ending.match(name) and not entry.aliased]
    if len(found) != 1:
        return None
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", found[0], node, content)


def _leave_out_the_tree(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """The docstring of the module of exceptions is a drawing, not reStructuredText."""
    if name == "labthings.exceptions":
        lines.clear()


def _leave_out_fields(app: Sphinx, what: str, name: str, obj: Any, *rest: Any) -> tuple[str, None] | None:
    """pydantic's signatures are made for programs."""
    return ("", None) if isinstance(obj, type) and issubclass(obj, BaseModel) else None


def _draw_examples(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        from example_pictures import draw_examples

        draw_examples(Path(app.outdir, "_images"))
