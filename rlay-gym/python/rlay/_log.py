"""The logger of the package, in which no text of a peer or an environment can forge an entry."""

from __future__ import annotations

import logging
import traceback

from rlay import _rlay


def _show(record: logging.LogRecord) -> bool:
    """Escape what would act on a terminal or begin a line, in the message and in the traceback below it."""
    record.msg, record.args = _rlay.log_entry(record.getMessage()), None
    if record.exc_info and record.exc_info[1] is not None:
        lines = traceback.format_exception(record.exc_info[1])
        # Formatters reuse a text that is set already.
        record.exc_text = _rlay.indented("".join(lines)).removeprefix("\n")
    return True


logger = logging.getLogger("rlay")
# On the logger and not on a handler, so that the filter applies whichever handlers the user has.
logger.addFilter(_show)
