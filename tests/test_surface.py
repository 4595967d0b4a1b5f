"""The names that existing code relies on are there, and no others without a thought."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from typing import Any

import pytest

import labthings as lt
from labthings import exceptions
from labthings.exceptions import LabThingsError

NAMES = [
    "AsyncThingClient",
    "DataProperty",
    "DataSetting",
    "Event",
    "ReactiveModel",
    "Thing",
    "ThingClassSettings",
    "ThingClient",
    "ThingConfig",
    "ThingServer",
    "ThingServerConfig",
    "ThingServerInterface",
    "ThreadWithInvocationID",
    "action",
    "blob",
    "cancellable_sleep",
    "cli",
    "discover",
    "endpoint",
    "event",
    "exceptions",
    "get_thing_logger",
    "outputs",
    "property",
    "raise_if_cancelled",
    "report_progress",
    "setting",
    "thing_slot",
]

ERRORS: dict[str, type[BaseException]] = {
    "NotConnectedToServerError": RuntimeError,
    "ServerNotRunningError": RuntimeError,
    "ReadOnlyPropertyError": AttributeError,
    "PropertyNotObservableError": RuntimeError,
    "InconsistentTypeError": TypeError,
    "MissingTypeError": TypeError,
    "DescriptorNotAddedToClassError": RuntimeError,
    "DescriptorAddedToClassTwiceError": RuntimeError,
    "ThingNotConnectedError": RuntimeError,
    "ThingSlotError": RuntimeError,
    "InvocationCancelledError": BaseException,
    "InvocationError": RuntimeError,
    "NoInvocationContextError": RuntimeError,
    "InvalidReturnValueError": RuntimeError,
    "UnserialisableTypeError": TypeError,
    "LogConfigurationError": RuntimeError,
    "MediaTypeMismatchError": ValueError,
    "NoUrlForContextError": RuntimeError,
    "UnsupportedConstraintError": ValueError,
    "FailedToInvokeActionError": RuntimeError,
    "ServerActionError": RuntimeError,
    "ClientPropertyError": RuntimeError,
    "NotBoundToInstanceError": RuntimeError,
    "FeatureNotAvailableError": NotImplementedError,
    "InvalidClassSettingsError": ValueError,
    "FeatureNotEnabledError": RuntimeError,
    "PropertyRedefinitionError": AttributeError,
    "GlobalLockBusyError": TimeoutError,
    "MessageDroppedWarning": Warning,
    "DefaultWillChangeWarning": Warning,
}

MODULES = {
    "labthings.thing": ["Thing"],
    "labthings.properties": [
        "DataProperty",
        "DataSetting",
        "FunctionalProperty",
        "FunctionalSetting",
        "MissingDefaultError",
        "OverspecifiedDefaultError",
        "PropertyCollection",
        "PropertyInfo",
        "SettingCollection",
        "SettingInfo",
        "property",
        "setting",
    ],
    "labthings.actions": ["ActionCollection", "ActionDescriptor", "ActionInfo", "ActionManager", "action"],
    "labthings.thing_slots": ["ThingSlot", "thing_slot"],
    "labthings.websockets": [
        "process_messages_from_websocket",
        "relay_notifications_to_websocket",
        "websocket_endpoint",
    ],
    "labthings.message_broker": ["LOGGER", "Message", "MessageBroker"],
    "labthings.base_descriptor": ["BaseDescriptor", "FieldTypedBaseDescriptor"],
    "labthings.client": ["AsyncThingClient", "ThingClient"],
    "labthings.server": ["ThingServer"],
    "labthings.server.cli": ["serve_from_cli"],
    "labthings.server.config_model": ["ThingConfig", "ThingServerConfig"],
    "labthings.invocation_contexts": [
        "CancelEvent",
        "ThreadWithInvocationID",
        "cancellable_sleep",
        "fake_invocation_context",
        "get_invocation_id",
        "raise_if_cancelled",
        "set_invocation_id",
    ],
    "labthings.testing": [
        "create_thing_without_server",
        "fake_invocation_context",
        "manually_connect_thing_slot",
        "mock_thing_instance",
        "use_dummy_url_for",
    ],
    "labthings.thing_server_interface": ["ThingServerInterface"],
    "labthings.exceptions": sorted(ERRORS),
}

PARAMETERS = {
    "Thing": ["thing_server_interface"],
    "property": ["getter", "default", "default_factory", "readonly", "use_global_lock", "constraints"],
    "setting": ["getter", "default", "default_factory", "readonly", "use_global_lock", "constraints"],
    "thing_slot": ["default"],
    "endpoint": ["method", "path", "kwargs"],
    "cancellable_sleep": ["interval"],
    "raise_if_cancelled": [],
    "ThreadWithInvocationID": ["target", "args", "kwargs", "super_args", "super_kwargs"],
    "ThreadWithInvocationID.join_and_propagate_cancel": ["self", "poll_interval"],
    "ThingServerInterface": ["server", "name", "class_name"],
    "ThingServerInterface.start_async_task_soon": ["self", "async_function", "args"],
    "ThingServerInterface.call_async_task": ["self", "async_function", "args"],
    "ThingServerInterface.hold_global_lock": ["self", "error_if_unavailable"],
    "ThingServer": ["config", "debug", "kwargs"],
    "ThingServer.from_things": ["things", "kwargs"],
    "ThingServer.from_config": ["config", "debug"],
    "ThingServer.serve": ["self", "host", "port", "discovery"],
    "discover": ["seconds", "interfaces"],
    "AsyncThingClient.from_url": ["thing_url", "client"],
    "ThingClient.from_url": ["thing_url", "client"],
    "ThingClient.observe": ["self", "name", "callback"],
    "ThingClient.subscribe": ["self", "event", "callback"],
    "get_thing_logger": ["name"],
}


def found(path: str) -> Any:
    it: Any = lt
    for name in path.split("."):
        it = getattr(it, name)
    return it


def test_the_surface_is_these_names() -> None:
    assert lt.__all__ == NAMES
    for name in NAMES:
        assert getattr(lt, name) is not None


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'labthings' has no attribute 'thing_slots_'"):
        _ = lt.thing_slots_


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_has_the_base_that_code_relies_on(name: str) -> None:
    error = getattr(exceptions, name)
    assert issubclass(error, ERRORS[name])
    assert not issubclass(error, RuntimeError) or issubclass(ERRORS[name], RuntimeError | NotImplementedError)
    if not issubclass(error, Warning) and name != "InvocationCancelledError":
        assert issubclass(error, LabThingsError)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_that_documents_name_has_its_path_and_names(module: str) -> None:
    imported = importlib.import_module(module)
    assert [name for name in MODULES[module] if not hasattr(imported, name)] == []


@pytest.mark.parametrize("path", PARAMETERS)
def test_a_callable_takes_the_documented_parameters(path: str) -> None:
    parameters = list(inspect.signature(found(path)).parameters)
    assert [each for each in parameters if each in PARAMETERS[path]] == PARAMETERS[path]


def test_the_defaults_that_documents_name() -> None:
    assert inspect.signature(lt.ThingServer.serve).parameters["host"].default == "localhost"
    assert inspect.signature(lt.ThingServer.serve).parameters["port"].default == 5000
    assert inspect.signature(lt.thing_slot).parameters["default"].default is ...
    join = lt.ThreadWithInvocationID.join_and_propagate_cancel
    assert inspect.signature(join).parameters["poll_interval"].default == 0.2
    assert inspect.signature(lt.ThingServerInterface.hold_global_lock).parameters["error_if_unavailable"].default


def test_what_a_server_has() -> None:
    names = (
        "app things things_by_class thing_by_class path_for_thing serve test_client message_broker action_manager "
        "blocking_portal application_config api_prefix from_things from_config"
    )
    server = lt.ThingServer.from_things({})
    assert [name for name in names.split() if not hasattr(server, name)] == []


def test_importing_it_imports_nothing_that_is_seldom_needed() -> None:
    code = "import sys, labthings; print({'typer', 'rich', 'jsonschema', 'uvicorn', 'zeroconf'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
