"""Environments that return or raise what they should not, on request."""

from __future__ import annotations

import fractions
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from value_envs import Offers


class Crash(ValueError):
    """An exception class that the agent's side does not know."""


class Mute(RuntimeError):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        raise KeyError("no words")


EXCEPTIONS: dict[str, Callable[[], Exception]] = {
    "ValueError": lambda: ValueError("not like this"),
    "ValueError without text": lambda: ValueError(),
    "ValueError with two arguments": lambda: ValueError("a", 2),
    "KeyError": lambda: KeyError("missing"),
    "IndexError": lambda: IndexError("list index out of range"),
    "TypeError": lambda: TypeError("'int' object is not iterable"),
    "AssertionError": lambda: AssertionError(),
    "ZeroDivisionError": lambda: ZeroDivisionError("division by zero"),
    "NotImplementedError": lambda: NotImplementedError(),
    "AttributeError": lambda: AttributeError("no such attribute"),
    "RuntimeError": lambda: RuntimeError("é漢🎲"),
    "Exception": lambda: Exception("just so"),
    "MemoryError": lambda: MemoryError(),
    "RecursionError": lambda: RecursionError("maximum recursion depth exceeded"),
    "OSError": lambda: OSError(28, "No space left on device"),
    "FileNotFoundError": lambda: FileNotFoundError(2, "No such file or directory", "level.map"),
    "TimeoutError": lambda: TimeoutError("the simulator"),
    "ConnectionResetError": lambda: ConnectionResetError("the simulator"),
    "SyntaxError": lambda: SyntaxError("in a script"),
    "ImportError": lambda: ImportError("No module named 'simulator'"),
    "UnicodeError": lambda: UnicodeError("a name"),
    "lone surrogate": lambda: ValueError("a\ud800b"),
    "long text": lambda: ValueError("x" * 16_000),
    "gymnasium Error": lambda: gym.error.Error("of Gymnasium's own"),
    "gymnasium InvalidAction": lambda: gym.error.InvalidAction("of Gymnasium's own"),
    "gymnasium ResetNeeded": lambda: gym.error.ResetNeeded("of Gymnasium's own"),
    "gymnasium InvalidBound": lambda: gym.error.InvalidBound("of Gymnasium's own"),
    "gymnasium DependencyNotInstalled": lambda: gym.error.DependencyNotInstalled("pygame"),
}
"""Exceptions of classes that both sides know, and that arrive as these classes."""

FOREIGN: dict[str, tuple[Callable[[], BaseException], str, str]] = {
    "own class": (lambda: Crash("bang"), "misbehaving_envs.Crash", "bang"),
    "own class in a function": (lambda: _local_class()("bang"), "misbehaving_envs._local_class.<locals>.Local", "bang"),
    "without words": (lambda: Mute(), "misbehaving_envs.Mute", "<str raised KeyError>"),
    "StopIteration": (lambda: StopIteration("over"), "StopIteration", "over"),
    "NumPy's": (lambda: np.linalg.LinAlgError("singular"), "numpy.linalg.LinAlgError", "singular"),
    "SystemExit": (
        lambda: SystemExit(3),
        "SystemExit",
        "the environment called sys.exit(3), which ended this call; let it raise an error that says why",
    ),
    "without a text": (lambda: Crash(), "misbehaving_envs.Crash", "misbehaving_envs.Crash, without a text"),
    "GeneratorExit": (lambda: GeneratorExit("x"), "GeneratorExit", "x"),
}
"""Exceptions that arrive as EnvError alone: how, its ``remote_type`` and its text."""


def _local_class() -> type[Exception]:
    class Local(Exception):
        pass

    return Local


DECODE_ERROR = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")


class Raiser(gym.Env[Any, Any]):
    """Raises the exception that its action or the options name."""

    observation_space = spaces.Discrete(2)
    action_space = spaces.Text(50)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if options:
            self._raise(options["raise"])
        return 0, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._raise(action)
        return 1, 0.0, False, False, {}

    def _raise(self, name: str) -> None:
        if name == "decode":
            raise DECODE_ERROR
        if name in EXCEPTIONS:
            raise EXCEPTIONS[name]()
        if name in FOREIGN:
            raise FOREIGN[name][0]()


