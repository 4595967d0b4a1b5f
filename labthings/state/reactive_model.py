"""Models whose changes are tracked, as are those of the models, lists and dicts in them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from pydantic import BaseModel, ConfigDict, RootModel
from typing_extensions import Self

from labthings.exceptions import StateError, UntrackableTypeError
from labthings.state.model_shape import shape_of
from labthings.state.model_tracking import ModelTracking, assign, wrap_contents
from labthings.state.tracking import Held, Node


class ReactiveModel(BaseModel, Node):
    """A model whose changes are validated and, once it is in a `Document`, told of."""

    __slots__ = ("__tracking__",)
    model_config = ConfigDict(
        validate_assignment=True,
        serialize_by_alias=True,
        validate_by_alias=True,
        validate_by_name=True,
    )

    def __new__(cls, *_: Any, **__: Any) -> Self:
        model = super().__new__(cls)
        object.__setattr__(model, "__tracking__", ModelTracking())
        return model

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        setattr(cls, "__model_shape__", None)  # noqa: B010

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if issubclass(cls, RootModel):
            raise UntrackableTypeError(f"{cls.__name__} cannot be a RootModel: give it a field instead.")
        if "model_post_init" in cls.__dict__:
            setattr(cls, "model_post_init", _with_contents_wrapped(cls.__dict__["model_post_init"]))  # noqa: B010
        if cls.__pydantic_complete__:  # or else it is checked when there is the first instance
            shape_of(cls)

    def model_post_init(self, context: Any, /) -> None:
        wrap_contents(self)

    def __setattr__(self, name: str, value: Any) -> None:
        shape = shape_of(type(self))
        if name in shape.fields and not shape.is_frozen:
            assign(self, name, value)
            return
        with Held(self) as home:
            super().__setattr__(name, value)
            home.touched(self)

    def __delattr__(self, name: str) -> None:
        if name in type(self).model_fields:
            raise StateError(f"The field '{name}' of a {type(self).__name__} cannot be deleted: set it instead.")
        super().__delattr__(name)

    def __copy__(self) -> Self:
        copied = super().__copy__()
        for name in shape_of(type(self)).structured:
            if name in copied.__dict__:
                copied.__dict__[name] = _free_copy(copied.__dict__[name])
        wrap_contents(copied)
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        copied = super().__deepcopy__(memo)
        wrap_contents(copied)
        return copied

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        wrap_contents(self)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy that is part of no document, nor is anything in it.

        :param update: other values for fields, which are validated.
        """
        copied = super().model_copy(deep=deep)
        for name, value in (update or {}).items():
            content, _, names = shape_of(type(self)).validate_fields(copied.__dict__, name, value)
            object.__setattr__(copied, "__dict__", content)
            copied.__pydantic_fields_set__.update(names)
        wrap_contents(copied)
        return copied


def _with_contents_wrapped(post_init: Callable[..., None]) -> Callable[..., None]:
    @wraps(post_init)
    def wrapping(self: Any, context: Any, /) -> None:
        wrap_contents(self)
        post_init(self, context)

    return wrapping


def _free_copy(value: Any) -> Any:
    """A copy of what is tracked, with what is not tracked in it as it is."""
    if isinstance(value, list):
        return [_free_copy(each) for each in value]
    if isinstance(value, dict):
        return {key: _free_copy(each) for key, each in value.items()}
    return copy.copy(value) if isinstance(value, ReactiveModel) else value
