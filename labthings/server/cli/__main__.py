from labthings.server.cli import serve_from_cli

serve_from_cli()
