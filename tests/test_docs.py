"""The documentation's code works as it stands there.

A page's blocks are tried in their order. Those with a ``:caption:`` are files; ``python`` blocks are run, and so are
``pycon`` blocks, whose results must be what the page says. What speaks to port 5000 finds a server there with the
page's ``config.json``, or else with ``config.example.json``; a page that writes another file gets a new server.
"""

import doctest
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]
ADDRESS = "127.0.0.1:5000"
INSTRUMENT_PORT = "5025"  # which configurations name, and something else may have

STARTS = re.compile(r"^```(?:\{code-block\} )?(?:python|pycon)$", re.MULTILINE)
BLOCK = re.compile(
    r"^```(?:\{code-block\} )?(?P<language>\w+)\n(?:(?P<options>(?::[a-z-]+:[^\n]*\n)+)\n?)?(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
SAVED_AS = re.compile(r"(?:Save this as `(?P<said>[^`]+)`[^\n]*\n\n)\Z")


class Block(NamedTuple):
    """Code on a page. One with a file name is the content of that file."""

    language: str
    text: str
    line: int
    file: str | None


def blocks(page: Path) -> Iterator[Block]:
    """The code on a page."""
    content = page.read_text(encoding="utf-8")
    for found in BLOCK.finditer(content):
        caption = re.search(r":caption: (.+)", found["options"] or "")
        said = SAVED_AS.search(content, 0, found.start())
        file = caption[1] if caption else said["said"] if said else None
        yield Block(found["language"], found["text"], content.count("\n", 0, found.start()) + 2, file)


WITH_CODE = [page for page in PAGES if any(block.language in ("python", "pycon") for block in blocks(page))]


class Server:
    """``labthings-server``, as a reader of a page runs it, in the folder with the page's files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None
        self._address = ""

    @property
    def address(self) -> str:
        """Its host and port, once it runs."""
        if self._process is None:
            config = self._folder / "config.json"
            config = config if config.exists() else CHECKOUT / "config.example.json"
            command = [sys.executable, "-m", "labthings.server.cli", "-c", str(config), "--port", "0"]
            self._process = subprocess.Popen(command, cwd=self._folder, stdout=subprocess.PIPE, text=True)
            self._address = self._announced_address()
        return self._address

    def stop(self) -> None:
        """Stop it as Ctrl+C does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.communicate(timeout=20)
            assert self._process.returncode == 0
            self._process = None

    def _announced_address(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if found := re.search(r"web browser at http://(\S+)", line):
                return found[1]
        raise AssertionError("The server has ended before it said where it is.")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to work in, whose modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    server = Server(folder)
    yield server
    server.stop()


@pytest.fixture
def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.stem)
def test_code_on_a_page_works(page: Path, folder: Path, server: Server, free_port: str) -> None:
    names: dict[str, Any] = {"__name__": f"docs_{page.stem}"}
    found = sum(block.language in ("python", "pycon") for block in blocks(page))
    assert found == len(STARTS.findall(page.read_text(encoding="utf-8")))
    for block in blocks(page):
        if block.file is not None:
            server.stop()
            (folder / block.file).write_text(block.text.replace(INSTRUMENT_PORT, free_port), encoding="utf-8")
        elif block.language in ("python", "pycon"):
            text = block.text.replace(ADDRESS, server.address) if ADDRESS in block.text else block.text
            (run if block.language == "python" else check_session)(text, page, block.line, names)
    if list(folder.glob("test_*.py")):
        subprocess.run([sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"], check=True)


def run(code: str, page: Path, line: int, names: dict[str, Any]) -> None:
    """Run code; a traceback shows the page's line."""
    exec(compile("\n" * (line - 1) + code, page, "exec"), names)


def check_session(session: str, page: Path, line: int, names: dict[str, Any]) -> None:
    """Run what follows each prompt, and compare what comes of it with what the page says."""
    test = doctest.DocTestParser().get_doctest(session, names, page.name, str(page), line - 1)
    runner = doctest.DebugRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    try:
        runner.run(test, clear_globs=False)
    except doctest.DocTestFailure as failure:
        pytest.fail(
            f"{page.name}:{line + failure.example.lineno}: {failure.example.source}gave:\n{failure.got}"
            f"but the page says:\n{failure.example.want}"
        )
    except doctest.UnexpectedException as unexpected:
        raise unexpected.exc_info[1] from None
    names.update(test.globs)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_linked_files_exist(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing


def test_quick_start_is_two_commands() -> None:
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    quick_start = readme.partition("## Quick start")[2].partition("\n## ")[0]
    commands = re.findall(r"```console\n(.*?)\n```", quick_start, re.DOTALL)
    assert commands == ["python3 .ci/serve.py", "python3 .ci/test.py"]
    assert commands[1] in (CHECKOUT / ".ci/run").read_text(encoding="utf-8").splitlines()
