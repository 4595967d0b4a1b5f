"""Blobs: what they are made of, which media types they have, what they are in JSON."""

from __future__ import annotations

import copy
import gc
import json
import os
import pickle
import shutil
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

import labthings as lt
from labthings.exceptions import BlobGoneError, MediaTypeMismatchError, NoUrlForContextError
from labthings.outputs.blob import Blob, blob_type, fits
from labthings.outputs.blob_data import BytesData, TemporaryFileData, local_data
from labthings.url_for import use_url_for

Link = dict[str, object]


class Png(Blob):
    """A picture."""

    media_type = "image/png"


class Image(Blob):
    media_type = "image/*"


def test_the_module_has_the_names_that_existing_code_uses() -> None:
    assert lt.blob.Blob is Blob
    assert lt.outputs.blob is lt.blob


# --- making one ---------------------------------------------------------------------------------------------------


def test_bytes(tmp_path: Path) -> None:
    blob = Png.from_bytes(b"12345", description="A spot")
    assert (blob.content, blob.size, blob.media_type, blob.description) == (b"12345", 5, "image/png", "A spot")
    with blob.open() as file:
        file.seek(2)
        assert file.read() == b"345"
    blob.save(tmp_path / "spot.png")
    assert (tmp_path / "spot.png").read_bytes() == b"12345"


@pytest.mark.parametrize("data", ["text", 5, None])
def test_something_else_than_bytes_is_refused(data: object) -> None:
    with pytest.raises(TypeError, match=r"Png\.from_bytes takes bytes, not "):
        Png.from_bytes(data)  # type: ignore[arg-type]


def test_bytes_that_can_change_are_copied() -> None:
    buffer = bytearray(b"before")
    blob = Blob.from_bytes(buffer)
    buffer[:] = b"after!"
    assert blob.content == b"before"


def test_a_file_tells_its_media_type_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "spot.png").write_bytes(b"spot")
    blob = Image.from_file(tmp_path / "spot.png")
    assert (blob.content, blob.size, blob.media_type, blob.data.name) == (b"spot", 4, "image/png", "spot.png")
    (tmp_path / "noise").write_bytes(b"")
    assert Blob.from_file(str(tmp_path / "noise")).media_type == "application/octet-stream"


def test_a_file_stays_where_it_is_when_the_folder_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "spot.png").write_bytes(b"spot")
    monkeypatch.chdir(tmp_path)
    blob = Blob.from_file("spot.png")
    monkeypatch.chdir("/")
    assert blob.content == b"spot"


def test_a_file_that_is_not_there_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(BlobGoneError, match=r"'spot.png' cannot be read: No such file"):
        Png.from_file(tmp_path / "spot.png")


def test_a_file_that_vanishes_is_missed_when_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "spot.png").write_bytes(b"spot")
    blob = Png.from_file(tmp_path / "spot.png")
    (tmp_path / "spot.png").unlink()
    with pytest.raises(BlobGoneError, match=r"'spot.png' cannot be read"):
        _ = blob.content


def test_a_file_that_has_vanished_can_still_be_shown(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("spot")
    blob = Blob.from_file(tmp_path / "a.txt")
    (tmp_path / "a.txt").unlink()
    assert repr(blob) == "<Blob text/plain, gone>"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(BlobGoneError, match="it is not a file"):
        Blob.from_file(tmp_path)


def test_a_temporary_folder_goes_when_the_blob_does() -> None:
    folder = TemporaryDirectory()
    path = Path(folder.name) / "spot.png"
    path.write_bytes(b"spot")
    blob = Png.from_temporary_directory(folder, "spot.png")
    del folder
    gc.collect()
    assert blob.content == b"spot"
    del blob
    gc.collect()
    assert not path.exists()


# --- media types --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("media_type", "expected", "does"),
    [
        ("image/png", "image/png", True),
        ("Image/PNG", "image/png", True),
        ("text/plain; charset=utf-8", "text/plain", True),
        ("image/png", "image/*", True),
        ("image/png", "*/*", True),
        ("image/png", "image/jpeg", False),
        ("video/png", "image/*", False),
        ("image", "*/*", False),
        ("", "*/*", False),
        ("image/*", "image/*", False),
        ("text/html\r\nX: y", "*/*", False),
        ("text/html; charset=a\r\nX: y", "*/*", False),
        ("text/日本", "*/*", False),
    ],
)
def test_a_media_type_fits_or_not(media_type: str, expected: str, does: bool) -> None:
    assert fits(media_type, expected) is does


