"""How fast a blob of 2 GB is served, saved and uploaded, and in how much memory: ``python tests/benchmarks/blobs.py``.

The blob is a sparse file, so that the disk it comes from costs little; the one that it is saved to is the temporary
folder's. ``--peer PYTHON`` does the same with labthings-fastapi, which that interpreter must have, in the same run.
"""

import argparse
import importlib
import importlib.util
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

LIBRARY = "labthings" if importlib.util.find_spec("labthings") else "labthings_fastapi"


def serve(port: int, folder: str) -> None:
    """Serve a Thing that returns a blob, and takes one."""
    lt = importlib.import_module(LIBRARY)

    class Data(lt.blob.Blob):  # type: ignore[misc, name-defined]
        media_type = "application/octet-stream"

    class Archive(lt.Thing):  # type: ignore[misc, name-defined]
        """A file."""

        @lt.action
        def fetch(self) -> Data:
            """Return it."""
            return Data.from_file(f"{folder}/blob")

        @lt.action
        def take(self, data: Data) -> int:
            """Count the bytes of another one."""
            with data.open() as file:
                return int(file.seek(0, os.SEEK_END))

    server = lt.ThingServer.from_things({"archive": Archive}, settings_folder=f"{folder}/settings")
    server.serve(host="127.0.0.1", port=port)


def use(url: str, server: int, folder: str) -> None:
    """Print what the parts of a blob's life take.

    :param server: the id of the server's process.
    """
    lt = importlib.import_module(LIBRARY)

    class Data(lt.blob.Blob):  # type: ignore[misc, name-defined]
        media_type = "application/octet-stream"

    archive = lt.ThingClient.from_url(f"{url}/archive/")
    source = Path(folder, "blob")

    def save() -> None:
        archive.fetch().save(f"{folder}/saved")
        assert Path(folder, "saved").stat().st_size == source.stat().st_size

    def upload() -> None:
        assert archive.take(data=Data.from_file(str(source))) == source.stat().st_size

    def download() -> None:
        """Without LabThings at the client's end, and without a disk there."""
        request = urllib.request.Request(f"{url}/archive/fetch", b"{}", {"Content-Type": "application/json"})
        invocation = json.load(urllib.request.urlopen(request))
        while invocation["status"] != "completed":
            time.sleep(0.01)
            invocation = json.load(urllib.request.urlopen(f"{url}/action_invocations/{invocation['id']}"))
        with urllib.request.urlopen(invocation["output"]["href"]) as response:
            while response.read(2**20):
                continue

    parts = {"serve": download, "save": save, "upload": upload}
    size = source.stat().st_size / 1e6
    print(json.dumps({name: measured(part, size, server) for name, part in parts.items()}))


def measured(part: Callable[[], None], megabytes: float, server: int) -> dict[str, Any]:
    """How fast something is, and how much further memory it takes here and at the server, at its peak."""
    before = {pid: reset_peak(pid) for pid in (os.getpid(), server)}
    begun = time.perf_counter()
    try:
        part()
    except Exception as error:  # noqa: BLE001 - a peer may not be able to do it
        return {"error": f"{type(error).__name__}: {error}"[:200]}
    seconds = time.perf_counter() - begun
    here, there = (round(kilobytes(pid, "VmHWM") / 1e3 - before[pid] / 1e3, 1) for pid in before)
    return {"MB_per_s": round(megabytes / seconds), "client_peak_MB": here, "server_peak_MB": there}


def reset_peak(pid: int) -> int:
    """Begin anew to note a process's largest memory, and return what it is now, in kB."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return kilobytes(pid, "VmRSS")


def kilobytes(pid: int, kind: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(kind)).split()[1])


def run(python: str, megabytes: int) -> dict[str, Any]:
    """Measure with a server and a client that an interpreter runs."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        with Path(folder, "blob").open("wb") as file:
            file.truncate(megabytes * 10**6)
        server = subprocess.Popen(
            [python, __file__, "serve", str(port), folder],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(port)
            command = [python, __file__, "use", f"http://127.0.0.1:{port}", str(server.pid), folder]
            return json.loads(subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE).stdout)  # type: ignore[no-any-return]
        finally:
            server.terminate()
            server.wait()


def wait_for(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError("The server does not start.")


def ratios(ours: dict[str, Any], peer: dict[str, Any]) -> dict[str, Any]:
    both = {name: (ours[name], peer[name]) for name in ours if "error" not in ours[name] | peer[name]}
    return {
        name: {key: round(our[key] / max(their[key], 0.1), 2) for key in our} for name, (our, their) in both.items()
    }


def main() -> None:
    if sys.argv[1:2] == ["serve"]:
        serve(int(sys.argv[2]), sys.argv[3])
        return
    if sys.argv[1:2] == ["use"]:
        use(sys.argv[2], int(sys.argv[3]), sys.argv[4])
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=2000)
    parser.add_argument("--peer", metavar="PYTHON", help="an interpreter that has labthings-fastapi")
    options = parser.parse_args()
    found = {"labthings": run(sys.executable, options.megabytes)}
    if options.peer:
        found["labthings_fastapi"] = run(options.peer, options.megabytes)
        found["ratios"] = ratios(found["labthings"], found["labthings_fastapi"])
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
