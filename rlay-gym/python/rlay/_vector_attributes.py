"""``call``, ``get_attr`` and ``set_attr`` of vectors, as `gymnasium.vector.SyncVectorEnv` and its sibling have them."""

from __future__ import annotations

from typing import Any

from gymnasium.error import AlreadyPendingCallError, NoAsyncCallError

from rlay import _attributes, _rlay
from rlay.errors import Closed

_METHODS = ("reset", "step", "close")


class VectorAttributes:
    """The methods of a vector that reach the attributes of its environments.

    What Gymnasium's environments have in any case (``render``, ``spec``, ``metadata``, ``render_mode``, the spaces and
    the generators) is answered at this end. All else goes to the environments, if their host offers it.
    """

    num_envs: int
    timeout: float | None
    closed: bool
    _pending: str | None
    _attributes: frozenset[str]
    # The result of a call_async that needed no environment.
    _called: tuple[Any, ...] | None = None

    def _open(self) -> _rlay.RawVectorEnv:
        raise NotImplementedError

    def _wait(self, call: str, timeout: float | None) -> Any:
        raise NotImplementedError

    def call(self, name: str, /, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Call the method ``name`` of every environment with the same arguments, or get an attribute that is no method.

        Returns:
            One result for each environment; None for one that is ``vacant``.

        Raises:
            AttributeError: The host does not offer the name, or an environment does not have it.
            ValueError: The name is ``reset``, ``step`` or ``close``.

        Example:
            >>> import rlay
            >>> with rlay.ServerBackend("CartPole-v1", attributes=["gravity"]) as host:
            ...     envs = rlay.ClientVectorEnv(host.address, num_envs=2)
            ...     envs.set_attr("gravity", [9.8, 1.6])
            ...     envs.call("gravity"), envs.get_attr("render_mode")
            ...     envs.close()
            ((9.8, 1.6), (None, None))
        """
        self.call_async(name, *args, **kwargs)
        return self.call_wait()

    def call_async(self, name: str, /, *args: Any, **kwargs: Any) -> None:
        """Begin a `call`; `call_wait` returns its results."""
        self._can_call("call_async")
        if name in _METHODS:
            raise ValueError(f"Trying to call function `{name}` with `call`, use `{name}` directly instead.")
        self._called = self._own(name)
        if self._called is None:
            self._check_offered(name)
            self._open().send_attribute(name, "call", args, kwargs, self.timeout)
        self._pending = "call"

    def call_wait(self, timeout: float | None = None) -> tuple[Any, ...]:
        """Return the results of `call_async`, waiting at most ``timeout`` seconds."""
        self._check_running()
        if self._pending != "call":
            raise NoAsyncCallError("Calling `call_wait` without any prior call to `call_async`.", "call")
        called, self._called = self._called, None
        if called is not None:
            self._pending = None
            return called
        results: tuple[Any, ...] = self._wait("call", timeout)
        return results

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """Return the attribute ``name`` of every environment, as `call` does without arguments."""
        return self.call(name)

    def set_attr(self, name: str, values: Any) -> None:
        """Set the attribute ``name`` of every environment.

        Args:
            name: The name, which the host has to offer.
            values: A list or tuple with one value for each environment, or one value for all.

        Raises:
            ValueError: There are not as many values as environments.
            AttributeError: The host does not offer the name.
        """
        self._check_running()
        each = tuple(values) if isinstance(values, list | tuple) else (values,) * self._number()
        if len(each) != self._number():
            raise ValueError(
                "Values must be a list or tuple with length equal to the number of environments. "
                f"Got `{len(each)}` values for {self.num_envs} environments."
            )
        self._can_call("set_attr")
        self._check_offered(name)
        raw = self._open()
        raw.send_attribute(name, "set", each, {}, self.timeout)
        raw.receive_attribute(self.timeout)

    def _number(self) -> int:
        self._open()
        return self.num_envs

    def _check_running(self) -> None:
        if self.closed:
            raise Closed(f"Trying to operate on `{type(self).__name__}`, after a call to `close()`.")

    def _can_call(self, what: str) -> None:
        self._check_running()
        if self._pending is not None:
            raise AlreadyPendingCallError(
                f"Calling `{what}` while waiting for a pending call to `{self._pending}` to complete.", self._pending
            )

    def _check_offered(self, name: str) -> None:
        self._open()
        if name not in self._attributes:
            raise _attributes.missing(self, name)

    def _own(self, name: str) -> tuple[Any, ...] | None:
        """Return what Gymnasium's environments have in any case; None if it is not that."""
        envs: Any = self
        if name in ("np_random", "np_random_seed"):
            generators: tuple[Any, ...] = getattr(envs, name)
            return generators
        number = self._number()
        if name == "render":
            frames = envs.render()
            return (None,) * number if frames is None else tuple(frames)
        if name == "metadata":
            return ({key: value for key, value in envs.metadata.items() if key != "autoreset_mode"},) * number
        if name in ("observation_space", "action_space"):
            return (getattr(envs, f"single_{name}"),) * number
        return (getattr(envs, name),) * number if name in ("spec", "render_mode") else None
