"""Remove the credentials in URLs from logs, errors, runs and files."""

import logging
import re
import sys
from contextlib import suppress
from pathlib import Path
from traceback import format_exception
from urllib.parse import unquote

from titles.mlflow_store.paths import tracking_uri

# From `//` to the last `@` of the word, as a password may contain any character. A path has a third slash, as in
# `sqlite:////home/me@work`.
USER_INFO = re.compile(r"(?<=://)(?!/)\S*@")
SECRETS = re.compile(r"((?:password|passwd|pwd|token|secret)\w*=['\"]?)[^\s&;'\"]+", re.IGNORECASE)


def redact(text: str) -> str:
    """Remove user and password from the URLs in a text, and the values of `password=`, `token=` and the like."""
    return SECRETS.sub(r"\1***", USER_INFO.sub("", text))


def store_name(root: Path) -> str:
    """Return the name of the store in spools: its address without credentials.

    The name of a database within the checkout has a path relative to the root, as the checkout may be moved.
    """
    uri = redact(tracking_uri(root))
    # The path in a URI may be quoted.
    for text in (uri, unquote(uri)):
        _, is_inside, path = text.partition(f"{root}/")
        if uri.startswith("sqlite:") and is_inside:
            return f"sqlite:///{path.partition('?')[0]}"
    return uri


def redact_logs() -> None:
    """Redact all log messages of this process from now on, and the traceback of an unhandled error."""
    make_record = logging.getLogRecordFactory()

    def redacted(*args: object, **kwargs: object) -> logging.LogRecord:
        record: logging.LogRecord = make_record(*args, **kwargs)
        # If a message does not fit its arguments, logging reports that itself.
        with suppress(TypeError, ValueError):
            record.msg, record.args = redact(record.getMessage()), ()
        if record.exc_info and record.exc_info[0]:
            record.exc_text = redact(logging.Formatter().formatException(record.exc_info))
        return record

    logging.setLogRecordFactory(redacted)
    sys.excepthook = lambda _, error, __: print(redact("".join(format_exception(error))), end="", file=sys.stderr)
