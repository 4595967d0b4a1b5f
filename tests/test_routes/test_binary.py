"""Properties and outputs that are arrays or bytes, in the form that a client asks for."""

from __future__ import annotations

import threading
from typing import Annotated, Any

import cbor2
import numpy as np
import pytest
from pydantic import BaseModel

import labthings as lt
from labthings.exceptions import UnsupportedConstraintError
from labthings.routes.negotiation import best_offer
from labthings.thing_description import validate_thing_description
from labthings.types.array_formats import decode, encode
from labthings.types.media_types import CBOR, JSON, NPY, OCTETS
from labthings.types.numpy import ArrayType, DenumpifyingDict, NDArray

IMAGE = np.arange(6, dtype="uint16").reshape(2, 3)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


class Peaks(BaseModel):
    positions: NDArray
    name: str = "peaks"


class Camera(lt.Thing):
    """A camera."""

    table: Annotated[NDArray, ArrayType(dtype="uint16", shape=(None, 3))] = lt.property(default_factory=lambda: IMAGE)
    dark: Annotated[NDArray, ArrayType(dtype="float32")] = lt.setting(default=np.zeros(2, "float32"))
    peaks: Peaks = lt.property(default_factory=lambda: Peaks(positions=[1.5]))
    state: DenumpifyingDict = lt.property(default_factory=lambda: {"gain": np.float32(1.5), "image": IMAGE})
    maybe: NDArray | None = lt.property(default=None)
    header: bytes = lt.property(default=b"\xff\x00")
    number: float = lt.property(default=1.5)

    @lt.property
    def image(self) -> NDArray:
        return IMAGE

    @lt.property
    async def slow(self) -> NDArray:
        return IMAGE

    @lt.property
    def unfit(self) -> NDArray:
        return np.array([1j])

    @lt.property
    def temperature(self) -> float:
        return np.float64(20.5)

    @lt.property
    def count(self) -> int:
        return np.int32(3)

    @lt.property
    def is_open(self) -> bool:
        return np.bool_(True)

    @lt.property
    def thread(self) -> NDArray:
        return np.array([threading.current_thread() is threading.main_thread()])

    @lt.action
    def grab(self, dark: NDArray = np.zeros(3, "uint16")) -> NDArray:  # noqa: B008
        return IMAGE + dark.astype("uint16")

    @lt.action
    def find(self) -> Peaks:
        return Peaks(positions=[1, 2])

    @lt.action
    def measure(self) -> float:
        return np.float64(1.5)


@pytest.fixture
def client(client_of):
    return client_of({"camera": Camera})


def get(client: Any, name: str, accept: str) -> Any:
    return client.get(f"/camera/{name}", headers={"accept": accept})


@pytest.mark.parametrize("name", ["image", "table", "slow"])
@pytest.mark.parametrize("media_type", [NPY, OCTETS, CBOR])
def test_an_array_is_read_in_the_form_that_is_asked_for(client, name, media_type):
    response = get(client, name, media_type)
    assert (response.status_code, response.headers["content-type"]) == (200, media_type)
    assert response.headers["vary"] == "Accept"
    assert decode(response.content, media_type, response.headers).tolist() == IMAGE.tolist()


@pytest.mark.parametrize("accept", ["*/*", "application/*", JSON, BROWSER, "application/x-npy;q=0, */*", ""])
def test_json_is_what_others_get(client, accept):
    response = get(client, "image", accept)
    assert (response.headers["content-type"], response.headers["vary"]) == (JSON, "Accept")
    assert response.content == b"[[0,1,2],[3,4,5]]"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("application/x-npy, */*", NPY),
        ("application/x-npy;q=0.5, application/cbor;q=0.9", CBOR),
        ("application/x-npy;q=0.5, */*;q=0.1", NPY),
        ("application/json;q=0.5, application/*;q=0.9", NPY),
        ("APPLICATION/X-NPY ; q=1", NPY),
        ("application/x-npy;q=many", NPY),
        ("*/*, application/json;q=0", NPY),
        ("image/png", None),
        ("application/x-npy;q=0", None),
    ],
)
def test_which_offer_is_best(accept, expected):
    assert best_offer(accept, (JSON, NPY, OCTETS, CBOR)) == expected


