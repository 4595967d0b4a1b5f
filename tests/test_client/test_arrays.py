"""A client asks for arrays in a binary form, and sends them so, where the server offers one."""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated, Any

import httpx
import httpx2
import numpy as np
import pytest
from fastapi import FastAPI, Response
from pydantic import BaseModel
from starlette.testclient import TestClient

import labthings as lt
from labthings.exceptions import ClientPropertyError, ServerActionError, UnserialisableTypeError
from labthings.types.media_types import CBOR, JSON, NPY, OCTETS
from labthings.types.numpy import ArrayType, DenumpifyingDict, NDArray

IMAGE = np.arange(6, dtype="uint16").reshape(2, 3)


class Peaks(BaseModel):
    positions: NDArray
    name: str = "peaks"


class Camera(lt.Thing):
    table: Annotated[NDArray, ArrayType(dtype="uint16", shape=(None, 3))] = lt.property(default_factory=lambda: IMAGE)
    anything: NDArray = lt.property(default_factory=lambda: IMAGE)
    peaks: Peaks = lt.property(default_factory=lambda: Peaks(positions=[1.5]))
    state: DenumpifyingDict = lt.property(default_factory=dict)
    maybe: NDArray | None = lt.property(default=None)
    header: bytes = lt.property(default=b"\xff\x00")
    number: float = lt.property(default=1.5)

    @lt.action
    def grab(self, dark: NDArray = np.zeros(3, "uint16"), times: int = 1) -> NDArray:  # noqa: B008
        return np.tile(IMAGE + dark.astype("uint16"), times)

    @lt.action
    def find(self) -> Peaks:
        return Peaks(positions=[1, 2])

    @lt.action
    def maybe_grab(self, really: bool) -> NDArray | None:
        return IMAGE if really else None

    @lt.action
    def fail(self) -> NDArray:
        raise ValueError("the shutter is stuck")