REWARDS: dict[str, Any] = {
    "float": 0.1,
    "int": 3,
    "large int": 2**80,
    "bool": True,
    "array of another library": Offers([0.25]),
    "np.float16": np.float16(0.1),
    "np.float32": np.float32(0.1),
    "np.float64": np.float64(0.1),
    "np.int64": np.int64(-7),
    "np.uint8": np.uint8(200),
    "np.bool_": np.bool_(True),
    "0-d array": np.array(0.5, np.float32),
    "array of one": np.array([[0.5]]),
    "fraction": fractions.Fraction(1, 3),
    "NaN": float("nan"),
    "infinity": -np.inf,
    "-0.0": -0.0,
    "smallest": 5e-324,
}
"""Rewards that are numbers."""

NO_REWARDS: dict[str, Any] = {
    "None": None,
    "str": "1.0",
    "complex": 1j,
    "list": [1.0],
    "array": np.zeros(2),
    "two numbers of another library": Offers([1, 2]),
}
"""Rewards that are none."""

FLAGS: dict[str, Any] = {
    "True": True,
    "False": False,
    "np.True_": np.bool_(True),
    "np.False_": np.bool_(False),
    "1": 1,
    "0": 0,
    "0-d array": np.array(True),
    "None": None,
}
"""What environments return for ``terminated`` and ``truncated``."""

RESULTS: dict[str, tuple[Any, str]] = {
    "four items": (
        (0, 0.0, False, {}),
        r"step returned a tuple of 4 \(an int, a float, a bool, a dict of 0\) where a tuple of 5 was due",
    ),
    "a list": (
        [0, 0.0, False, False, {}],
        "step returned a list of 5 where a tuple of 5 was due; return .observation, reward, terminated, ",
    ),
    "None": (None, "step returned None where a tuple of 5 was due"),
    "info is None": ((0, 0.0, False, False, None), "step returned an info that is None and no dict"),
    "info is a list": ((0, 0.0, False, False, []), "step returned an info that is a list of 0 and no dict; return {}"),
    "flag is an array": (
        (0, 0.0, np.array([True, False]), False, {}),
        r"terminated is an array of shape \(2,\) and dtype bool, which is neither true nor false .*return a bool",
    ),
}
"""What is no result of ``step``, and what is said about it."""


class Odd(gym.Env[Any, Any]):
    """Returns the reward, flag or result that its action names, as in ``"reward:int"``."""

    observation_space = spaces.Discrete(2)
    action_space = spaces.Text(50)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        if options:
            return {"info is None": (0, None), "observation alone": 0, "None": None}[options["return"]]
        return 0, {}

    def step(self, action: Any) -> Any:
        kind, name = action.split(":")
        if kind == "reward":
            return 0, {**REWARDS, **NO_REWARDS}[name], False, False, {}
        if kind == "flags":
            return 0, 0.0, FLAGS[name], FLAGS[name], {}
        return RESULTS[name][0]


class Recorder(gym.Env[Any, Any]):
    """Returns in ``info`` the received action, its type, and the number of actions so far."""

    observation_space = spaces.Discrete(2)

    def __init__(self, action_space: spaces.Space[Any]) -> None:
        self.action_space = action_space
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return 0, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        return 0, 0.0, False, False, {"type": type(action).__name__, "action": action, "steps": self.steps}


class OwnSpace(spaces.Space[Any]):
    """A space that only this module knows."""


_closings: list[str] = []


def closings() -> list[str]:
    """Return which of the environments that are refused were closed since the last time, and forget them."""
    taken, _closings[:] = _closings[:], []
    return taken


class Refused(gym.Env[Any, Any]):
    """Has a space that cannot be described, and fails to close."""

    observation_space: Any = OwnSpace()
    action_space: Any = spaces.Discrete(2)

    def close(self) -> None:
        _closings.append(type(self).__name__)
        raise RuntimeError("the window is stuck")


