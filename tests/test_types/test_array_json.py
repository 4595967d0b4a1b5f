from __future__ import annotations

import json

import numpy as np
import pydantic_core
import pytest
from hypothesis import given, settings

from labthings.types import array_json
from labthings.types.array_json import array_to_json
from tests.test_types.strategies import arrays


@given(array=arrays())
@settings(max_examples=150, deadline=None)
def test_it_is_what_pydantic_writes(array):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(array_json, "_SMALL", 1)
        patch.setattr(array_json, "_PIECE", 3)
        assert array_to_json(array) == pydantic_core.to_json(array.tolist(), inf_nan_mode="null")


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", ">i2"])
def test_every_number_is_written_as_it_is(dtype):
    limits = np.iinfo(dtype)
    numbers = np.arange(limits.min, limits.max + 1).astype(dtype)
    array = np.resize(numbers, (70, 1000))
    assert json.loads(array_to_json(array)) == array.tolist()
    assert json.loads(array_to_json(array[np.newaxis, :, ::3])) == [array[:, ::3].tolist()]
    assert json.loads(array_to_json(array[0])) == array[0].tolist()
