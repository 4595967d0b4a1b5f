"""The page that is served when the server cannot start."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from labthings.exceptions import ConfigurationError, ServerNotRunningError
from labthings.server.cli import serve_from_cli
from labthings.server.cli.log_output import RecentLog
from labthings.server.fallback import Failure, FallbackApp

FAULTS = [
    {"loc": ["things", "stage"], "msg": "There is no module 'lab'.", "type": "value_error"},
    {"loc": ["things", "camera", "args", 0], "msg": "There is no module 'lab'.", "type": "value_error"},
]


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    """An error with a traceback."""
    try:
        raise error from cause
    except type(error) as caught:
        return caught


def client(error: Exception, **details: Any) -> Any:
    return TestClient(FallbackApp(Failure(raised(error), **details)), raise_server_exceptions=True)


def page(error: Exception, **details: Any) -> str:
    """The text that a person sees."""
    return Text(client(error, **details).get("/").text).text


class Text(HTMLParser):
    """The text of a page, and the elements and attributes that it has."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.tags, self.attributes = "", set[str](), dict[str, str | None]()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= dict(attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


# --- who is told what ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"])
@pytest.mark.parametrize("path", ["/", "/things/", "/stage/x?a=b", "/labthings_fallback/", "/%00"])
def test_every_path_and_method_has_the_page(method: str, path: str) -> None:
    response = client(ConfigurationError("no")).request(method, path)
    assert response.status_code == 500
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert "The server could not start" in response.text


def test_a_program_can_find_out_that_it_is_the_fallback() -> None:
    response = client(ConfigurationError("no")).get("/labthings_fallback")
    assert (response.status_code, response.json()) == (200, True)
    assert client(ConfigurationError("no")).post("/labthings_fallback").status_code == 500


def test_head_has_no_body() -> None:
    response = client(ConfigurationError("no")).head("/")
    assert (response.status_code, response.content) == (500, b"")
    assert int(response.headers["content-length"]) > 1000


@pytest.mark.parametrize(
    "accept",
    ["application/json", "application/problem+json", "application/td+json, application/json", "image/png,x/y+json"],
)
def test_clients_that_ask_for_json_get_problem_details(accept: str, refused: Any) -> None:
    response = client(ConfigurationError("config.json cannot be used", FAULTS)).get("/x", headers={"Accept": accept})
    problem = refused(response, 500, "config.json cannot be used")
    assert problem["title"] == "ConfigurationError"
    assert problem["errors"] == FAULTS
    assert "traceback" not in problem


def test_of_a_server_in_debug_programs_get_the_traceback_too() -> None:
    response = client(OSError("no"), debug=True).get("/x", headers={"Accept": "application/json"})
    assert response.status_code == 500
    assert "in raised" in response.json()["traceback"]


