"""Thing Descriptions: W3C's account of what a Thing can do and how to ask it to."""

from labthings.thing_description.build import build_thing_description
from labthings.thing_description.data_schema import action_input_schema, data_schema
from labthings.thing_description.directory import build_directory_description, directory_page
from labthings.thing_description.model import ThingDescription
from labthings.thing_description.validation import validate_thing_description

__all__ = [
    "ThingDescription",
    "action_input_schema",
    "build_directory_description",
    "build_thing_description",
    "data_schema",
    "directory_page",
    "validate_thing_description",
]
