import asyncio
import threading
import time
from typing import Any

import pytest

import labthings as lt


class Robot(lt.Thing):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.begun, self.go_on = threading.Semaphore(0), threading.Event()

    def __exit__(self, *args: Any) -> None:
        self.go_on.set()

    @lt.action
    def give(self, value: Any = None) -> Any:
        return value

    @lt.action
    def hold(self) -> str:
        self.begun.release()
        while not self.go_on.is_set():
            lt.cancellable_sleep(0.005)
        return "held"

    @lt.action
    def insist(self) -> str:
        """Go on although it is cancelled."""
        self.begun.release()
        try:
            lt.cancellable_sleep(60)
        except lt.exceptions.InvocationCancelledError:
            assert self.go_on.wait(10)
        return "done all the same"

    @lt.action
    def fail(self) -> None:
        raise OSError("broken")

    @lt.action
    async def sleep(self) -> None:
        self.begun.release()
        await asyncio.sleep(60)

    @lt.action
    def measure(self) -> None:
        lt.report_progress(0.25, "warming up")
        self.begun.release()
        assert self.go_on.wait(10)

    @lt.action(retention_time=0.02)
    def forget(self) -> None:
        pass


UNKNOWN = "/action_invocations/00000000-0000-0000-0000-000000000000"


def begin(client: Any, action: str) -> str:
    """Invoke an action of the robot, wait until it runs, and give its URL."""
    href: str = client.post(f"/robot/{action}").json()["href"]
    assert client.server.things["robot"].begun.acquire(timeout=10)
    return href


def end(client: Any, href: str) -> dict[str, Any]:
    told: dict[str, Any] = client.get(href, params={"wait": 20}).json()
    assert told["status"] not in ("pending", "running")
    return told


# --- one ----------------------------------------------------------------------------------------------------


def test_waiting_for_the_end(client_of):
    client = client_of({"robot": Robot})
    href = begin(client, "hold")
    assert client.get(href, params={"wait": 0.01}).json()["status"] == "running"
    threading.Timer(0.05, client.server.things["robot"].go_on.set).start()
    told = end(client, href)
    assert (told["status"], told["output"]) == ("completed", "held")


def test_waiting_may_be_a_preference(client_of):
    client = client_of({"robot": Robot})
    href = begin(client, "hold")
    threading.Timer(0.05, client.server.things["robot"].go_on.set).start()
    assert client.get(href, headers={"Prefer": "wait=20"}).json()["status"] == "completed"


def test_many_wait_for_the_same_end(client_of):
    client = client_of({"robot": Robot})
    href = begin(client, "hold")
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(end(client, href)["status"])) for _ in range(5)]
    for each in threads:
        each.start()
    client.server.things["robot"].go_on.set()
    for each in threads:
        each.join(20)
    assert found == ["completed"] * 5


@pytest.mark.parametrize("path", [UNKNOWN, f"{UNKNOWN}/output", "/action_invocations/x", "/action_invocations/%20"])
def test_what_is_not_known(client_of, refused, path):
    name = path.removeprefix("/action_invocations/").removesuffix("/output").replace("%20", " ")
    refused(client_of({"robot": Robot}).get(path), 404, f"'{name}'")


def test_a_slash_at_the_end_makes_no_difference(client_of):
    client = client_of({"robot": Robot})
    href = client.post("/robot/give?wait=9", json={"value": 1}).json()["href"]
    assert client.get(f"{href}/").json()["output"] == 1
    assert client.get(f"{href}/output/").json() == 1


def test_progress_is_told_while_there_is_some(client_of):
    client = client_of({"robot": Robot})
    href = begin(client, "measure")
    progress = {"fraction": 0.25, "message": "warming up"}
    assert client.get(href).json()["progress"] == progress
    assert client.get("/action_invocations").json()[0]["progress"] == progress
    client.server.things["robot"].go_on.set()


def test_what_was_logged(client_of):
    class Thing(lt.Thing):
        @lt.action
        def speak(self) -> None:
            self.logger.debug("quietly")
            self.logger.info("in %s words", 3)
            self.logger.warning("loudly")

    told = client_of(Thing).post("/thing/speak?wait=9").json()
    assert [(each["message"], each["levelname"], each["levelno"]) for each in told["log"]] == [
        ("in 3 words", "INFO", 20),
        ("loudly", "WARNING", 30),
    ]
    assert told["log"][0].keys() == {"message", "levelname", "levelno", "lineno", "filename", "created"}
    assert told["log"][0]["filename"] == "test_invocations.py"
    assert told["log"][0]["created"].endswith("+00:00")


def test_debug_is_logged_in_debug_and_a_thousand_records_are_kept(client_of):
    class Thing(lt.Thing):
        @lt.action
        def speak(self) -> None:
            for number in range(1005):
                self.logger.debug("%d", number)

    log = client_of(Thing, debug=True).post("/thing/speak?wait=9").json()["log"]
    assert (len(log), log[0]["message"], log[-1]["message"]) == (1000, "5", "1004")


# --- output -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, False, "", None, [], {}, 0.0, [None], {"a": 1}, "x"])
def test_any_output_is_an_output(client_of, value):
    client = client_of({"robot": Robot})
    told = client.post("/robot/give?wait=9", json={"value": value}).json()
    assert told["output"] == value
    output = client.get(f"{told['href']}/output")
    assert (output.status_code, output.json()) == (200, value)
    assert output.headers["content-type"] == "application/json"


def test_there_is_no_output_while_it_runs(client_of, refused):
    client = client_of({"robot": Robot})
    href = begin(client, "hold")
    refused(client.get(f"{href}/output"), 409, "robot.hold")
    threading.Timer(0.05, client.server.things["robot"].go_on.set).start()
    assert client.get(f"{href}/output", params={"wait": 20}).json() == "held"


