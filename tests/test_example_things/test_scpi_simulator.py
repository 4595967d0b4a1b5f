"""The simulated multimeter, as programs see it that speak SCPI to it through a socket."""

import re
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from example_things.scpi_simulator import Fault, ScpiSimulator

NO_ERROR = '+0,"No error"'


class Talk:
    """A conversation with it."""

    def __init__(self, connection: socket.socket) -> None:
        self._stream = connection.makefile("rwb")

    def tell(self, *messages: str) -> None:
        self._stream.write("".join(f"{each}\n" for each in messages).encode())
        self._stream.flush()

    def listen(self) -> str:
        return self._stream.readline().decode("latin-1")

    def ask(self, message: str) -> str:
        self.tell(message)
        return self.listen().rstrip("\n")

    def close(self) -> None:
        self._stream.close()


@contextmanager
def talking_to(simulator: ScpiSimulator) -> Iterator[Talk]:
    with socket.create_connection((simulator.host, simulator.port), timeout=10) as connection:
        talk = Talk(connection)
        try:
            yield talk
        finally:
            talk.close()


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScpiSimulator]:
    monkeypatch.setattr("example_things.simulated_multimeter.SELF_TEST_SECONDS", 0.01)
    with ScpiSimulator() as simulator:
        yield simulator


@pytest.fixture
def talk(simulator: ScpiSimulator) -> Iterator[Talk]:
    with talking_to(simulator) as talk:
        yield talk


@pytest.fixture
def ask(talk: Talk) -> Callable[[str], str]:
    return talk.ask


def test_it_says_what_it_is(ask: Callable[[str], str]) -> None:
    assert ask("*IDN?").split(",")[:2] == ["LabThings", "Simulated multimeter"]
    assert ask("*OPC?") == "1"
    assert ask("*TST?") == "+0"


@pytest.mark.parametrize("query", ["SYST:ERR?", "system:error?", "SYSTem:ERRor:NEXT?", ":Syst:Err?", " SYST:ERR? "])
def test_headers_are_short_or_long_in_any_case(ask: Callable[[str], str], query: str) -> None:
    assert ask(query) == NO_ERROR


@pytest.mark.parametrize("query", ["SYSTE:ERR?", "SYST:ERR", "SYST", "VOLTS?", "*IDN"])
def test_no_other_form_will_do(talk: Talk, query: str) -> None:
    talk.tell(query)
    assert talk.ask("SYST:ERR?") == '-113,"Undefined header"'
    assert talk.ask("SYST:ERR?") == NO_ERROR


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("CONF:VOLT:DC 5000", '-222,"Data out of range"'),
        ("CONF:VOLT:DC -1", '-222,"Data out of range"'),
        ("CONF:VOLT:DC ten", '-104,"Data type error"'),
        ("VOLT:NPLC 101", '-222,"Data out of range"'),
        ("VOLT:NPLC", '-109,"Missing parameter"'),
        ("*RST 1", '-108,"Parameter not allowed"'),
        ("FETC?", '-230,"Data corrupt or stale"'),
    ],
)
def test_it_says_why_it_does_not_obey(talk: Talk, command: str, error: str) -> None:
    talk.tell(command)
    assert talk.ask("SYST:ERR?") == error


def test_errors_queue_up_until_they_are_read_or_cleared(talk: Talk) -> None:
    talk.tell("FOO", "VOLT:NPLC 0")
    assert [talk.ask("SYST:ERR?")[:4] for _ in range(3)] == ["-113", "-222", '+0,"']
    talk.tell("FOO", "*CLS")
    assert talk.ask("SYST:ERR?") == NO_ERROR


def test_the_error_queue_overflows(talk: Talk) -> None:
    talk.tell(*["FOO"] * 25)
    errors = [talk.ask("SYST:ERR?") for _ in range(21)]
    assert errors[18:] == ['-113,"Undefined header"', '-350,"Queue overflow"', NO_ERROR]


def test_several_commands_go_in_one_line(ask: Callable[[str], str]) -> None:
    assert ask("CONF:RES 5000;:CONF?;*OPC?") == '"RES +1.000000E+04";1'
    assert float(ask("SENS:RES:NPLC 10;NPLC?")) == 10, "a header without a colon continues the path before it"


def test_after_an_unknown_command_the_rest_of_the_line_is_ignored(talk: Talk) -> None:
    talk.tell("FOO;*OPC?")
    assert talk.ask("SYST:ERR?") == '-113,"Undefined header"'


@pytest.mark.parametrize("measure", ["READ?", "INIT;:FETC?", "MEAS:VOLT:DC?", "MEASURE:VOLTAGE? 10"])
def test_it_measures(ask: Callable[[str], str], measure: str) -> None:
    assert re.fullmatch(r"[+-]\d\.\d{8}E[+-]\d\d", answer := ask(measure))
    assert float(answer) == pytest.approx(1.25, abs=1e-3)