def test_head_tells_what_get_would(client):
    read = get(client, "image", NPY)
    told = client.head("/camera/image", headers={"accept": NPY})
    assert told.headers == read.headers
    assert told.content == b""


def test_a_form_that_there_is_not_is_refused(client, refused):
    refused(get(client, "image", "image/png"), 406, "application/x-npy", "image/png")
    refused(get(client, "peaks", NPY), 406, "application/cbor", "application/x-npy")


def test_other_properties_are_json_whatever_is_asked_for(client):
    response = get(client, "number", NPY)
    assert (response.content, response.headers["content-type"]) == (b"1.5", JSON)
    assert "vary" not in response.headers


def test_values_with_arrays_inside_have_a_form_too(client):
    told = cbor2.loads(get(client, "peaks", CBOR).content)
    assert told["name"] == "peaks"
    assert told["positions"].tag == 40
    assert cbor2.loads(get(client, "state", CBOR).content)["gain"] == 1.5
    assert client.get("/camera/state").json() == {"gain": 1.5, "image": IMAGE.tolist()}


def test_the_form_may_depend_on_the_value(client):
    assert get(client, "maybe", f"{NPY}, {JSON};q=0.5").json() is None
    assert client.put("/camera/maybe", json=[1, 2]).status_code == 204
    assert get(client, "maybe", f"{NPY}, {JSON};q=0.5").headers["content-type"] == NPY


def test_bytes_are_read_and_written_as_they_are(client, refused):
    assert get(client, "header", OCTETS).content == b"\xff\x00"
    assert cbor2.loads(get(client, "header", CBOR).content) == b"\xff\x00"
    refused(client.get("/camera/header"), 406, "camera.header", "no text", OCTETS)
    assert client.put("/camera/header", content=b"abc", headers={"content-type": OCTETS}).status_code == 204
    assert client.get("/camera/header").json() == "abc"


def test_getters_run_in_threads(client):
    assert client.get("/camera/thread").json() == [False]


@pytest.mark.parametrize(("name", "value"), [("temperature", 20.5), ("count", 3), ("is_open", True)])
def test_numbers_of_numpy_are_numbers(client, name, value):
    assert client.get(f"/camera/{name}").json() == value


def test_an_array_that_cannot_be_sent_is_the_things_fault(client, refused):
    refused(client.get("/camera/unfit"), 500, "camera.unfit", "complex numbers have no JSON form")
    refused(get(client, "unfit", NPY), 500, "camera.unfit", "complex numbers have no JSON form")


def test_where_numpys_values_may_be_is_said(client_of, refused):
    class Unfit(lt.Thing):
        @lt.property
        def state(self) -> dict[str, Any]:
            return {"gain": np.int64(3)}

    refused(client_of(Unfit).get("/thing/state"), 500, "thing.state", "numpy.int64", "DenumpifyingDict")


# --- writing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("media_type", [NPY, OCTETS, CBOR])
def test_an_array_is_written_in_each_form(client, media_type):
    headers, body = encode(np.array([[7, 8, 9]], ">i8"), media_type)
    response = client.put("/camera/table", content=body, headers={**headers, "content-type": media_type})
    assert response.status_code == 204
    assert client.get("/camera/table").json() == [[7, 8, 9]]
    assert client.server.things["camera"].table.dtype == "uint16"


def test_values_with_arrays_inside_are_written_as_cbor(client):
    body = encode({"positions": np.array([1.5, 2.5]), "name": "new"}, CBOR)[1]
    assert client.put("/camera/peaks", content=body, headers={"content-type": CBOR}).status_code == 204
    assert client.get("/camera/peaks").json() == {"positions": [1.5, 2.5], "name": "new"}


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (b"[[1, 2]]", JSON, ["expected an array of uint16 of shape (*, 3)", "int64 of shape (1, 2)"]),
        (b"[[1, 2, 70000]]", JSON, ["from 0 to 65535", "70000"]),
        (b"[[1, 2, null]]", JSON, ["null"]),
        (encode(np.zeros((1, 2)), NPY)[1], NPY, ["expected an array of uint16", "float64 of shape (1, 2)"]),
        (encode(np.full((1, 3), 1.5), NPY)[1], NPY, ["1.5"]),
        (encode(np.zeros((1, 3)), NPY)[1][:-1], NPY, ["takes 24 bytes, but there are 23"]),
        (encode(np.zeros((1, 3)), CBOR)[1][:-1], CBOR, ["CBOR"]),
        (b"123456", OCTETS, ["`Array-DType`"]),
        (b"", NPY, [".npy"]),
    ],
)
def test_an_array_that_does_not_fit_changes_nothing(client, refused, body, content_type, words):
    response = client.put("/camera/table", content=body, headers={"content-type": content_type})
    refused(response, 422, "camera.table", *words)
    assert client.get("/camera/table").json() == IMAGE.tolist()


