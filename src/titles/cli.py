"""The command `titles`: a model put to use from the shell."""

import argparse
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from titles import __version__
from titles.commands import export, predict, serve, submit
from titles.core.cpus import set_thread_defaults
from titles.core.errors import InputError
from titles.nn.hparams import OBJECTIVES

OBJECTIVE_HELP = "what the first category is to be best at (what train.objective was)"
MODEL_HELP = "a model folder, or one with several, of which it takes the mean"
OUTPUT_HELP = "CSV, JSON Lines or Parquet"
KEEP_HELP = "a column of the titles' file that the output has, too, such as --keep sku --keep price"
ESCAPE_FORMULAS_HELP = (
    "CSV cells that begin with = + - @ have a ' before it, as a spreadsheet would run them as formulas"
)


def parse_path(text: str) -> Path | None:
    """None is the standard input or output."""
    return None if text == "-" else Path(text)


class Terminated(KeyboardInterrupt):
    """Stopped as a service manager does it."""


def _terminate(_signal: int, _frame: object) -> None:
    raise Terminated


def main() -> None:
    """Parses the command line; what a user can mend ends it with status 1 and one line that says how."""
    options = _build_parser().parse_args()
    set_thread_defaults()
    logging.basicConfig(level=logging.INFO, format="titles: %(message)s")
    # As Ctrl-C does, so that what is unfinished is removed.
    signal.signal(signal.SIGTERM, _terminate)
    try:
        options.run(options)
    except InputError as error:
        sys.exit(f"titles: {error}")
    except BrokenPipeError:
        sys.exit(1)
    except KeyboardInterrupt as error:
        # What a shell says of a program that the signal ended.
        sys.exit(128 + (signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT))
    except OSError as error:
        sys.exit(f"titles: {error}")


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="titles", description=__doc__)
    parser.add_argument("--version", action="version", version=f"titles {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add_command(run: Callable[[argparse.Namespace], None], help_text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(run.__name__, help=help_text, description=run.__doc__)
        added.set_defaults(run=run)
        added.add_argument("model", type=Path, help=MODEL_HELP)
        if run in (predict, submit):
            for column in ("title", "id"):
                help_text = f"what the file calls its column {column}"
                added.add_argument(f"--{column}-column", default=column, metavar="NAME", help=help_text)
        if run is not export:
            added.add_argument("--objective", choices=OBJECTIVES, help=OBJECTIVE_HELP)
        return added

    def add_titles_arguments(subparser: argparse.ArgumentParser, help_text: str, nargs: str | None = None) -> None:
        subparser.add_argument("titles", type=parse_path, nargs=nargs, help=help_text)
        subparser.add_argument(
            "--format", help="of the standard input: csv, tsv, jsonl or parquet, as the end of a file's name"
        )

    added = add_command(predict, "categories for titles")
    add_titles_arguments(
        added, "CSV, TSV, JSON Lines or Parquet with a column title; by default, or as -, the standard input", "?"
    )
    added.add_argument("-o", "--output", type=parse_path, help=f"{OUTPUT_HELP}; by default CSV to stdout")
    added.add_argument("--top", type=int, default=1, help="how many categories a title gets (1)")
    added.add_argument("--min-score", type=float, default=0.0, help="no category scores lower than this (0)")
    added.add_argument("--keep", action="append", default=[], metavar="COLUMN", help=KEEP_HELP)
    added.add_argument("--escape-formulas", action="store_true", help=ESCAPE_FORMULAS_HELP)
    added = add_command(submit, "the challenge's submission.csv")
    add_titles_arguments(added, "the unlabelled test file: columns id and title; - is the standard input")
    added.add_argument("-o", "--output", type=parse_path, default="submission.csv", help="submission.csv by default")
    added = add_command(export, "a network as an ONNX file")
    added.add_argument("-o", "--output", type=Path, required=True, help="the file, such as mlp.onnx")
    added = add_command(serve, "a server with a page")
    _add_server_options(added)
    return parser


def _add_server_options(subparser: argparse.ArgumentParser) -> None:
    subparser.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1)")
    subparser.add_argument("--port", type=int, default=8000, help="8000")
    host = "a name the server is reached by, as in the header Host; may be repeated (the address it listens on)"
    subparser.add_argument("--allowed-host", action="append", default=[], metavar="HOST", help=host)
    seconds = "seconds after SIGTERM by which everyone admitted is answered and the server has ended (10)"
    subparser.add_argument("--shutdown-timeout", type=int, default=10, metavar="SECONDS", help=seconds)
    subparser.add_argument(
        "--allow-reload", action="store_true", help="SIGHUP and POST /reload load the model folder anew"
    )
    subparser.add_argument(
        "--access-log", action="store_true", help="log every answer on standard output, as JSON Lines"
    )
