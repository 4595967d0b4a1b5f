"""A virtual environment with this checkout installed, made when it is first needed.

It is written so that a Python that is too old can still run it, and say so.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 10)


def python_with(extras=""):
    """The Python of the virtual environment, once this checkout is installed there.

    The environment is ``.venv`` in the checkout, or the folder that ``LABTHINGS_VENV`` names.

    :param extras: optional dependencies of ``pyproject.toml``, like ``"dev"`` or ``"dev,docs"``.
    """
    if sys.version_info < OLDEST_PYTHON:
        sys.exit(
            f"LabThings needs Python 3.10 or newer. This is {sys.version.split()[0]}: {sys.executable}\n"
            f"If you have a newer one too, name it, as in: python3.12 {sys.argv[0]}"
        )
    folder = Path(os.environ.get("LABTHINGS_VENV", CHECKOUT / ".venv")).absolute()
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    installed = folder / f"labthings-{extras or 'plain'}.txt"
    wanted = _fingerprint()
    if not python.exists() or not installed.exists() or installed.read_text() != wanted:
        _install(folder, python, f"{CHECKOUT}[{extras}]" if extras else str(CHECKOUT))
        installed.write_text(wanted)
    return str(python)


def run(command):
    """Run a command in the checkout, in place of this program."""
    os.chdir(CHECKOUT)
    sys.stdout.flush()
    if os.name != "nt":
        os.execv(command[0], command)
    process = subprocess.Popen(command)
    while True:
        try:
            sys.exit(process.wait())
        except KeyboardInterrupt:  # the command has got it too, and ends in its own way
            continue


def _install(folder, python, requirement):
    sys.stderr.write(f"Installing LabThings in {folder} ...\n")
    if subprocess.call([sys.executable, "-m", "venv", str(folder)]):
        sys.exit(
            "\nPython could not make a virtual environment: see above. On Debian and Ubuntu, run\n"
            "  sudo apt install python3-venv\n"
            "and try again."
        )
    if subprocess.call(
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--editable", requirement]
    ):
        sys.exit("\npip could not install LabThings: see above. It needs an internet connection the first time.")


def _fingerprint():
    """What must be installed again when it changes."""
    return f"{sys.version}\n{CHECKOUT}\n{hashlib.sha256((CHECKOUT / 'pyproject.toml').read_bytes()).hexdigest()}\n"