def test_other_media_types_are_refused_with_a_list(client, refused):
    response = client.put("/camera/table", content=b"x", headers={"content-type": "image/png"})
    refused(response, 415, JSON, NPY, OCTETS, CBOR, "image/png")
    refused(client.put("/camera/number", content=b"1", headers={"content-type": CBOR}), 415, JSON)


def test_a_body_may_be_too_large(client_of, refused):
    client = client_of({"camera": Camera}, maximum_body_size=100)
    refused(client.put("/camera/table", content=b"x" * 101, headers={"content-type": NPY}), 413)


def test_all_properties_are_json_otherwise(client_of):
    class Small(lt.Thing):
        image: NDArray = lt.property(default_factory=lambda: IMAGE)
        number: int = lt.property(default=1)

    client = client_of(Small)
    assert client.get("/thing/properties").json() == {"image": IMAGE.tolist(), "number": 1}
    assert client.put("/thing/properties", json={"image": [1, 2], "number": 2}).status_code == 204
    assert client.get("/thing/properties").json() == {"image": [1, 2], "number": 2}


def test_all_properties_have_no_json_form_if_some_are_bytes_that_are_no_text(client_of, refused):
    class Small(lt.Thing):
        number: int = lt.property(default=1)
        header: bytes = lt.property(default=b"\xff")

    refused(client_of(Small).get("/thing/properties"), 406, "thing.header", "no text", CBOR)


def test_all_properties_come_as_cbor_if_it_is_asked_for(client_of):
    class Small(lt.Thing):
        image: NDArray = lt.property(default_factory=lambda: IMAGE)
        number: int = lt.property(default=1)
        header: bytes = lt.property(default=b"\xff")

    client = client_of(Small)
    response = get_all(client, f"{JSON};q=0.5, {CBOR}")
    assert (response.headers["content-type"], response.headers["vary"]) == (CBOR, "Accept")
    told = decode(response.content, CBOR, {})
    assert told.pop("image").tolist() == IMAGE.tolist()
    assert told == {"number": 1, "header": b"\xff"}


def get_all(client: Any, accept: str) -> Any:
    return client.get("/thing/properties", headers={"accept": accept})


# --- data properties and settings -------------------------------------------------------------------------------


def test_arrays_are_observed_as_json(client):
    with client.websocket_connect("/camera/ws") as socket:
        socket.send_json({"messageType": "addPropertyObservation", "data": {"table": True}})
        client.put("/camera/table", json=[[7, 8, 9]])
        messages = [socket.receive_json()]
        while messages[-1]["data"] != {"table": [[7, 8, 9]]}:
            messages.append(socket.receive_json())


def test_each_thing_has_its_own_default(client_of):
    class Small(lt.Thing):
        image: NDArray = lt.property(default=np.zeros(2))

    client = client_of({"one": Small, "two": Small})
    client.server.things["one"].image[0] = 5
    assert client.get("/one/image").json() == [5, 0]
    assert client.get("/two/image").json() == [0, 0]
    assert client.post("/one/image/reset").status_code == 204
    assert client.get("/one/image").json() == [0, 0]


def test_a_setting_comes_back_with_its_type(serve):
    _, client = serve({"camera": Camera})
    headers, body = encode(np.array([1.5, np.nan], "float32"), NPY)
    assert client.put("/camera/dark", content=body, headers={"content-type": NPY, **headers}).status_code == 204
    server, _ = serve({"camera": Camera})
    dark = server.things["camera"].dark
    assert dark.dtype == "float32"
    assert np.array_equal(dark, [1.5, np.nan], equal_nan=True)