def test_it_measures_other_quantities(ask: Callable[[str], str]) -> None:
    assert float(ask("MEAS:RES?")) == pytest.approx(1098, rel=1e-3)
    assert float(ask("MEAS:CURR?")) == pytest.approx(4.2e-3, rel=1e-2)


def test_what_does_not_fit_the_range_is_an_overload(ask: Callable[[str], str]) -> None:
    assert float(ask("MEAS:VOLT? 0.1")) == 9.9e37


def test_noise_falls_with_the_integration_time(ask: Callable[[str], str]) -> None:
    brief = [float(ask("SENS:VOLT:NPLC 0.02;:READ?")) for _ in range(50)]
    long = [float(ask("SENS:VOLT:NPLC 2;:READ?")) for _ in range(20)]
    assert statistics.stdev(brief) > 4 * statistics.stdev(long)


def test_measuring_takes_the_integration_time(ask: Callable[[str], str]) -> None:
    start = time.monotonic()
    ask("VOLT:NPLC 10;:READ?")
    assert 0.2 <= time.monotonic() - start < 5


def test_a_reset_brings_back_the_defaults(talk: Talk) -> None:
    talk.tell("CONF:RES 100", "SENS:RES:NPLC 5", "*RST")
    assert talk.ask("CONF?") == '"VOLT +1.000000E+03"'
    assert float(talk.ask("RES:NPLC?")) == 1


def test_two_clients_share_one_instrument(simulator: ScpiSimulator, talk: Talk) -> None:
    with talking_to(simulator) as other:
        assert other.ask("CONF:RES;*OPC?") == "1"
        assert talk.ask("CONF?").startswith('"RES')


# --- what can go wrong with it --------------------------------------------------------------------------------------


def test_it_can_hang_up_in_the_middle_of_an_answer(simulator: ScpiSimulator, talk: Talk) -> None:
    simulator.fault = "hang up"
    talk.tell("*IDN?")
    assert talk.listen() == "LabThings,Simulated m"
    assert talk.listen() == ""


def test_it_can_be_silent(simulator: ScpiSimulator) -> None:
    simulator.fault = "silence"
    with socket.create_connection((simulator.host, simulator.port), timeout=0.1) as connection:
        connection.sendall(b"*IDN?\n")
        with pytest.raises(TimeoutError):
            connection.recv(1)


def test_it_can_answer_late(simulator: ScpiSimulator, talk: Talk) -> None:
    simulator.fault, simulator.delay = "late", 0.2
    start = time.monotonic()
    assert talk.ask("*OPC?") == "1"
    assert time.monotonic() - start >= 0.2


@pytest.mark.parametrize("fault", ["garbage", "silence", "hang up"])
def test_a_fault_can_be_with_some_commands_only(simulator: ScpiSimulator, talk: Talk, fault: Fault) -> None:
    simulator.fault, simulator.fault_at = fault, "IDN"
    assert talk.ask("*OPC?") == "1"
    if fault == "garbage":
        assert talk.ask("*IDN?") == "ÿ\x00#?!"


def test_without_power_it_refuses_connections(simulator: ScpiSimulator, talk: Talk) -> None:
    assert talk.ask("*OPC?") == "1"
    simulator.switch_off()
    assert talk.listen() == ""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((simulator.host, simulator.port), timeout=10)


def test_switched_on_again_it_has_its_defaults(simulator: ScpiSimulator, talk: Talk) -> None:
    assert talk.ask("CONF:RES;*OPC?") == "1"
    simulator.switch_off()
    simulator.switch_on()
    with talking_to(simulator) as talk:
        assert talk.ask("CONF?").startswith('"VOLT')


def test_a_port_that_is_taken_is_an_error(simulator: ScpiSimulator) -> None:
    with pytest.raises(OSError, match="in use"), ScpiSimulator(simulator.port):
        pass


def test_it_ends_while_it_measures(simulator: ScpiSimulator, talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("example_things.simulated_multimeter.LINE_FREQUENCY", 5)
    talk.tell("VOLT:NPLC 100;:READ?")
    start = time.monotonic()
    simulator.switch_off()
    assert time.monotonic() - start < 10, "and the measurement takes 20 s"


def test_it_runs_as_a_program() -> None:
    command = [sys.executable, "-m", "example_things.scpi_simulator", "--port", "0"]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"TCPIP::([\d.]+)::(\d+)::SOCKET", process.stdout.readline())
        assert found
        with socket.create_connection((found[1], int(found[2])), timeout=10) as connection:
            talk = Talk(connection)
            assert talk.ask("*OPC?") == "1"
            talk.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
