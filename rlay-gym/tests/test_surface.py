"""The surface: names, signatures, errors, type hints and the examples in the docstrings."""

from __future__ import annotations

import ast
import importlib
import importlib.resources
import inspect
import json
import pickle
import pkgutil
from typing import Any

import gymnasium as gym
import pytest

import rlay
from processes import python
from rlay import _rlay, errors

SIGNATURES = {
    "ClientEnv": (
        "(address, *, render_mode=None, timeout=None, connect_timeout=10.0, token=None, max_frame=None, "
        "reconnect_timeout=None, on_loss='raise', env_id=None, env_kwargs=None, log=None, restarts=0)"
    ),
    "ServerEnv": (
        "(address='tcp://127.0.0.1:0', *, render_mode=None, timeout=None, connect_timeout=60.0, token=None, "
        "max_frame=None, reconnect_timeout=None, on_loss='raise', env_id=None, env_kwargs=None, max_sessions=4096, "
        "handshake_timeout=5.0, max_handshakes=64)"
    ),
    "ServerBackend": (
        "(env, address='tcp://127.0.0.1:0', *, max_sessions=None, token=None, max_frame=None, "
        "reconnect_timeout=None, tracebacks=True, env_kwargs=(), handshake_timeout=5.0, max_handshakes=64)"
    ),
    "ClientBackend": (
        "(env, address=None, *, max_sessions=None, connect_timeout=60.0, token=None, max_frame=None, "
        "reconnect_timeout=None, tracebacks=True, env_kwargs=())"
    ),
    "ClientBackend.turn": "(self, timeout=0.0)",
    "ClientBackend.reply": "(self, observation, reward=0.0, terminated=False, truncated=False, info=None)",
    "ServerBackend.run": "(self)",
    "ServerBackend.start": "(self)",
    "ServerBackend.close": "(self)",
    "ClientBackend.run": "(self)",
    "ClientBackend.start": "(self)",
    "ClientBackend.close": "(self)",
    "ClientEnv.reset": "(self, *, seed=None, options=None)",
    "ClientEnv.step": "(self, action)",
    "ClientEnv.render": "(self)",
    "ClientEnv.late": "(self, timeout=None)",
    "ClientEnv.close": "(self)",
    "launch": "(command, **kwargs)",
    "register": "(id, address, *, entry='ClientEnv', **kwargs)",
    "serve_policy": "(policy, address, *, token=None, max_frame=None, max_sessions=4096)",
    "register_space": "(cls, to_base)",
    "make_client_env": "(render_mode=None, **kwargs)",
    "make_server_env": "(render_mode=None, **kwargs)",
    "Reset": "(seed, options)",
    "Step": "(action)",
    "Render": "()",
    "Close": "(reason)",
    "Opaque": "(type, repr)",
}

BASES = {
    "Error": (Exception,),
    "EnvError": (rlay.Error,),
    "ConnectionLost": (rlay.Error, ConnectionError),
    "Timeout": (rlay.Error, TimeoutError),
    "ProtocolError": (rlay.Error,),
    "Incompatible": (rlay.Error,),
    "AddressError": (rlay.Error, ValueError),
    "Unauthorized": (rlay.Error, PermissionError),
    "Busy": (rlay.Error,),
    "ResetNeeded": (rlay.Error, gym.error.ResetNeeded),
    "InvalidAction": (rlay.Error, ValueError, gym.error.InvalidAction),
    "Closed": (rlay.Error, gym.error.ClosedEnvironmentError),
    "ContractError": (rlay.Error,),
}


def without_hints(function: Any) -> str:
    signature = inspect.signature(function)
    empty = inspect.Parameter.empty
    parameters = [parameter.replace(annotation=empty) for parameter in signature.parameters.values()]
    return str(signature.replace(parameters=parameters, return_annotation=empty))


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures(name: str) -> None:
    found: Any = rlay
    for part in name.split("."):
        found = getattr(found, part)
    assert without_hints(found) == SIGNATURES[name]


def test_exports() -> None:
    assert sorted(rlay.__all__) == list(rlay.__all__)
    assert set(rlay.__all__) == {name.split(".")[0] for name in SIGNATURES} | set(BASES) - {
        "ResetNeeded", "InvalidAction", "Closed", "ContractError",
    }  # fmt: skip
    public = {name for name in vars(rlay) if not name.startswith("_")}
    assert public - set(rlay.__all__) == {"errors"}


