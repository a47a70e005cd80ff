"""Keep the credentials that addresses may carry out of logs, errors, runs and files."""

import logging
import re
import sys
from contextlib import suppress
from pathlib import Path
from traceback import format_exception
from urllib.parse import unquote

from titles.mlflow_store.paths import tracking_uri

# From `//` to the last `@` of the word, as a password may hold any sign. A path, as in `sqlite:////home/me@work`, has a
# third slash.
USER_INFO = re.compile(r"(?<=://)(?!/)\S*@")
SECRETS = re.compile(r"((?:password|passwd|pwd|token|secret)\w*=['\"]?)[^\s&;'\"]+", re.IGNORECASE)


def redact(text: str) -> str:
    """The text without the user and password in its URLs, and without the values of `password=` and its like."""
    return SECRETS.sub(r"\1***", USER_INFO.sub("", text))


def store_name(root: Path) -> str:
    """What a journal calls its store: its address without credentials.

    A database within the checkout is named by its path there, as the checkout may be moved.
    """
    uri = redact(tracking_uri(root))
    # A path may stand quoted in it.
    for text in (uri, unquote(uri)):
        _, is_inside, path = text.partition(f"{root}/")
        if uri.startswith("sqlite:") and is_inside:
            return f"sqlite:///{path.partition('?')[0]}"
    return uri


def redact_logs() -> None:
    """Redact what any library logs in this process from now on, and the errors that nobody handles."""
    make_record = logging.getLogRecordFactory()

    def redacted(*args: object, **kwargs: object) -> logging.LogRecord:
        record: logging.LogRecord = make_record(*args, **kwargs)
        # A message that does not fit its arguments is left to logging, which says so.
        with suppress(TypeError, ValueError):
            record.msg, record.args = redact(record.getMessage()), ()
        if record.exc_info and record.exc_info[0]:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
        return record

    logging.setLogRecordFactory(redacted)
    sys.excepthook = lambda _, error, __: print(redact("".join(format_exception(error))), end="", file=sys.stderr)