def test_another_media_type_is_a_mismatch() -> None:
    with pytest.raises(MediaTypeMismatchError, match="A Png is image/png, but this is image/jpeg"):
        Png.from_bytes(b"", media_type="image/jpeg")


def test_what_is_no_media_type_is_told_from_another_media_type() -> None:
    with pytest.raises(MediaTypeMismatchError, match=r"this is 'text\\r\\nX: y', which is no media type"):
        Blob.from_bytes(b"", media_type="text\r\nX: y")


def test_a_class_with_wildcards_needs_to_be_told() -> None:
    with pytest.raises(MediaTypeMismatchError, match="Say what this one is, as in `media_type='image/png'`"):
        Image.from_bytes(b"")
    assert Image.from_bytes(b"", media_type="image/gif").media_type == "image/gif"


@pytest.mark.parametrize("media_type", ["png", "", "image/", None])
def test_a_class_must_have_a_media_type(media_type: object) -> None:
    with pytest.raises(MediaTypeMismatchError, match=r"'Wrong.media_type' must be a media type"):
        type("Wrong", (Blob,), {"media_type": media_type})


def test_a_class_can_be_made_of_a_media_type() -> None:
    assert blob_type("image/png").__name__ == "ImagePngBlob"
    assert blob_type("image/png").from_bytes(b"").media_type == "image/png"


# --- in JSON ------------------------------------------------------------------------------------------------------


class Capture(BaseModel):
    picture: Png
    others: list[Blob] = []


def test_json_links_to_it_wherever_it_stands() -> None:
    capture = Capture(picture=Png.from_bytes(b"1"), others=[Blob.from_bytes(b"22", description="Noise")])
    with use_url_for("http://lab/{}".format):
        told = capture.model_dump(mode="json")
    assert told == {
        "picture": {
            "href": f"http://lab/blob/{capture.picture.data.id}",  # type: ignore[attr-defined]
            "media_type": "image/png",
            "rel": "output",
            "size": 1,
        },
        "others": [
            {
                "href": f"http://lab/blob/{capture.others[0].data.id}",  # type: ignore[attr-defined]
                "media_type": "application/octet-stream",
                "rel": "output",
                "description": "Noise",
                "size": 2,
            }
        ],
    }
    assert Capture.model_validate(told).picture.content == b"1"


def test_json_links_to_it_even_where_its_type_is_not_known() -> None:
    blob = Png.from_bytes(b"1")
    with use_url_for("http://lab/{}".format):
        told = TypeAdapter(dict[str, Any]).dump_json({"any": [blob]})
    assert json.loads(told)["any"][0]["media_type"] == "image/png"


class Settled(BaseModel):
    mask: Png = Png.from_bytes(b"default")


def test_a_default_value_can_be_found(tmp_path: Path) -> None:
    with use_url_for("http://lab/{}".format):
        link = Settled().model_dump(mode="json")["mask"]
    assert Png._validated(link).content == b"default"
    assert copy.deepcopy(Settled()).mask is Settled.model_fields["mask"].default


@pytest.mark.parametrize("is_in_file", [False, True])
def test_another_process_is_given_the_bytes(tmp_path: Path, is_in_file: bool) -> None:
    (tmp_path / "a.png").write_bytes(b"spot")
    blob = Png.from_file(tmp_path / "a.png") if is_in_file else Png.from_bytes(b"spot", description="A spot")
    copied = pickle.loads(pickle.dumps(blob))
    assert (copied.content, copied.media_type, copied.description) == (b"spot", "image/png", blob.description)
    assert local_data(copied.data.id) is copied.data


def test_there_is_no_link_outside_a_request() -> None:
    with pytest.raises(NoUrlForContextError):
        Png.from_bytes(b"").link()


def test_in_python_it_stays_a_blob() -> None:
    capture = Capture(picture=Png.from_bytes(b"1"))
    assert capture.model_dump()["picture"] is capture.picture