class Spaceless(Refused):
    """Has no space at all."""

    @property
    def observation_space(self) -> Any:  # type: ignore[override]
        raise AttributeError("the world is not loaded")


class Stepless:
    """Is no environment, for it has no ``step``."""

    observation_space = action_space = spaces.Discrete(2)

    def close(self) -> None:
        _closings.append(type(self).__name__)
        raise RuntimeError("the window is stuck")


class Tidy(Refused):
    """Has that space, and closes."""

    def close(self) -> None:
        _closings.append(type(self).__name__)


ACTION_SPACES: dict[str, spaces.Space[Any]] = {
    "Discrete": spaces.Discrete(3),
    "Box": spaces.Box(-1, 1, (2,)),
    "Box of shape ()": spaces.Box(-1, 1, ()),
    "MultiDiscrete": spaces.MultiDiscrete([3, 2]),
    "MultiBinary": spaces.MultiBinary(2),
    "Text": spaces.Text(5),
    "Tuple": spaces.Tuple([spaces.Discrete(3), spaces.Box(-1, 1, (2,))]),
    "Dict": spaces.Dict([("b", spaces.Discrete(3)), ("a", spaces.Box(-1, 1, (2,)))]),
    "nested": spaces.Dict({"go": spaces.Tuple([spaces.Dict({"x": spaces.MultiBinary(2)})])}),
    "Sequence": spaces.Sequence(spaces.Discrete(3)),
    "Graph": spaces.Graph(spaces.Discrete(3), None),
    "OneOf": spaces.OneOf([spaces.Discrete(3), spaces.Box(-1, 1, (2,))]),
}


def recorder(name: str) -> Callable[..., Recorder]:
    """Return the function that makes the recorder of actions of the space called ``name``."""
    return lambda render_mode: Recorder(ACTION_SPACES[name])


class Holder(gym.Env[Any, Any]):
    """Observes, or draws, a value of ``value_envs`` that the options name, beside a number that is as it should be."""

    metadata = {"render_modes": ["rgb_array", "human"]}
    action_space = spaces.Discrete(2)

    def __init__(self, space: spaces.Space[Any], wrap: bool, render_mode: str | None = None) -> None:
        self.observation_space = space
        self.wrap = wrap
        self.render_mode = render_mode
        self.value: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        from value_envs import TABLES

        super().reset(seed=seed)
        table, name = (options or {})["observe"]
        self.value = TABLES[table][name]()
        return self.observation(), {}

    def observation(self) -> Any:
        return {"id": 1, "pos": [self.value]} if self.wrap else self.value

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation(), 0.0, False, False, {}

    def render(self) -> Any:
        return self.value


def holder(kind: str) -> Callable[..., Holder]:
    """Return the function that makes a holder, of values alone or of values in a dict."""
    box = spaces.Box(-10, 10, (2,), np.float32)
    inside = spaces.Dict({"id": spaces.Discrete(3), "pos": spaces.Tuple([box])})
    return lambda render_mode: Holder(inside if kind == "dict" else box, kind == "dict", render_mode)


class Growing(gym.Env[Any, Any]):
    """Observes one cell more from the third episode on, or returns a new equal space at each access."""

    action_space = spaces.Discrete(2)

    def __init__(self, grows: bool) -> None:
        self.grows = grows
        self.episodes = 0

    @property
    def observation_space(self) -> Any:  # type: ignore[override]
        return spaces.Box(-1, 1, (self.cells,))

    @property
    def cells(self) -> int:
        return 3 if self.grows and self.episodes > 2 else 2

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.episodes += 1
        return np.zeros(self.cells, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return np.zeros(self.cells, np.float32), 0.0, False, False, {}


def growing(grows: str) -> Callable[..., Growing]:
    """Return the function that makes an environment with a space that grows, or does not."""
    return lambda render_mode: Growing(grows == "yes")
