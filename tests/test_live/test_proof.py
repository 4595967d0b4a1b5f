"""At every version, every client has what the Thing had, whatever was done to that and by whom."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import labthings as lt
from labthings.state import Document, Replica, document_of, patch_log
from tests.live_server import served
from tests.test_live.follower import SMALL, Follower
from tests.test_live.garden import CHANGES, Garden, Tree
from tests.test_live.truth import Truth
from tests.test_live.worker import Step, Worker, unique_note
from tests.test_state.followers import words

NAMES = ("tree", "kept")
ACTIONS = ("work", "work_in_loop")
WAYS = (
    *("direct", "direct", "batch", "batch", "origin", "load", "assign", "flush"),
    *("read", "put", "patch", "patch", "patch_version", "reset", "act", "act_in_loop", "act_and_poll"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats(width=16, allow_nan=False) | st.text("a/~0", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a/b", "~", ""]), inner, max_size=3),
    max_leaves=4,
)
FINITE = JSON.filter(lambda value: "inf" not in repr(value))
CHANGE = st.tuples(st.sampled_from(sorted(CHANGES)), st.integers(0, 11), FINITE)
STEPS = st.lists(
    st.builds(
        Step, st.sampled_from(WAYS), st.sampled_from(NAMES), st.lists(CHANGE, min_size=1, max_size=6), st.booleans()
    ),
    min_size=1,
    max_size=8,
)
SCRIPTS = st.lists(st.integers(1, 9) | st.sampled_from(["again", "leave", "stall"]), max_size=6)

BRIEFLY = settings(
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # as threads take turns by chance, smaller examples say nothing
    suppress_health_check=list(HealthCheck),
)


class Served(NamedTuple):
    """A Thing, and where it is."""

    garden: Garden
    port: int
    documents: dict[str, Document[Any]]


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    server = lt.ThingServer.from_things({"garden": Garden}, settings_folder=str(folder))
    with served(server.app, send_buffer=SMALL, timeout_graceful_shutdown=1) as port:
        garden: Any = server.things["garden"]
        yield Served(garden, port, {name: document_of(getattr(garden, name)) for name in NAMES})


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("settings")) as live:
        yield live


@pytest.mark.parametrize("kept", [1000, 3])
def test_every_client_has_the_state_of_its_version(live: Served, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patch_log, "MOST_PATCHES", kept)

    @settings(BRIEFLY, max_examples=10)
    @given(st.lists(STEPS, min_size=1, max_size=3), st.lists(SCRIPTS, min_size=1, max_size=3))
    def prove(steps: list[list[Step]], scripts: list[list[Any]]) -> None:
        for document in live.documents.values():
            document.load_state(Tree())
        check(live, steps, scripts)

    prove()


@settings(BRIEFLY, max_examples=2)
@given(st.lists(st.tuples(st.lists(STEPS, min_size=1, max_size=3), SCRIPTS), min_size=2, max_size=2))
def test_a_setting_and_those_who_follow_it_survive_restarts(runs: list[tuple[list[list[Step]], list[Any]]]) -> None:
    known, epochs = None, set[str]()
    saved = words(Tree().model_dump(mode="json"))
    with TemporaryDirectory() as folder:
        for steps, script in runs:
            with serving(Path(folder)) as live:
                assert words(live.garden.kept.model_dump(mode="json")) == saved
                [follower] = check(live, steps, [script], known)
                saved, known = words(live.garden.kept.model_dump(mode="json")), follower.replicas
                epochs.add(known["kept"].epoch)
                assert words(known["kept"].data) == words(json.loads(live.garden.kept.model_dump_json()))
    assert len(epochs) == 2


def check(
    live: Served, steps: list[list[Step]], scripts: list[list[Any]], replicas: dict[str, Replica] | None = None
) -> list[Follower]:
    """Let threads take steps, and clients follow, and then compare what these had with what there was."""
    with ExitStack() as stack:
        truths = {name: stack.enter_context(closing(Truth(each))) for name, each in live.documents.items()}
        followers = [Follower(live.port, script, NAMES, ACTIONS, replicas) for script in scripts]
        workers = [Worker(f"http://127.0.0.1:{live.port}", live.garden, truths, each) for each in steps]
        for worker in workers:
            worker.join()
        end = unique_note()
        for name in NAMES:
            getattr(live.garden, name).note = end
        for follower in followers:
            follower.finish(end)
        for fault in [fault for each in [*workers, *followers] for fault in each.faults]:
            raise fault
        for worker in workers:
            worker.check()
        for name, truth in truths.items():
            assert live.documents[name].publish() is None
            known = {(truth.epoch, version, state) for version, state in truth.states.items()}
            for follower in followers:
                assert follower.states[name] <= known
        return followers