@pytest.mark.parametrize("accept", ["*/*", "", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"])
def test_others_get_the_page(accept: str) -> None:
    response = client(OSError("no")).get("/x", headers={"Accept": accept})
    assert response.headers["content-type"].startswith("text/html")


def test_a_status_of_the_error_itself_is_not_used() -> None:
    response = client(ServerNotRunningError("no")).get("/x", headers={"Accept": "application/json"})
    assert (response.status_code, response.json()["status"]) == (500, 500)


def test_pages_of_other_sites_are_not_permitted_to_read_it() -> None:
    headers = client(OSError("no")).get("/", headers={"Origin": "https://elsewhere.example"}).headers
    assert not [name for name in headers if name.startswith("access-control")]


def test_websockets_are_refused() -> None:
    with pytest.raises(WebSocketDisconnect), client(OSError("no")).websocket_connect("/stage/ws"):
        pytest.fail("it was accepted")


# --- what the page says -------------------------------------------------------------------------------------


def test_each_fault_of_the_configuration_is_shown_with_its_keys() -> None:
    error = ConfigurationError("config.json cannot be used:\n  and so on", FAULTS)
    text = page(error, config=Path("config.json"), source="config.json", host="0.0.0.0:5000", log="One.\nTwo.")
    for words in (
        "config.json cannot be used.",
        "things.stage, things.camera.args[0]",
        "There is no module 'lab'.",
        "Correct the configuration, or the code that it names.",
        "labthings-server check -c config.json",
        "One.\nTwo.",
        "0.0.0.0:5000",
        str(Path("config.json").absolute()),
    ):
        assert words in text
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}", text)
    assert "raise error from cause" in text
    assert text.count("There is no module 'lab'.") == 1


def test_what_is_wrong_without_a_key_is_shown_as_it_is() -> None:
    text = page(ConfigurationError("--json cannot be used:\n  The slot 'a.b' is empty."), source="--json")
    assert "--json cannot be used.\n" in text
    assert "\nThe slot 'a.b' is empty.\n" in text
    assert "labthings-server check -j JSON" in text


def test_the_place_of_a_syntax_error_is_shown() -> None:
    message = "config.json is not valid JSON at line 1.\n  {,}\n   ^\nJSON wants double quotes."
    html = client(ConfigurationError(message)).get("/").text
    assert "<p>config.json is not valid JSON at line 1.</p>" in html
    assert "<pre>  {,}\n   ^\nJSON wants double quotes.</pre>" in html


def test_the_headline_keeps_the_colon_of_a_path() -> None:
    assert "\nC:\\lab.json cannot be used.\n" in page(ConfigurationError("C:\\lab.json cannot be used:\n  things: No."))


def test_an_error_that_is_not_ones_own_is_shown_with_its_place() -> None:
    text = page(ZeroDivisionError("by zero"))
    assert re.search(r"ZeroDivisionError at line \d+ of \S+test_fallback.py: by zero", text)
    assert "Look at the traceback" in text


def test_what_made_the_application_fail_is_shown_in_place_of_that_it_did() -> None:
    class Group(Exception):
        exceptions = (OSError("unplugged"),)

    failure = Failure(raised(ServerNotRunningError("What was logged says why."), Group("1 sub-exception")))
    assert [fault.text for fault in failure.faults] == ["OSError: unplugged"]
    assert "1 sub-exception" in failure.traceback


def test_nothing_in_it_is_taken_for_html() -> None:
    nasty = "</pre><script>alert(1)</script><img src=//x onerror='y'>&amp;$headline"
    faults = [{"loc": ["things", nasty], "msg": nasty, "type": "x"}]
    error = ConfigurationError(f"{nasty}:\n  {nasty}", faults)
    html = client(error, source=nasty, config=Path(nasty), host=nasty, log=nasty).get("/").text
    parsed = Text(html)
    assert not {"script", "img"} & parsed.tags
    assert parsed.text.count("<script>alert(1)</script>") >= 6
    assert "&amp;$headline" in parsed.text


def test_it_needs_no_network() -> None:
    response = client(OSError("no")).get("/")
    parsed = Text(response.text)
    assert not {"script", "link", "img", "iframe", "a"} & parsed.tags
    assert not {"src", "href"} & parsed.attributes.keys()
    assert not re.search(r"https?:|url\(|@import", response.text)
    assert response.headers["content-security-policy"].startswith("default-src 'none'")


def test_odd_and_endless_text_does_it_no_harm() -> None:
    response = client(OSError("x" * 10**6 + "\udcff\x00 end"), log="y" * 10**7 + "last").get("/")
    assert response.status_code == 500
    assert len(response.content) < 10**6
    assert "end" in response.text
    assert "last" in response.text


# --- the command --------------------------------------------------------------------------------------------

LAB = """
import logging
import labthings as lt

logging.getLogger("labthings.lab").warning("The stage answers slowly.")

class Stage(lt.Thing):
    pass
"""
START = """
import sys
from labthings.server.cli import serve_from_cli
from labthings.server.household import Household

async def start(household):
    raise ZeroDivisionError("no household")

if sys.argv[1] == "fails":
    Household.start = start
serve_from_cli(sys.argv[2:])
"""


class Command:
    """``labthings-server --fallback`` in a process of its own, once it has said where it is."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        (folder / "lab.py").write_text(LAB)
        command = [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", "-c", START, *arguments]
        flags: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": folder}
        self.popen = subprocess.Popen([*command, "--fallback", "--port", "0"], **flags)
        patience = threading.Timer(30, self.popen.kill)
        patience.start()
        try:
            said = "".join(iter(self._line, "Press Ctrl+C to stop.\n"))
        finally:
            patience.cancel()
        found = re.search(r"http://127\.0\.0\.1:\d+", said)
        assert found, said
        self.said, self.url = said, found[0]

    def _line(self) -> str:
        line = self.popen.stdout.readline() if self.popen.stdout else ""
        assert line, self.popen.communicate(timeout=20)[1]
        return line

    def says(self, words: str) -> bool:
        """Whether it prints something on stderr before long."""
        patience = threading.Timer(20, self.popen.kill)
        patience.start()
        try:
            return any(words in line for line in self.popen.stderr or ())
        finally:
            patience.cancel()

    def end(self, number: int) -> tuple[int, str]:
        """Send a signal, and give the exit code, and what was printed on stderr."""
        self.popen.send_signal(number)
        _, printed = self.popen.communicate(timeout=20)
        return self.popen.returncode, printed


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    with ExitStack() as stack:

        def run_one(*arguments: str) -> Command:
            command = Command(tmp_path, *arguments)
            stack.callback(command.popen.communicate)
            stack.callback(command.popen.kill)
            return command

        yield run_one


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals for one process")
def test_a_wrong_configuration_is_served_until_interrupted(run: Any, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"things": {"stage": "lab:Stag"}}')
    command = run("as it is", "-c", "config.json")
    assert "Serving a page that says why" in command.said
    with httpx.Client(base_url=command.url) as idle:
        html = idle.get("/stage/").text
        for words in ("<code>things.stage</code>", "Did you mean &#x27;Stage&#x27;?", "The stage answers slowly."):
            assert words in html
        assert idle.put("/stage/x", content=b"x" * 10**6).status_code == 500
        with pytest.raises(InvalidStatus) as refusal:
            connect(command.url.replace("http", "ws") + "/stage/ws")
        assert refusal.value.response.status_code == 500
        code, printed = command.end(signal.SIGINT)
    assert code == 3
    assert "Error: config.json cannot be used:\n  things.stage: The module 'lab' has no 'Stag'." in printed
    assert "Traceback" not in printed


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals for one process")
def test_an_application_that_cannot_start_is_served_until_terminated(run: Any) -> None:
    command = run("fails", "-j", '{"things": {"stage": "lab:Stage"}}')
    assert "ZeroDivisionError: no household" in httpx.get(command.url).text
    problem = httpx.get(command.url, headers={"Accept": "application/json"}).json()
    assert (problem["title"], problem["detail"]) == ("ZeroDivisionError", "no household")
    code, printed = command.end(signal.SIGTERM)
    assert code == 3
    assert "Error: The server could not start." in printed


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals for one process")
@pytest.mark.parametrize("module", ["busy", "idle"])
def test_a_thread_that_holds_up_the_end_is_named(run: Any, tmp_path: Path, module: str) -> None:
    film = "import threading\nthreading.Thread(target=threading.Event().wait, name='film').start()\n"
    (tmp_path / "busy.py").write_text(film + "raise RuntimeError\n")
    (tmp_path / "idle.py").write_text(f"import labthings as lt\n{film}class Stage(lt.Thing):\n    pass\n")
    command = run("as it is", "-j", f'{{"things": {{"stage": "{module}:Stage"}}}}')
    command.popen.send_signal(signal.SIGTERM)
    assert command.says("its process goes on until the thread 'film' ends")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals for one process")
def test_one_thing_that_fails_is_no_reason_for_it(run: Any, tmp_path: Path) -> None:
    (tmp_path / "shy.py").write_text(
        "import labthings as lt\nclass Shy(lt.Thing):\n    __enter__ = lambda self: 1 / 0\n"
    )
    command = run("as it is", "-j", '{"things": {"stage": "lab:Stage", "shy": "shy:Shy"}}')
    assert httpx.get(f"{command.url}/labthings_fallback").status_code == 404
    health = httpx.get(f"{command.url}/health").json()
    assert health["things"]["stage"] == {"state": "running"}
    assert health["things"]["shy"] == {"state": "failed", "error": "ZeroDivisionError: division by zero"}
    code, printed = command.end(signal.SIGTERM)
    assert code == 0
    assert "'shy' is not available. It could not start: ZeroDivisionError" in printed


def test_of_a_long_log_the_end_is_kept() -> None:
    logger = logging.getLogger("labthings.test_fallback")
    with RecentLog(most=2) as log:
        for number in range(4):
            logger.warning("Attempt %d", number)
    logger.warning("Later")
    assert [line.rpartition(": ")[2] for line in log.text.splitlines()] == ["Attempt 2", "Attempt 3"]


def test_a_port_that_is_in_use_cannot_be_served_at(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SystemExit) as ending:
        serve_from_cli(["-j", "{", "--fallback", "--port", str(taken.getsockname()[1])])
    assert ending.value.code == 3
    assert "is in use" in capsys.readouterr().err


@pytest.mark.parametrize(("fallback", "raises"), [([], ZeroDivisionError), (["--fallback"], SystemExit)])
def test_an_error_that_nobody_expects(
    fallback: list[str], raises: Any, capsys: pytest.CaptureFixture[str], current_folder: Path
) -> None:
    with (
        patch("labthings.server.ThingServer.__init__", side_effect=ZeroDivisionError("what?")),
        patch("labthings.server.fallback.serve_fallback") as serve,
        pytest.raises(raises) as ending,
    ):
        serve_from_cli(["-j", '{"things": {}}', "--port", "0", *fallback])
    assert serve.called == bool(fallback)
    if fallback:
        assert ending.value.code == 3
        assert str(serve.call_args.args[0].error) == "what?"
        assert capsys.readouterr().err.rstrip().endswith("ZeroDivisionError: what?")