class Watched:
    """An HTTP client that notes what it sends and gets."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.sent: list[tuple[str, str | None]] = []
        self.got: list[str] = []

    def request(self, method: str, url: Any, **options: Any) -> Any:
        response = self._client.request(method, url, **options)
        self.sent.append((method, (options.get("headers") or {}).get("content-type")))
        self.got.append(response.headers.get("content-type", ""))
        return response


@pytest.fixture
def watched(serve):
    return Watched(serve({"camera": Camera})[1])


@pytest.fixture
def client(watched):
    return lt.ThingClient.from_url("/camera/", watched)


def is_same(found: Any, expected: Any) -> bool:
    return found.dtype == expected.dtype and np.array_equal(found, expected)


def test_an_array_is_read_in_numpys_format(client, watched):
    table = client.table
    assert is_same(table, IMAGE)
    assert watched.got[-1] == NPY
    table += 1  # it is the caller's own


def test_other_properties_are_read_as_json(client, watched):
    assert client.number == 1.5
    assert watched.got[-1] == JSON


@pytest.mark.parametrize(
    "array",
    [
        np.float16([[1.5, np.nan]]),
        np.array([1, 2], ">i4"),
        np.array(3),
        np.zeros((0, 3)),
        np.array([True]),
        np.eye(3)[::2].T,
    ],
)
def test_arrays_are_written_and_read_with_type_and_shape(client, watched, array):
    client.anything = array
    assert watched.sent[-1] == ("PUT", NPY)
    found = client.anything
    assert found.dtype == array.dtype
    assert np.array_equal(found, array, equal_nan=array.dtype.kind == "f")


def test_lists_are_written_as_json(client, watched):
    client.table = [[1, 2, 3]]
    assert watched.sent[-1] == ("PUT", JSON)
    assert is_same(client.table, np.array([[1, 2, 3]], "uint16"))


def test_arrays_inside_others_travel_in_cbor(client, watched):
    client.peaks = {"positions": np.array([2.5]), "name": "new"}
    assert watched.sent[-1] == ("PUT", CBOR)
    peaks = client.peaks
    assert watched.got[-1] == CBOR
    assert (peaks["name"], peaks["positions"].tolist()) == ("new", [2.5])
    client.state = {"images": [IMAGE, {"mean": np.float64(2.5)}]}
    assert is_same(client.state["images"][0], IMAGE)
    assert client.state["images"][1] == {"mean": 2.5}


def test_an_array_may_be_absent(client):
    assert client.maybe is None
    client.maybe = IMAGE
    assert is_same(client.maybe, IMAGE)
    client.maybe = None
    assert client.maybe is None


def test_bytes_travel_as_they_are(client, watched):
    assert client.header == b"\xff\x00"
    client.header = b"\x80"
    assert watched.sent[-1] == ("PUT", OCTETS)
    assert client.header == b"\x80"


def test_an_array_that_does_not_fit_is_refused_by_the_server(client):
    with pytest.raises(ClientPropertyError, match=r"camera.table.*expected an array of uint16 of shape.*float64"):
        client.table = np.zeros((1, 2))
    assert is_same(client.table, IMAGE)


@pytest.mark.parametrize("array", [np.array([1j]), np.array([None]), np.array(["a"]), np.ma.array([1], mask=[1])])
def test_an_array_that_no_server_takes_is_not_sent(client, watched, array):
    sent = len(watched.sent)
    with pytest.raises(UnserialisableTypeError, match=r"This cannot be sent: an? (masked )?array"):
        client.table = array
    assert len(watched.sent) == sent


def test_an_output_is_fetched_in_a_binary_form(client, watched):
    assert is_same(client.grab(), IMAGE)
    assert watched.got[-2:] == [JSON, NPY]
    assert is_same(client.grab(dark=np.ones(3), times=2), np.tile(IMAGE + 1, 2).astype("uint16"))
    assert client.find()["positions"].tolist() == [1, 2]
    assert watched.got[-1] == CBOR


def test_an_output_may_be_no_array(client):
    assert client.maybe_grab(False) is None
    assert is_same(client.maybe_grab(True), IMAGE)


def test_an_action_that_fails_has_no_output_to_fetch(client):
    with pytest.raises(ServerActionError, match="the shutter is stuck"):
        client.fail()


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_over_the_network(serve_live, library):
    live = serve_live({"camera": Camera})
    with library.Client() as http:
        client = lt.ThingClient.from_url(f"{live.url}/camera/", http)
        large = np.arange(3_000_000, dtype="uint32").reshape(3, 1000, 1000)
        client.anything = large
        assert is_same(client.anything, large)
        assert client.grab(times=1000).shape == (2, 3000)


# --- other servers ----------------------------------------------------------------------------------------------


def other_app(content: bytes, media_type: str) -> FastAPI:
    """A server with an array, as others may describe it."""
    app = FastAPI()

    @app.get("/thing/")
    def describe() -> dict[str, Any]:
        forms = [{"href": "/thing/image", "op": ["readproperty"], "contentType": each} for each in (JSON, NPY)]
        grab = [
            {"href": "/thing/grab", "op": ["invokeaction"]},
            {"href": "/thing/grab/output", "op": ["queryaction"], "contentType": NPY},
        ]
        return {
            "@context": "https://www.w3.org/2022/wot/td/v1.1",
            "title": "Other",
            "base": "http://testserver/",
            "properties": {"image": {"type": "array", "readOnly": True, "forms": forms}},
            "actions": {"grab": {"forms": grab, "output": {"type": "array"}}},
        }

    @app.get("/thing/image")
    def image() -> Response:
        return Response(content, media_type=media_type)

    @app.post("/thing/grab")
    def grab() -> dict[str, Any]:
        return {"status": "completed", "output": [1, 2], "href": "/thing/grab/1"}

    return app


def test_a_server_may_answer_in_json_all_the_same():
    with TestClient(other_app(b"[1,2]", JSON)) as http:
        client = lt.ThingClient.from_url("/thing/", http)
        assert client.image == [1, 2]
        assert client.grab() == [1, 2]


def test_what_a_server_sends_may_be_broken():
    with TestClient(other_app(b"nonsense", NPY)) as http:
        client = lt.ThingClient.from_url("/thing/", http)
        with pytest.raises(ClientPropertyError, match=r"Reading thing.image failed: .* cannot be read: .*npy"):
            client.image  # noqa: B018


def test_a_client_without_arrays_needs_no_numpy():
    code = "import sys, labthings.client; assert not {'numpy', 'cbor2'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_output_that_is_not_kept_can_be_fetched_all_the_same(client_of):
    class Forgetful(lt.Thing):
        @lt.action(retention_time=0)
        def grab(self) -> NDArray:
            return IMAGE

    thing = lt.ThingClient.from_url("/thing/", client_of(Forgetful))
    for _ in range(20):
        assert (thing.grab() == IMAGE).all()
