"""Serve the example Things: ``python3 .ci/serve.py``. Arguments are passed on to ``labthings-server``."""

import sys

from environment import python_with, run

run([python_with(), "-m", "labthings.server.cli", "-c", "config.example.json", *sys.argv[1:]])
