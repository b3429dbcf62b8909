"""The surface: names, signatures, errors, type hints and the examples in the docstrings."""

from __future__ import annotations

import builtins
import importlib
import importlib.resources
import inspect
import json
import pickle
import pkgutil
import re
import typing
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import pytest
import typing_extensions

import rlay
from host_process import PARADIGMS
from processes import ROOT, free_address, python, thread
from rlay import errors
from scripted_host import ScriptedHost, backend

pytestmark = pytest.mark.gymnasium

SIGNATURES = {
    "ClientEnv": (
        "(address, *, render_mode=None, timeout=None, connect_timeout=10.0, token=None, max_frame=None, "
        "reconnect_timeout=None, liveness=18.0, notice_after=10.0, contract='warn', on_loss='raise', env_id=None, "
        "env_kwargs=None, log=None, restarts=0, close_timeout=10.0)"
    ),
    "ServerEnv": (
        "(address='tcp://127.0.0.1:0', *, render_mode=None, timeout=None, connect_timeout=60.0, token=None, "
        "max_frame=None, reconnect_timeout=None, liveness=18.0, notice_after=10.0, contract='warn', on_loss='raise', "
        "env_id=None, env_kwargs=None, max_sessions=4096, handshake_timeout=5.0, max_handshakes=64)"
    ),
    "ServerBackend": (
        "(env, address='tcp://127.0.0.1:0', *, max_sessions=None, max_slots=1024, token=None, "
        "max_frame=None, reconnect_timeout=None, liveness=18.0, notice_after=10.0, tracebacks=True, env_kwargs=(), "
        "vectorization=None, attributes=(), handshake_timeout=5.0, max_handshakes=64)"
    ),
    "ClientBackend": (
        "(env, address=None, *, max_sessions=None, max_slots=1024, connect_timeout=60.0, token=None, "
        "max_frame=None, reconnect_timeout=None, liveness=18.0, notice_after=10.0, tracebacks=True, env_kwargs=(), "
        "vectorization=None, attributes=())"
    ),
    "ClientBackend.turn": "(self, timeout=0.0)",
    "ClientBackend.reply": "(self, observation, reward=0.0, terminated=False, truncated=False, info=None, *, slot=0)",
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
    "ClientEnv.set_wrapper_attr": "(self, name, value, *, force=True)",
    "ClientVectorEnv": (
        "(address, num_envs=None, *, autoreset_mode='NextStep', render_mode=None, timeout=None, "
        "connect_timeout=10.0, token=None, max_frame=None, reconnect_timeout=None, liveness=18.0, "
        "notice_after=10.0, on_loss='raise', copy=True, env_id=None, env_kwargs=None, log=None, restarts=0, "
        "close_timeout=10.0)"
    ),
    "ServerVectorEnv": (
        "(address='tcp://127.0.0.1:0', num_envs=1, *, min_ready=None, autoreset_mode='NextStep', "
        "render_mode=None, timeout=None, connect_timeout=60.0, token=None, max_frame=None, "
        "reconnect_timeout=None, liveness=18.0, notice_after=10.0, on_loss='raise', copy=True, env_id=None, "
        "env_kwargs=None, max_sessions=4096, handshake_timeout=5.0, max_handshakes=64)"
    ),
    "ClientVectorEnv.reset": "(self, *, seed=None, options=None)",
    "ClientVectorEnv.step": "(self, actions)",
    "ClientVectorEnv.late": "(self, timeout=None)",
    "ClientVectorEnv.close": "(self, **kwargs)",
    "ClientVectorEnv.call": "(self, name, /, *args, **kwargs)",
    "ClientVectorEnv.call_async": "(self, name, /, *args, **kwargs)",
    "ClientVectorEnv.call_wait": "(self, timeout=None)",
    "ClientVectorEnv.get_attr": "(self, name)",
    "ClientVectorEnv.set_attr": "(self, name, values)",
    "join": "(envs)",
    "make_client_vector_env": "(num_envs=None, *, max_episode_steps=None, **kwargs)",
    "launch": "(command, **kwargs)",
    "register": "(id, address, *, entry='ClientEnv', **kwargs)",
    "serve_policy": "(policy, address, *, token=None, max_frame=None, max_sessions=4096)",
    "register_space": "(cls, to_base)",
    "make_client_env": "(render_mode=None, **kwargs)",
    "make_server_env": "(render_mode=None, **kwargs)",
    "Reset": "(seed, options, slot=0)",
    "Step": "(action, slot=0)",
    "Render": "(slot=0)",
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
    "ResourceExhausted": (rlay.Error, OSError),
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
    classes = {name.split(".")[0] for name in SIGNATURES} | set(BASES)
    assert set(rlay.__all__) == classes | {"RemoteEnv", "RemoteVectorEnv", "Rows", "__version__"}
    public = {name for name in vars(rlay) if not name.startswith("_")}
    # `ray` is there once a test of this process has imported it.
    assert public - set(rlay.__all__) - {"ray"} == {"errors"}


def test_the_page_on_errors_has_a_row_for_every_error() -> None:
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"\w+", row)}
    assert set(BASES) - {"Error"} <= named


def test_the_version_is_the_crates() -> None:
    found = re.search(r'^\[workspace\.package\].*?^version = "(.*?)"', (ROOT / "Cargo.toml").read_text(), re.M | re.S)
    assert found is not None
    assert rlay.__version__ == found[1]


