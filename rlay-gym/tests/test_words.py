"""Messages that made people stop: each as it reads now, and the part of it that says what to do next."""

from __future__ import annotations

import re


def reads(message: object, pattern: str, advice: str) -> None:
    """Assert that ``message`` reads as ``pattern``, where … stands for any text, and says to do ``advice``."""
    text = str(message)
    expected = ".*".join(re.escape(part) for part in pattern.split("…"))
    assert re.fullmatch(expected, text, re.DOTALL), text
    assert advice in text, f"{text!r} does not say {advice!r}"
    assert len(text) < 2000, f"a message of {len(text)} characters"


def test_a_message_that_advises_nothing_fails() -> None:
    for message, pattern, advice in [("it broke", "it …", "mend"), ("it broke; mend it", "it broke", "mend")]:
        try:
            reads(message, pattern, advice)
        except AssertionError:
            continue
        raise AssertionError(message)


# -- values, spaces, contracts ------------------------------------------------------------------


# -- hosting ------------------------------------------------------------------------------------


# -- launching ----------------------------------------------------------------------------------


# -- arguments and the surface ------------------------------------------------------------------


# -- transports and waits -----------------------------------------------------------------------