def test_a_blob_of_another_class_is_taken_if_its_media_type_fits() -> None:
    blob = Blob.from_bytes(b"1", media_type="image/png", description="Spot")
    taken = TypeAdapter(Png).validate_python(blob)
    assert (type(taken), taken.content, taken.description) == (Png, b"1", "Spot")
    with pytest.raises(ValidationError, match="A Png is image/png, but this is text/plain"):
        TypeAdapter(Png).validate_python(Blob.from_bytes(b"", media_type="text/plain"))


@pytest.mark.parametrize("value", ["http://lab/blob/1", {"url": "x"}, {"href": 5}, None, 5, []])
def test_anything_but_a_link_is_refused(value: object) -> None:
    with pytest.raises(ValidationError, match=r'A blob is given by its link, as in {"href": "..."}'):
        TypeAdapter(Blob).validate_python(value)


def test_who_returns_bytes_is_told_how_to_make_a_blob() -> None:
    with pytest.raises(ValidationError, match=r"Make one with `Png.from_bytes`"):
        TypeAdapter(Png).validate_python(b"spot")


def test_a_link_to_a_blob_that_is_gone_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"There is no blob '1234'. The server may have forgotten it"):
        TypeAdapter(Blob).validate_python({"href": "http://lab/blob/1234"})


def test_it_can_be_found_as_long_as_something_refers_to_it() -> None:
    blob = Blob.from_bytes(b"1")
    id = blob.data.id  # type: ignore[attr-defined]
    assert local_data(id) is blob.data
    del blob
    gc.collect()
    with pytest.raises(BlobGoneError):
        local_data(id)


# --- from memory to a file ----------------------------------------------------------------------------------------


def test_bytes_can_be_moved_to_a_file_while_they_are_read(tmp_path: Path) -> None:
    data = BytesData(os.urandom(100_000), "application/octet-stream")
    before, blob = data.content, Blob(data)
    with blob.open() as reading:
        assert reading.read(10) == before[:10] if before else False
        data.move_to_file(str(tmp_path))
        data.move_to_file(str(tmp_path))
        assert (data.in_memory, data.in_files, data.content, data.size) == (0, 100_000, None, 100_000)
        assert reading.read() == (before or b"")[10:]
    assert blob.content == before
    assert list(tmp_path.iterdir()) == [], "the file has no name, so nothing is left if the process is killed"


def test_a_disk_that_is_full_loses_nothing(tmp_path: Path) -> None:
    data = BytesData(b"spot", "image/png")
    with pytest.raises(OSError, match="No such file"):
        data.move_to_file(str(tmp_path / "missing"))
    assert Blob(data).content == b"spot"
    assert data.in_memory == 4


def test_some_of_the_disk_is_spared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(total=1000, free=100))
    data = BytesData(bytes(51), "image/png")
    with pytest.raises(OSError, match="of the 100 bytes that are free, 50 are spared for settings"):
        data.move_to_file(None)
    assert Blob(data).content == bytes(51)
    BytesData(bytes(50), "image/png").move_to_file(None)


def test_several_readers_of_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    content = os.urandom(1_000_000)
    path = tmp_path / "data"
    path.write_bytes(content)
    blob = Blob(TemporaryFileData(path.open("rb"), "application/octet-stream"))
    read: dict[int, bool] = {}

    def work(number: int) -> None:
        with blob.open() as file:
            file.seek(number)
            read[number] = b"".join(iter(lambda: file.read(7919), b"")) == content[number:]
            file.seek(-5, os.SEEK_END)
            read[number] &= file.read() == content[-5:] and file.tell() == len(content)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read == dict.fromkeys(range(5), True)


def test_a_name_may_be_as_long_as_the_system_allows(tmp_path: Path) -> None:
    Blob.from_bytes(b"spot").save(tmp_path / ("x" * 250))
    assert (tmp_path / ("x" * 250)).read_bytes() == b"spot"


def test_a_folder_to_save_in_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"There is no folder .*missing to save the blob in"):
        Blob.from_bytes(b"spot").save(tmp_path / "missing" / "a.txt")


def test_saving_leaves_no_half_written_file(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"spot")
    blob = Blob.from_file(tmp_path / "source")
    (tmp_path / "source").unlink()
    (tmp_path / "target").write_bytes(b"before")
    with pytest.raises(BlobGoneError):
        blob.save(tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"before"
    assert [each.name for each in tmp_path.iterdir()] == ["target"]