def test_the_distribution_is_not_the_abandoned_one() -> None:
    """The name ``rlay`` is taken in the package index; the imported package is ``rlay`` all the same."""
    project = (ROOT / "rlay-gym" / "pyproject.toml").read_text()
    assert re.findall(r'^(?:name|module-name) = "(.*)"$', project, re.M) == ["rlay-gym", "rlay._rlay"]


def test_what_returns_itself_says_so() -> None:
    for function in (
        rlay.ServerBackend.start,
        rlay.ClientBackend.start,
        rlay.ServerBackend.__enter__,
        rlay.ClientEnv.__enter__,
    ):
        assert typing.get_type_hints(function)["return"] is typing_extensions.Self, function


def test_launch_takes_what_a_client_env_takes() -> None:
    """The arguments are declared for type checkers, and none is missing."""
    hints = typing.get_type_hints(rlay.launch)
    assert typing_extensions.get_origin(hints["kwargs"]) is typing_extensions.Unpack
    (arguments,) = typing_extensions.get_args(hints["kwargs"])
    own = typing.get_type_hints(rlay.ClientEnv.__init__)
    del own["address"], own["return"]
    assert typing.get_type_hints(arguments) == own


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
    remote = [*vars(builtins), *(f"gymnasium.error.{name}" for name in vars(gym.error))]
    classes = {type(errors.env_error(name, "", "")) for name in remote} - {rlay.EnvError}
    assert len(classes) > 60
    assert all(getattr(errors, cls.__name__) is cls for cls in classes)


@pytest.mark.parametrize("cls", [rlay.ClientEnv, rlay.ServerEnv])
def test_environments_are_gymnasiums(cls: type) -> None:
    assert issubclass(cls, gym.Env)
    assert cls.metadata == {"render_modes": []}  # type: ignore[attr-defined]


@pytest.mark.parametrize("paradigm", PARADIGMS)
def test_an_environment_says_what_it_is(scripted_host: ScriptedHost, paradigm: str) -> None:
    name = "ClientEnv" if paradigm == "client" else "ServerEnv"
    env = scripted_host.env(paradigm, "CartPole-v1")
    address = env.address
    if paradigm == "server":
        assert repr(env) == f"<ServerEnv {address}, not connected>"
    env.reset()
    assert repr(env) == str(env) == f"<{name}<CartPole-v1> {address}, open>"
    assert str(gym.wrappers.TimeLimit(env, 5)) == f"<TimeLimit{env}>", "as Gymnasium's wrappers show theirs"
    env.close()
    assert repr(env) == f"<{name}<CartPole-v1> {address}, closed>"


def test_an_environment_says_that_it_is_lost_or_busy(own_scripted_host: ScriptedHost) -> None:
    env = own_scripted_host.env("client")
    env.reset()
    with thread(lambda: env.reset(options={"wait_in": "reset"})):
        own_scripted_host.wait_for("reset", 2)
        assert repr(env).endswith(", in a call>")
        own_scripted_host.release()
    own_scripted_host.host.kill()
    with pytest.raises(rlay.ConnectionLost):
        env.step(0)
    assert repr(env) == f"<ClientEnv {env.address}, lost>"


def test_an_environment_that_was_not_made_says_so_too(monkeypatch: pytest.MonkeyPatch) -> None:
    halves: list[Any] = []
    init = rlay.RemoteEnv.__init__

    def kept(self: Any, *arguments: Any, **named: Any) -> None:
        halves.append(self)
        init(self, *arguments, **named)

    monkeypatch.setattr(rlay.RemoteEnv, "__init__", kept)
    address = free_address()
    with pytest.raises(rlay.ConnectionLost):
        rlay.ClientEnv(address, connect_timeout=0.1)
    with pytest.raises(ValueError, match="on_loss"):
        rlay.ServerEnv(on_loss="hope")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        rlay.ClientEnv(None)  # type: ignore[arg-type]
    halves.append(rlay.ClientEnv.__new__(rlay.ClientEnv))
    assert [repr(half) for half in halves] == [
        f"<ClientEnv {address}, not connected>",
        "<ServerEnv tcp://127.0.0.1:0, not connected>",
        "<ClientEnv without an address, not connected>",
        "<ClientEnv without an address, not connected>",
    ]


HOSTED: dict[str, tuple[Callable[[], Any], str]] = {
    "an id": (lambda: "CartPole-v1", "CartPole-v1"),
    "an EnvSpec": (lambda: gym.spec("CartPole-v1"), "CartPole-v1"),
    "an instance": (lambda: gym.make("CartPole-v1"), "CartPole-v1"),
    "a class": (lambda: gym.Env, "Env"),
    "a function": (lambda: free_address, "free_address"),
    "several": (lambda: {"pole": "CartPole-v1", "lake": "FrozenLake-v1"}, "pole, lake"),
}


@pytest.mark.parametrize("paradigm", PARADIGMS)
@pytest.mark.parametrize("what", HOSTED)
def test_a_backend_says_what_it_is(paradigm: str, what: str) -> None:
    make, title = HOSTED[what]
    host = backend(paradigm, make())
    begin = f"<{type(host).__name__}<{title}> {host.address}, "
    assert repr(host) == f"{begin}not started>"
    with host:
        assert repr(host) == f"{begin}serving>"
    assert repr(host) == f"{begin}closed>"
    cls = type(host)
    assert repr(cls.__new__(cls)) == f"<{cls.__name__}, not made>"


def test_type_hints_are_shipped() -> None:
    files = importlib.resources.files(rlay)
    assert (files / "py.typed").is_file()
    assert (files / "_rlay.pyi").is_file()


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
