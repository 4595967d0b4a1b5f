"""A real browser, which tests steer through its debugger."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from shutil import which
from typing import Any

from websockets.sync.client import connect

CHROMIUM = which("chromium") or which("chromium-browser") or which("google-chrome")
SECONDS = 20  # in which everything must have happened


class Tab:
    """A page in a browser."""

    def __init__(self, debugger: Any) -> None:
        self._socket, self._numbers = debugger, count()
        self._session: dict[str, Any] = {}
        (page,) = [each for each in self._call("Target.getTargets")["targetInfos"] if each["type"] == "page"]
        attached = self._call("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = {"sessionId": attached["sessionId"]}

    def open(self, url: str) -> None:
        self._call("Page.navigate", url=url)

    def evaluate(self, script: str) -> Any:
        result = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)["result"]
        return result.get("value")

    def run(self, script: str) -> Any:
        """Do what a script says, which may await and return, and give what it gives; fail if it fails."""
        script = f"(async () => {{ {script} }})()"
        done = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]["exception"].get("description", done)
        return done["result"].get("value")

    def until(self, script: str) -> None:
        """Wait until a script gives something that is true."""
        deadline = time.monotonic() + SECONDS
        while not self.evaluate(script):
            assert time.monotonic() < deadline, script
            time.sleep(0.002)

    def _call(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params, **self._session}))
        while (answer := json.loads(self._socket.recv(timeout=SECONDS))).get("id") != number:
            pass
        assert "error" not in answer, answer
        return answer["result"]


@contextmanager
def opened_tab(folder: Path) -> Iterator[Tab]:
    """A page of a browser that keeps its files in a folder."""
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
    command += [f"--user-data-dir={folder}", "about:blank"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as browser:
        assert browser.stderr is not None
        try:
            line = next(each for each in browser.stderr if "DevTools listening on" in each)
            # Without pings, as hypothesis would notice that random numbers are drawn for them, whatever it tests then.
            with connect(line.split()[-1], max_size=None, ping_interval=None) as debugger:
                yield Tab(debugger)
        finally:
            browser.kill()