@pytest.mark.parametrize("ending", ["error", "cancelled"])
def test_what_did_not_complete_has_no_output(client_of, refused, ending):
    client = client_of({"robot": Robot})
    if ending == "error":
        href = client.post("/robot/fail?wait=9").json()["href"]
    else:
        href = begin(client, "hold")
        client.delete(href)
        end(client, href)
    refused(client.get(f"{href}/output"), 404, "no output", ending)


# --- cancelling ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["hold", "sleep"])
def test_cancel(client_of, refused, action):
    client = client_of({"robot": Robot})
    href = begin(client, action)
    cancelled = client.delete(href)
    assert (cancelled.status_code, cancelled.content) == (204, b"")
    told = end(client, href)
    assert (told["status"], told["output"]) == ("cancelled", None)
    assert "error" not in told
    refused(client.delete(href), 409, "robot." + action, "cancelled")


def test_cancelling_twice_is_harmless_and_an_action_may_complete_all_the_same(client_of, refused):
    client = client_of({"robot": Robot})
    href = begin(client, "insist")
    assert client.delete(href).status_code == 204
    assert client.delete(href).status_code == 204
    client.server.things["robot"].go_on.set()
    told = end(client, href)
    assert (told["status"], told["output"]) == ("completed", "done all the same")
    refused(client.delete(href), 409, "completed")


def test_cancelling_what_is_not_known(client_of, refused):
    refused(client_of({"robot": Robot}).delete(UNKNOWN), 404)


def test_the_methods_of_an_invocation(client_of, refused):
    client = client_of({"robot": Robot})
    href = client.post("/robot/give?wait=9").json()["href"]
    refusal = client.put(href, json={})
    refused(refusal, 405)
    assert refusal.headers["allow"] == "DELETE, GET, HEAD, OPTIONS"
    assert client.options(f"{href}/output").headers["allow"] == "GET, HEAD, OPTIONS"
    assert client.head(href).headers["content-length"] == str(len(client.get(href).content))


# --- lists --------------------------------------------------------------------------------------------------


@pytest.fixture
def mixed(client_of):
    """A server with invocations of two actions of two Things, which have ended in several ways."""
    client = client_of({"robot": Robot, "other": Robot})
    for path in ("robot/give", "other/give", "robot/fail", "robot/give"):
        client.post(f"/{path}?wait=9")
    begin(client, "hold")
    return client


def listed(client: Any, query: str = "") -> list[tuple[str, str]]:
    return [(each["action"], each["status"]) for each in client.get(f"/action_invocations{query}").json()]


def test_all_of_them_the_newest_last(mixed):
    assert listed(mixed) == [
        ("/robot/give", "completed"),
        ("/other/give", "completed"),
        ("/robot/fail", "error"),
        ("/robot/give", "completed"),
        ("/robot/hold", "running"),
    ]
    assert listed(mixed, "/") == listed(mixed)


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("?thing=other", [1]),
        ("?action=give", [0, 1, 3]),
        ("?status=running", [4]),
        ("?thing=robot&action=give&status=completed", [0, 3]),
        ("?thing=nobody", []),
        ("?limit=2", [0, 1]),
        ("?limit=0", []),
        ("?offset=3", [3, 4]),
        ("?offset=9", []),
        ("?offset=1&limit=2", [1, 2]),
        ("?action=give&offset=1&limit=1", [1]),
        ("?unrelated=1", [0, 1, 2, 3, 4]),
    ],
)
def test_some_of_them(mixed, query, numbers):
    everything = listed(mixed)
    assert listed(mixed, query) == [everything[number] for number in numbers]


@pytest.mark.parametrize("query", ["limit=", "limit=x", "offset=-1", "limit=1.5", "limit=٣"])
def test_pages_that_are_no_numbers(client_of, refused, query):
    refused(client_of({"robot": Robot}).get(f"/action_invocations?{query}"), 400, f"'{query.partition('=')[0]}'")


# --- forgetting them ----------------------------------------------------------------------------------------


def test_they_are_forgotten_after_a_while_though_nothing_else_happens(client_of, refused):
    client = client_of({"robot": Robot})
    invocations = client.server.action_manager
    id = client.post("/robot/forget?wait=9").json()["id"]
    deadline = time.monotonic() + 10
    while invocations.invocations and time.monotonic() < deadline:
        client.get("/health")
    refused(client.get(f"/action_invocations/{id}"), 404, id)
    assert client.get("/robot/forget").json() == []


def test_an_action_keeps_its_own_retention_time(client_of):
    client = client_of({"robot": Robot})
    client.post("/robot/give?wait=9")
    client.post("/robot/forget?wait=9")
    deadline = time.monotonic() + 10
    while len(client.server.action_manager.invocations) > 1 and time.monotonic() < deadline:
        client.get("/health")
    assert listed(client) == [("/robot/give", "completed")]


def test_only_so_many_ended_ones_are_kept(client_of):
    client = client_of({"robot": Robot}, maximum_invocations=3)
    running = begin(client, "hold")
    ids = [client.post("/robot/give?wait=9").json()["id"] for _ in range(5)]
    assert [each["id"] for each in client.get("/robot/give").json()] == ids[2:]
    assert client.get(running).json()["status"] == "running"


def test_none_may_be_kept(client_of, refused):
    client = client_of({"robot": Robot}, maximum_invocations=0)
    told = client.post("/robot/give?wait=9", json={"value": 3}).json()
    assert (told["status"], told["output"]) == ("completed", 3)
    refused(client.get(told["href"]), 404)