def test_python_code_may_not_set_what_does_not_fit(client):
    camera = client.server.things["camera"]
    with pytest.raises(ValueError, match=r"camera.table: expected an array of uint16 of shape \(\*, 3\), found"):
        camera.table = np.zeros((2, 2))
    image = np.ones((1, 3), "uint16")
    camera.table = image
    assert camera.table is image


def test_limits_of_numbers_do_not_apply():
    with pytest.raises(UnsupportedConstraintError, match="ArrayType"):

        class Wrong(lt.Thing):
            image: NDArray = lt.property(default_factory=lambda: IMAGE, ge=0)


# --- outputs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("media_type", [NPY, OCTETS, CBOR])
def test_an_output_comes_in_the_form_that_is_asked_for(client, media_type):
    invocation = client.post("/camera/grab?wait=5", json={"dark": [1, 1, 1]}).json()
    assert invocation["output"] == (IMAGE + 1).tolist()
    response = client.get(f"{invocation['href']}/output", headers={"accept": media_type})
    assert (response.headers["content-type"], response.headers["vary"]) == (media_type, "Accept")
    assert decode(response.content, media_type, response.headers).tolist() == (IMAGE + 1).tolist()
    assert client.get(f"{invocation['href']}/output").json() == (IMAGE + 1).tolist()


def test_an_output_with_arrays_can_be_left_out(client):
    minimal = {"prefer": "wait=5, return=minimal"}
    assert "output" not in client.post("/camera/grab", headers=minimal).json()
    assert client.post("/camera/measure", headers=minimal).json()["output"] == 1.5


# --- descriptions -----------------------------------------------------------------------------------------------


def forms_of(affordance: dict[str, Any]) -> list[tuple[str, str]]:
    return [(form["href"].rpartition("/")[2], form["contentType"]) for form in affordance["forms"]]


def test_the_thing_description_tells_the_forms(client):
    td = client.get("/camera/").json()
    validate_thing_description(td)
    table = td["properties"]["table"]
    assert forms_of(table) == [
        *(("table", media_type) for media_type in (JSON, NPY, CBOR, OCTETS)),
        *(("observe", JSON), ("table", JSON), ("ws", JSON)),
    ]
    assert all(form["op"] == ["readproperty", "writeproperty"] for form in table["forms"][:-3])
    assert td["properties"]["image"]["forms"][1]["op"] == ["readproperty"]
    assert forms_of(td["properties"]["peaks"])[:2] == [("peaks", JSON), ("peaks", CBOR)]
    assert forms_of(td["properties"]["header"])[:3] == [("header", JSON), ("header", OCTETS), ("header", CBOR)]
    assert forms_of(td["properties"]["number"]) == [("number", JSON), ("observe", JSON), ("number", JSON), ("ws", JSON)]
    assert [form["contentType"] for form in td["actions"]["grab"]["forms"] if form["href"].endswith("/output")] == [
        NPY,
        CBOR,
        OCTETS,
    ]
    assert not any(form["href"].endswith("/output") for form in td["actions"]["measure"]["forms"])


def test_the_thing_description_tells_the_shape_and_type(client):
    table = client.get("/camera/").json()["properties"]["table"]
    assert table["items"] == {
        "type": "array",
        "minItems": 3,
        "maxItems": 3,
        "items": {"type": "integer", "minimum": 0, "maximum": 65535},
    }


def test_long_defaults_are_not_told(client_of):
    class Small(lt.Thing):
        short: NDArray = lt.property(default=np.zeros(2))
        long: NDArray = lt.property(default=np.zeros(1000))

    properties = client_of(Small).get("/thing/").json()["properties"]
    assert properties["short"]["default"] == [0, 0]
    assert "default" not in properties["long"]


def test_openapi_tells_the_media_types(client):
    paths, events = client.get("/openapi.json").json()["paths"], "text/event-stream"
    names = {"table": {JSON, NPY, CBOR, OCTETS, events}, "number": {JSON, events}, "peaks": {JSON, CBOR, events}}
    for name, media_types in names.items():
        assert paths[f"/camera/{name}"]["get"]["responses"]["200"]["content"].keys() == media_types
    assert paths["/camera/table"]["put"]["requestBody"]["content"].keys() == {JSON, NPY, CBOR, OCTETS}
