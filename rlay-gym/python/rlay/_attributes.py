"""Attributes of environments that agents may get, set and call: which names a host offers, and what a host does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import gymnasium as gym

from rlay import _rlay
from rlay._options import shown


def checked(attributes: Any) -> list[str]:
    """Return the names that a host offers; raise if it cannot offer them."""
    if isinstance(attributes, str):
        raise TypeError(f"attributes are names, such as ({attributes!r},), not one string")
    if isinstance(attributes, Mapping) or not isinstance(attributes, Iterable):
        raise TypeError(f"{shown('attributes', attributes)}: give names of attributes, such as ['gravity']")
    names = list(attributes)
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"{shown('attributes', attributes)}: give names of attributes, such as ['gravity']")
    _rlay.check_attributes(names)
    return names


def access(env: Any, name: str, how: str, values: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, bool]:
    """Get, set or call an attribute of ``env``; return its value or result, and whether it is a function.

    As Gymnasium does, through wrappers: what is no function is not called, and its value is the result.
    """
    if how == "set":
        if isinstance(env, gym.Env):
            env.set_wrapper_attr(name, values[0])
        else:
            setattr(env, name, values[0])
        return None, False
    found = env.get_wrapper_attr(name) if isinstance(env, gym.Env) else getattr(env, name)
    if not callable(found):
        return found, False
    return (None, True) if how == "get" else (found(*values, **kwargs), False)


def missing(owner: object, name: str) -> AttributeError:
    """Make the exception for an attribute that the host does not offer."""
    return AttributeError(
        f"{type(owner).__name__!r} object has no attribute {name!r}, and the environment's host does not offer one; if "
        f"the environment has it, let the host say so: ServerBackend(..., attributes=[{name!r}])",
        name=name,
        obj=owner,
    )
