"""Live state: models that are changed in place, and replicas that follow them.

.. code-block:: python

    class State(ReactiveModel):
        voltages: list[float] = []

    document = Document(State())
    replica = Replica(document.subscribe(lambda patch: replica.apply(patch)))
    document.model.voltages.append(1.25)
"""

from __future__ import annotations

from labthings.state.belonging import batch, document_of
from labthings.state.document import Document
from labthings.state.operations import Operation, Patch, Snapshot
from labthings.state.origins import current_origin, origin
from labthings.state.reactive_model import ReactiveModel
from labthings.state.replica import Replica
from labthings.state.tracked_dict import TrackedDict
from labthings.state.tracked_list import TrackedList

__all__ = [
    "Document",
    "Operation",
    "Patch",
    "ReactiveModel",
    "Replica",
    "Snapshot",
    "TrackedDict",
    "TrackedList",
    "batch",
    "current_origin",
    "document_of",
    "origin",
]
