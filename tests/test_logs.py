"""What Things log is kept with the invocation whose code logged it."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

import labthings as lt
from labthings.exceptions import LogConfigurationError, NoInvocationContextError
from labthings.invocation_contexts import fake_invocation_context
from labthings.logs import THINGS_LOGGER, InvocationLogHandler, configure_thing_logger, require_thing_logger


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave the Things' logger as it was."""
    level, handlers, propagate = THINGS_LOGGER.level, list(THINGS_LOGGER.handlers), THINGS_LOGGER.propagate
    configure_thing_logger(logging.INFO)
    yield
    THINGS_LOGGER.setLevel(level)
    THINGS_LOGGER.handlers[:] = handlers
    THINGS_LOGGER.propagate = propagate


def test_a_things_logger_is_named_after_it(serve: Any) -> None:
    class Stage(lt.Thing):
        pass

    server, _ = serve({"xy-stage": Stage})
    assert server.things["xy-stage"].logger is lt.get_thing_logger("xy-stage")
    assert lt.get_thing_logger("xy-stage").name == "labthings.things.xy-stage"


def test_records_are_kept_with_the_invocation_and_go_on_to_other_handlers(caplog: pytest.LogCaptureFixture) -> None:
    logger = lt.get_thing_logger("stage")
    logger.info("before")
    with fake_invocation_context() as context:
        logger.info("at %d of %s", 3, "ten")
        logging.getLogger("elsewhere").warning("not a Thing's")
    logger.info("after")
    assert [record.getMessage() for record in context.log] == ["at 3 of ten"]
    assert [record.getMessage() for record in caplog.records] == [
        "before", "at 3 of ten", "not a Thing's", "after"
    ]  # fmt: skip


def test_by_default_info_and_up_are_kept() -> None:
    levels = ("debug", "info", "warning", "error", "critical")
    with fake_invocation_context() as context:
        for level in levels:
            getattr(lt.get_thing_logger("stage"), level)(level)
    assert [record.getMessage() for record in context.log] == list(levels[1:])


def test_in_debug_everything_is_kept(serve: Any) -> None:
    serve({}, debug=True)
    with fake_invocation_context() as context:
        lt.get_thing_logger("stage").debug("a detail")
    assert len(context.log) == 1


def test_the_last_1000_are_kept() -> None:
    with fake_invocation_context() as context:
        for number in range(1001):
            lt.get_thing_logger("stage").info("%d", number)
    assert (len(context.log), context.log[0].getMessage(), context.log[-1].getMessage()) == (1000, "1", "1000")


def test_a_kept_record_holds_on_to_nothing_but_its_text() -> None:
    class Image:
        def __str__(self) -> str:
            return "an image"

    def fail(image: Image) -> None:
        raise ValueError(f"cannot use {image}")

    freed = []
    with fake_invocation_context() as context:
        image = Image()
        weakref.finalize(image, freed.append, True)
        try:
            fail(image)
        except ValueError:
            lt.get_thing_logger("stage").exception("It was %s", image)
        del image
    handlers = logging.getLogger().handlers  # pytest's keep records too
    for handler in handlers:
        getattr(handler, "records", []).clear()
    gc.collect()
    assert freed == [True]
    record: Any = context.log[0]
    assert (record.getMessage(), record.exception_type) == ("It was an image", "ValueError")
    assert "cannot use an image" in record.exc_text
    assert "in fail" in record.exc_text


def test_an_exception_that_is_not_there_does_no_harm() -> None:
    with fake_invocation_context() as context:
        lt.get_thing_logger("stage").info("nothing is wrong", exc_info=True)
    assert context.log[0].exception_type is None  # type: ignore[attr-defined]


def test_a_mistake_in_a_message_does_not_end_the_action(capsys: pytest.CaptureFixture[str]) -> None:
    THINGS_LOGGER.propagate = False  # pytest's own handler raises
    with fake_invocation_context():
        lt.get_thing_logger("stage").info("%d", "not a number")
    assert "Logging error" in capsys.readouterr().err


def test_an_action_reads_its_own_log(serve: Any) -> None:
    class Stage(lt.Thing):
        @lt.action
        def move(self) -> list[str]:
            self.logger.info("moving")
            return [record.getMessage() for record in self.get_current_invocation_logs()]

    server, client = serve({"stage": Stage})
    assert client.post("/stage/move", headers={"Prefer": "wait=10"}).json()["output"] == ["moving"]
    stage = server.things["stage"]
    with fake_invocation_context():
        assert stage.move() == ["moving"]
    with pytest.raises(NoInvocationContextError) as caught:
        stage.get_current_invocation_logs()
    assert isinstance(caught.value, RuntimeError)


def test_it_is_told_when_other_code_has_removed_the_handler(serve: Any) -> None:
    class Stage(lt.Thing):
        pass

    stage = serve({"stage": Stage})[0].things["stage"]
    THINGS_LOGGER.handlers.clear()
    with fake_invocation_context(), pytest.raises(LogConfigurationError, match="has lost its handler"):
        stage.get_current_invocation_logs()
    with pytest.raises(LogConfigurationError):
        require_thing_logger()
    configure_thing_logger()
    require_thing_logger()


def test_configuring_twice_keeps_each_record_once() -> None:
    configure_thing_logger()
    configure_thing_logger(logging.INFO)
    assert sum(isinstance(each, InvocationLogHandler) for each in THINGS_LOGGER.handlers) == 1
