"""The logger of the package, in which nothing that a peer or an environment says looks like an entry of its own."""

from __future__ import annotations

import logging
import traceback

from rlay import _rlay


def _show(record: logging.LogRecord) -> bool:
    """Show what would act on a terminal or begin a line, in the message and in the traceback below it."""
    record.msg, record.args = _rlay.log_entry(record.getMessage()), None
    if record.exc_info and record.exc_info[1] is not None:
        lines = traceback.format_exception(record.exc_info[1])
        # What is there already, formatters do not make anew.
        record.exc_text = _rlay.indented("".join(lines)).removeprefix("\n")
    return True


logger = logging.getLogger("rlay")
# Of the logger and not of a handler, so that it is there whichever handlers its user has.
logger.addFilter(_show)