@pytest.mark.parametrize("name", [*rlay.__all__, *BASES])
def test_everything_public_is_documented(name: str) -> None:
    thing = getattr(rlay, name, None) or getattr(errors, name)
    if name.startswith("_") or not callable(thing):
        return
    assert thing.__doc__, name
    for method, function in vars(thing).items() if isinstance(thing, type) else ():
        if callable(function) and not method.startswith("_") and thing.__module__.startswith("rlay"):
            assert inspect.getdoc(getattr(thing, method)), f"{name}.{method}"


@pytest.mark.parametrize("name", BASES)
def test_the_tree_of_errors(name: str) -> None:
    assert getattr(errors, name).__bases__ == BASES[name]


def test_an_error_of_an_environment_tells_where_it_came_from() -> None:
    error = rlay.EnvError("text")
    assert (str(error), error.remote_type, error.remote_traceback) == ("text", "", "")


@pytest.mark.parametrize("name", ["ValueError", "OSError", "gymnasium.error.ResetNeeded", "my.OwnError"])
def test_an_error_of_an_environment_can_be_pickled(name: str) -> None:
    error = errors.env_error(name, "it's text", "at line 7")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), again.remote_type, again.remote_traceback) == ("it's text", name, "at line 7")
    assert pickle.loads(pickle.dumps(type(error))) is type(error)


def test_every_class_of_remote_errors_has_a_name_of_its_own() -> None:
    classes = list(errors._classes.values())
    assert len(classes) > 60
    assert all(getattr(errors, cls.__name__) is cls for cls in classes)


@pytest.mark.parametrize("cls", [rlay.ClientEnv, rlay.ServerEnv])
def test_environments_are_gymnasiums(cls: type) -> None:
    assert issubclass(cls, gym.Env)
    assert cls.metadata == {"render_modes": []}  # type: ignore[attr-defined]


def test_type_hints_are_shipped() -> None:
    files = importlib.resources.files(rlay)
    assert (files / "py.typed").is_file()
    assert (files / "_rlay.pyi").is_file()


def parameters(function: ast.FunctionDef) -> list[str]:
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return [argument.arg for argument in arguments]


def test_the_stubs_name_what_the_native_module_has() -> None:
    stubs = ast.parse((importlib.resources.files(rlay) / "_rlay.pyi").read_text("utf-8")).body
    stubbed = {x.name: x for x in stubs if isinstance(x, ast.ClassDef | ast.FunctionDef)}
    public = {name for name in vars(_rlay) if not name.startswith("_")}
    assert set(stubbed) == public
    for name, stub in stubbed.items():
        native = getattr(_rlay, name)
        if isinstance(stub, ast.FunctionDef):
            assert parameters(stub) == list(inspect.signature(native).parameters), name
            continue
        methods = {x.name: x for x in stub.body if isinstance(x, ast.FunctionDef)}
        assert {m for m in methods if m != "__init__"} == {m for m in vars(native) if not m.startswith("_")}, name
        for method, function in methods.items():
            of = native if method == "__init__" else getattr(native, method)
            if not function.decorator_list:
                expected = parameters(function)[1:] if method == "__init__" else parameters(function)
                assert expected == list(inspect.signature(of).parameters), f"{name}.{method}"


def test_every_module_can_be_imported_alone() -> None:
    for module in pkgutil.iter_modules(rlay.__path__):
        importlib.import_module(f"rlay.{module.name}")


def test_the_examples_in_the_docstrings() -> None:
    source = """
        import doctest, importlib, json, pkgutil, rlay
        modules = [rlay, *(importlib.import_module(f"rlay.{m.name}") for m in pkgutil.iter_modules(rlay.__path__))]
        results = {m.__name__: doctest.testmod(m, optionflags=doctest.ELLIPSIS) for m in modules}
        print("results", json.dumps({name: tuple(result) for name, result in results.items()}))
        """
    with python(source) as program:
        lines: list[str] = []
        while not (lines and lines[-1].startswith("results")):
            lines.append(program.line(60))
    results = json.loads(lines.pop().removeprefix("results"))
    assert all(failed == 0 for failed, _ in results.values()), "\n".join(lines)
    assert sum(attempted for _, attempted in results.values()) > 20
