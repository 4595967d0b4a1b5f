"""A Thing Description as a client reads it, from any server.

Keys that these models do not know are kept, and what TD 1.1 lets a server leave out may be missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar
from urllib.parse import urljoin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _listed(value: Any) -> Any:
    return [] if value is None else [value] if isinstance(value, (str, Mapping)) else value


def _mapping(value: Any) -> Any:
    return {} if value is None else value


class _Described(BaseModel):
    # building the validators at first use keeps the import quick
    model_config = ConfigDict(extra="allow", defer_build=True)

    title: str | None = None
    description: str | None = None


class Form(_Described):
    """How to carry out operations on an affordance; without ``op``, the affordance's usual ones."""

    href: str
    op: Annotated[list[str], BeforeValidator(_listed)] = []
    content_type: str = Field("application/json", alias="contentType")
    subprotocol: str | None = None
    method: str | None = Field(None, alias="htv:methodName")


class Link(_Described):
    """Another resource that has to do with a Thing."""

    href: str
    rel: str | None = None
    type: str | None = None


class Affordance(_Described):
    """What can be done with a Thing, and the forms for doing it."""

    usual_operations: ClassVar[tuple[str, ...]] = ()

    forms: Annotated[list[Form], BeforeValidator(_listed)] = []

    def forms_for(self, operation: str) -> list[Form]:
        """Return the forms for an operation such as ``readproperty``, in the server's order."""
        return [form for form in self.forms if operation in (form.op or self.usual_operations)]


class PropertyAffordance(Affordance):
    """A property."""

    usual_operations = ("readproperty", "writeproperty")

    read_only: bool = Field(False, alias="readOnly")
    write_only: bool = Field(False, alias="writeOnly")
    observable: bool = False

    @property
    def data_schema(self) -> dict[str, Any]:
        """The DataSchema of the property's value."""
        return self.model_dump(by_alias=True, exclude_unset=True, exclude={"forms", "observable"})


class ActionAffordance(Affordance):
    """An action."""

    usual_operations = ("invokeaction",)

    input: dict[str, Any] | None = None
    output: dict[str, Any] | None = None
    safe: bool = False
    idempotent: bool = False
    synchronous: bool | None = None


class EventAffordance(Affordance):
    """An event."""

    usual_operations = ("subscribeevent", "unsubscribeevent")

    data: dict[str, Any] | None = None


class ThingDescription(Affordance):
    """A Thing Description; its own forms are those for all properties, actions or events at once."""

    id: str | None = None
    base: str | None = None
    properties: Annotated[dict[str, PropertyAffordance], BeforeValidator(_mapping)] = {}
    actions: Annotated[dict[str, ActionAffordance], BeforeValidator(_mapping)] = {}
    events: Annotated[dict[str, EventAffordance], BeforeValidator(_mapping)] = {}
    links: Annotated[list[Link], BeforeValidator(_listed)] = []

    def resolve(self, href: str, retrieved_from: str = "") -> str:
        """Make an ``href`` of this description absolute.

        :param retrieved_from: the URL of the description itself, for one that has no absolute ``base``.
        """
        return urljoin(urljoin(retrieved_from, self.base or ""), href)
