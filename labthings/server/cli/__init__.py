"""The command ``labthings-server``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from labthings.server.cli.check import check_config
from labthings.server.cli.discover import advice, as_json, as_table, found_servers
from labthings.server.cli.failure import reported
from labthings.server.cli.options import ConfigOption, DebugOption, JsonOption, require_config
from labthings.server.cli.project import create_project
from labthings.server.cli.schema import config_schema
from labthings.server.cli.serve import serve
from labthings.server.version import labthings_version

app = typer.Typer(
    name="labthings-server",
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def serve_from_cli(argv: Sequence[str] | None = None) -> None:
    """Run ``labthings-server``.

    :param argv: the arguments after the program's name; those of this process by default.
    :raises SystemExit: if the command fails, with 3 for its configuration and 2 for its arguments.
    """
    try:
        app(args=None if argv is None else list(argv), prog_name="labthings-server")
    except SystemExit as ending:
        if ending.code:
            raise


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"labthings {labthings_version()}")
        raise typer.Exit


@app.callback(
    invoke_without_command=True,
    epilog="A first project: labthings-server init my_lab, then cd my_lab, then labthings-server -c config.json",
)
def serve_command(
    context: typer.Context,
    config: ConfigOption = None,
    json_text: JsonOption = None,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="The address to listen on. 0.0.0.0 lets other computers in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="PORT", min=0, max=65535, help="The port to listen on.")] = 5000,
    fallback: Annotated[
        bool,
        typer.Option("--fallback", help="If the server cannot start, serve a page that says why in its place."),
    ] = False,
    discovery: Annotated[
        bool | None,
        typer.Option(
            "--discovery/--no-discovery",
            help="Announce the server on the network, for 'labthings-server discover', or do not. "
            "By default, it is announced if it lets other computers in.",
        ),
    ] = None,
    debug: DebugOption = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version, and stop.")
    ] = False,
) -> None:
    """Serve laboratory instruments over HTTP and WebSocket, until interrupted with Ctrl+C."""
    if context.invoked_subcommand is None:
        require_config(context, config, json_text)
        with reported(debug=debug):
            serve(config, json_text, host, port, debug=debug, fallback=fallback, discovery=discovery)
    elif config is not None or json_text is not None:
        context.fail(f"Write -c and -j after '{context.invoked_subcommand}', not before it.")


@app.command("check")
def check_command(
    context: typer.Context, config: ConfigOption = None, json_text: JsonOption = None, debug: DebugOption = False
) -> None:
    """Say whether a configuration would start, without starting it."""
    require_config(context, config, json_text)
    with reported(debug=debug):
        typer.echo(check_config(config, json_text))


@app.command("schema")
def schema_command() -> None:
    """Print the JSON Schema of the configuration."""
    typer.echo(json.dumps(config_schema(), indent=2))


@app.command("init")
def init_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write to. It need not exist.")],
) -> None:
    """Write a small working project to start from."""
    with reported():
        typer.echo(create_project(folder))


@app.command("discover")
def discover_command(
    seconds: Annotated[float, typer.Option(metavar="N", min=0.1, max=3600, help="How long to look for them.")] = 3,
    as_json_text: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    interface: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS",
            help="Look only on the network where this computer has this address. May be given several times.",
        ),
    ] = None,
) -> None:
    """List the servers on the network, and their Things."""
    interfaces = interface or []
    typer.echo(f"Looking for servers for {seconds:g} s ...", err=True)
    with reported():
        servers = found_servers(seconds, interfaces)
    if as_json_text or servers:
        typer.echo(as_json(servers) if as_json_text else as_table(servers))
    if not servers:
        typer.echo(advice(interfaces), err=True)
        raise typer.Exit(1)
