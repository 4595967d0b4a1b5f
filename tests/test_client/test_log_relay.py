from __future__ import annotations

import logging
import threading
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

import labthings as lt
from labthings.client.log_relay import LogRelay


class Collector(logging.Handler):
    def __init__(self):
        super().__init__()
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


def collecting_logger():
    logger = logging.Logger("collected")
    logger.addHandler(Collector())
    return logger, logger.handlers[0].messages


def test_records_of_an_action_are_logged_here(connect, caplog):
    class Talkative(lt.Thing):
        @lt.action
        def talk(self) -> None:
            self.logger.info("heating to %d %%", 20)
            self.logger.warning("hot")

    with caplog.at_level(logging.INFO, "labthings.client"):
        connect(Talkative).talk()
    first, second = (record for record in caplog.records if record.name == "labthings.client.thing")
    assert (first.getMessage(), first.levelname, first.levelno) == ("heating to 20 %", "INFO", logging.INFO)
    assert (first.filename, first.module) == ("test_log_relay.py", "test_log_relay")
    assert (second.getMessage(), second.lineno) == ("hot", first.lineno + 1)
    original = next(r for r in caplog.records if r.name == "labthings.things.thing")
    assert first.created == pytest.approx(original.created, abs=1e-6)
    assert first.msecs == pytest.approx(original.msecs, abs=1)


def test_records_below_the_level_here_are_dropped(connect, caplog):
    class Talkative(lt.Thing):
        @lt.action
        def talk(self) -> None:
            self.logger.info("heating")
            self.logger.warning("hot")

    with caplog.at_level(logging.WARNING, "labthings.client"):
        connect(Talkative).talk()
    assert [r.getMessage() for r in caplog.records if r.name == "labthings.client.thing"] == ["hot"]


def test_traceback_of_a_server_in_debug(connect, caplog):
    class Faulty(lt.Thing):
        @lt.action
        def crash(self) -> None:
            raise ValueError("the motor is stuck")

    with pytest.raises(lt.exceptions.ServerActionError):
        connect(Faulty, debug=True).crash()
    record = next(r for r in caplog.records if r.name == "labthings.client.thing")
    assert "in crash" in logging.Formatter().format(record)


@pytest.mark.usefixtures("short_waits")
def test_records_are_logged_while_the_action_goes_on(connect):
    class Talkative(lt.Thing):
        @lt.action
        def talk(self) -> bool:
            self.logger.warning("started")
            return heard.wait(10)

    class Ear(logging.Handler):
        def emit(self, record):
            heard.set()

    heard, ear = threading.Event(), Ear()
    logger = logging.getLogger("labthings.client.thing")
    logger.addHandler(ear)
    try:
        assert connect(Talkative).talk() is True
    finally:
        logger.removeHandler(ear)


@given(st.lists(st.integers(0, 6), max_size=20), st.integers(6, 9))
def test_each_record_is_logged_once_however_often_the_latest_are_told(batches, capacity):
    """As long as no more are logged between two reports than a report holds."""
    logger, messages = collecting_logger()
    relay, log = LogRelay(logger), []
    for size in batches:
        log += [{"message": str(len(log) + i)} for i in range(size)]
        relay.relay(log[-capacity:])
    assert messages == [entry["message"] for entry in log]


def test_equal_records_are_all_logged():
    logger, messages = collecting_logger()
    relay = LogRelay(logger)
    for count in (1, 1, 3, 4):
        relay.relay([{"message": "tick"}] * count)
    assert messages == ["tick"] * 4


def test_record_that_cannot_be_understood(caplog):
    logger, messages = collecting_logger()
    LogRelay(logger).relay([{"levelno": 20}, {"message": "fine"}])
    assert messages == ["fine"]
    assert "cannot be understood" in caplog.text


@pytest.mark.parametrize("created", ["2026-01-02T03:04:05.25Z", "2026-01-02T04:04:05.25+01:00", 1767323045.25])
def test_time_of_a_record(created):
    logger = logging.Logger("timed")
    records = []
    logger.handle = records.append
    LogRelay(logger).relay([{"message": "", "created": created}])
    assert records[0].created == datetime(2026, 1, 2, 3, 4, 5, 250_000, timezone.utc).timestamp()
    assert records[0].msecs == 250
