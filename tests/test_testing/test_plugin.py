"""The fixtures, as a Thing's own project has them."""

import subprocess
import sys

import pytest

pytest_plugins = "pytester"

COUNTER = """
import labthings as lt

class Counter(lt.Thing):
    count: int = lt.property(default=0)

    @lt.action
    def increment(self) -> int:
        self.count += 1
        return self.count

class Unplugged(lt.Thing):
    def __enter__(self):
        raise OSError("no counter on port 3")

    def __exit__(self, *error):
        print("left")
"""


def test_three_lines_test_a_thing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        counters=COUNTER,
        test_counters="""
        from counters import Counter, Unplugged

        def test_counting(thing_client):
            counter = thing_client(Counter)
            assert counter.increment() == 1

        def test_counting_anew(thing_client):
            assert thing_client("counters:Counter").increment() == 1

        def test_server(thing_server, thing_client):
            server = thing_server({"counter": Counter, "other": Counter}, api_prefix="/api")
            assert thing_client("other").increment() == 1
            assert (server.things["counter"].count, server.things["other"].count) == (0, 1)
            assert thing_server.http_client.get("/api/other/count").json() == 1

        def test_failing(thing_client):
            thing_client(Unplugged)
        """,
    )
    result = pytester.runpytest_subprocess("-q", "-W", "error", "-p", "no:cacheprovider", timeout=60)
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(
        ["*ThingFailedError: The Thing 'unplugged' did not start: OSError: no counter on port 3"]
    )
    result.stdout.no_fnmatch_line("*running_servers.py*")


def test_the_fixtures_are_listed_with_what_they_are_for(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--fixtures", timeout=60)
    result.stdout.fnmatch_lines(["thing_server -- *", "*Start a server of Things*", "thing_client -- *"])


def test_pytest_runs_without_it_do_not_import_labthings() -> None:
    code = "import sys, pytest_labthings; print([name for name in sys.modules if name.startswith('labthings')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
