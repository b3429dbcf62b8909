"""The exceptions of RLay, sorted by blame, and how a remote environment's own exception is raised here."""

from __future__ import annotations

import builtins
import reprlib
import traceback
from typing import Any

import gymnasium.error
from typing_extensions import Self

from rlay import _rlay


class Error(Exception):
    """The base of all exceptions that RLay raises. Nothing in its text acts on a terminal.

    Attributes:
        slot: Which environment of a vector it is about, where that is known.
    """

    slot: int | None = None

    def __str__(self) -> str:
        """Return the text, with control characters shown as ``repr`` does, but for newlines and tabs."""
        return _rlay.printable_text(super().__str__())

    def _of_slot(self, slot: int) -> Self:
        self.slot = slot
        return self


class EnvError(Error):
    """The remote environment raised an exception.

    It is also an instance of the remote exception's class if that is a builtin or one of
    Gymnasium's, so ``except ValueError`` works as it would locally. ``str(error)`` is the remote
    exception's own text.

    Attributes:
        remote_type: Name of the remote class, qualified by its module unless that is ``builtins``.
        remote_traceback: The remote traceback as text; empty if the host keeps it.
    """

    remote_type: str = ""
    remote_traceback: str = ""
    _text: str = ""

    def __str__(self) -> str:
        """Return the remote exception's text."""
        return self._text or super().__str__()

    def _of_slot(self, slot: int) -> Self:
        if hasattr(self, "add_note"):
            self.add_note(f"in env slot {slot}")
        return super()._of_slot(slot)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with all that came from the remote, as `gymnasium.vector.AsyncVectorEnv` does."""
        if not self.remote_type:
            return type(self), self.args
        return _env_error, (type(self), self.remote_type, self._text, self.remote_traceback), {"slot": self.slot}


class ConnectionLost(Error, ConnectionError):
    """The connection could not be made, or the process at the other end is gone."""


class Timeout(Error, TimeoutError):
    """There was no answer before the timeout. It may still come: see ``late()``."""


class ProtocolError(Error):
    """The peer sent something that the protocol does not allow."""


class Incompatible(Error):
    """Version, role or spaces of the two sides do not fit together."""


class AddressError(Error, ValueError):
    """The address is malformed, taken, or of a scheme that no transport serves."""


class Unauthorized(Error, PermissionError):
    """A token or certificate is missing or wrong, at this end or the other."""


class Busy(Error):
    """Another call is under way, or the answer to an earlier one is still to come."""


class ResourceExhausted(Error, OSError):
    """The system refused this process a thread, a descriptor or a child process."""


class ResetNeeded(Error, gymnasium.error.ResetNeeded):
    """``step()`` before the first ``reset()``."""


class InvalidAction(Error, ValueError, gymnasium.error.InvalidAction):
    """The action's structure differs from the action space's; nothing was sent."""


class Closed(Error, gymnasium.error.ClosedEnvironmentError):
    """The environment was closed."""


class ContractError(Error):
    """The environment broke its own contract, and the contract policy is ``strict``."""


def _known() -> dict[str, type[Exception]]:
    """Return the classes that a remote exception may become here, by name."""
    known = {
        name: value
        for name, value in vars(builtins).items()
        if isinstance(value, type)
        and issubclass(value, Exception)
        # The interpreter treats these specially, or their constructors need more than a text.
        and not issubclass(value, StopIteration | StopAsyncIteration)
        and "Group" not in name
    }
    for name in ("UnicodeDecodeError", "UnicodeEncodeError", "UnicodeTranslateError"):
        known[name] = UnicodeError
    for name, value in vars(gymnasium.error).items():
        if (
            isinstance(value, type)
            and issubclass(value, Exception)
            and value.__module__ == "gymnasium.error"
            # Those with more arguments than a text are raised by Gymnasium alone.
            and "__init__" not in vars(value)
        ):
            known[f"gymnasium.error.{name}"] = value
    return known


def _remote(name: str, base: type[Exception]) -> type[EnvError]:
    """Make the class for exceptions that are a ``name`` at the other end. Pickle finds the class in this module."""
    own_name = "Remote" + name.rsplit(".", 1)[-1]
    cls = type(own_name, (EnvError, base), {"__module__": __name__, "__doc__": f"An `EnvError` that is a {name}, too."})
    globals()[own_name] = cls
    return cls


_classes = {name: _remote(name, base) for name, base in _known().items()}


def env_error(remote_type: str, message: str, remote_traceback: str) -> EnvError:
    """Make the exception for a failure of a remote environment. The class is chosen by name from a fixed list.

    >>> error = env_error("ValueError", "no such action", "")
    >>> isinstance(error, ValueError), isinstance(error, EnvError), str(error)
    (True, True, 'no such action')
    """
    return _env_error(_classes.get(remote_type, EnvError), remote_type, message, remote_traceback)


def _env_error(cls: type[EnvError], remote_type: str, message: str, remote_traceback: str) -> EnvError:
    if cls is EnvError and not message:
        message = f"{remote_type}, without a text"
    error = cls(message)
    error._text = message
    error.remote_type = remote_type
    error.remote_traceback = remote_traceback
    if hasattr(error, "add_note"):
        where = f"\nremote traceback:\n{remote_traceback}" if remote_traceback else ""
        error.add_note(f"raised by the remote environment as {remote_type}{where}")
    return error


def no_attribute_error(error: AttributeError) -> Error:
    """Make an exception of ``error`` that Python does not take for a missing attribute.

    Otherwise an exception of an attribute that queries the environment would end in ``__getattr__`` or ``hasattr``.
    """
    if isinstance(error, EnvError):
        return _env_error(EnvError, error.remote_type, str(error), error.remote_traceback)
    return Error(f"AttributeError: {error}")


def describe(error: BaseException) -> tuple[str, str, str]:
    """Return the name, text and traceback of an exception, for the wire."""
    if isinstance(error, EnvError) and error.remote_type:
        # A relayed environment's exception keeps its own name.
        return error.remote_type, str(error), error.remote_traceback
    cls = type(error)
    name = cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    try:
        text = _words(error)
    except Exception as broken:
        text = f"<str raised {type(broken).__name__}>"
    lines = traceback.format_exception(cls, error, error.__traceback__)
    return name, _utf8(text), _utf8("".join(lines))


def _words(error: BaseException) -> str:
    """Return the text of an exception; for exceptions that end programs, which have no text, what happened."""
    if isinstance(error, SystemExit):
        code = "" if error.code is None else reprlib.repr(error.code)
        return f"the environment called sys.exit({code}), which ended this call; let it raise an error that says why"
    if isinstance(error, KeyboardInterrupt):
        besides = f" ({error})" if str(error) else ""
        return f"the environment was interrupted in this call, as by Ctrl-C at its host{besides}; start the host again"
    return str(error)


def _utf8(text: str) -> str:
    # A lone surrogate, as in the name of a file that is not UTF-8, must not cost the rest.
    return text.encode("utf-8", "backslashreplace").decode()
