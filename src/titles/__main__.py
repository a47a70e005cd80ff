"""The command `titles`: a model put to use from the shell."""

import argparse
import logging
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from titles import __version__
from titles.errors import InputError
from titles.hyperparameters import OBJECTIVES

if TYPE_CHECKING:
    from io import BufferedReader

    from titles.classifier import Classifier
    from titles.raw_file import RawFile

OBJECTIVE = "what the first category is to be best at (what train.objective was)"
MODEL = "a model folder, or one with several, of which it takes the mean"
OUTPUT = "CSV, JSON Lines or Parquet"
KEPT = "a column of the titles' file that the output has, too, such as --keep sku --keep price"
ESCAPED = "CSV cells that begin with = + - @ have a ' before it, as a spreadsheet would run them as formulas"


def path_of(text: str) -> Path | None:
    """None is the standard input or output."""
    return None if text == "-" else Path(text)


def predict(options: argparse.Namespace) -> None:
    """Categories for the titles of a file, or of the standard input, there a title a line unless --format says."""
    # Imported here, so that a mistake in what was given is told before torch costs its seconds.
    from titles.raw import titles_file
    from titles.standard_input import given
    from titles.table_files import format_of

    if options.top < 1:
        raise InputError(f"--top is {options.top}; a title gets 1 category or more")
    if not 0 <= options.min_score <= 1:
        raise InputError(f"--min-score is {options.min_score}; a score is from 0 to 1")
    if options.output and format_of(options.output)[0] != "csv" and options.escape_formulas:
        raise InputError(f"--escape-formulas is for CSV, which {options.output} is not")
    _check_kept(options)
    read = partial(titles_file, title=options.title_column, id_=options.id_column, keep=options.keep)
    with given(options.titles, options.format, read) as file:
        if file and options.output and options.output.exists() and options.output.samefile(file.path):
            raise InputError(f"{options.output} is the file of titles; give another one to write")
        _predict(options, file)


def _check_kept(options: argparse.Namespace) -> None:
    if options.keep and not options.titles and not options.format:
        raise InputError("--keep is for columns, and lines of the standard input have none; say --format, if they do")
    taken = {"line", "id", "title", "category", "score", "reason", options.title_column, options.id_column}
    for column in options.keep:
        if column in taken or options.keep.count(column) > 1:
            raise InputError(f"--keep {column}: the output has that column already, or one of its name; leave it out")


def _predict(options: argparse.Namespace, file: "RawFile | None") -> None:
    from titles.bulk import Answers, lines_of
    from titles.table_files import escaped, written_or_printed

    with_ids = file is not None and "id" in file.names
    answers = Answers(_classifier(options), options.top, options.min_score, with_ids, options.keep)
    lines = cast("BufferedReader", sys.stdin.buffer)
    tables = answers.of_file(file) if file else answers.of_stream(lines_of(lines))
    with written_or_printed(options.output, answers.schema) as write:
        for table in tables:
            write(escaped(table) if options.escape_formulas else table)
    if answers.rows and not answers.answered:
        raise InputError("no row has a category; the column reason says why")


def submit(options: argparse.Namespace) -> None:
    """The challenge's submission.csv, id and category, for an unlabelled test file, used whole."""
    from titles.raw import titles_file
    from titles.standard_input import given
    from titles.table_files import format_of

    if options.output:
        format_of(options.output)
    read = partial(titles_file, title=options.title_column, id_=options.id_column, required=("id", "title"))
    with given(options.titles, options.format, read) as file:
        if file is None:
            raise InputError("the test file on the standard input has a format; say which, as in --format csv")
        from titles.bulk import write_submission

        write_submission(_classifier(options), file, options.output)


def _classifier(options: argparse.Namespace) -> "Classifier":
    from titles.classifier import Classifier
    from titles.device import chosen_device

    return Classifier.load(options.model, options.objective, chosen_device())


def serve(options: argparse.Namespace) -> None:
    """An HTTP server with a page, on this machine alone unless --host says otherwise."""
    if not 0 < options.port < 1 << 16:
        raise InputError(f"--port is {options.port}; a port is from 1 to 65,535")
    try:
        import uvicorn

        from titles.serving.app import create_app
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed; pip install '.[serve]' in the checkout adds it") from None
    # Before the server listens, so that whoever is answered at all is answered by the model.
    app = create_app(_classifier(options))
    uvicorn.run(app, host=options.host, port=options.port, timeout_graceful_shutdown=30, access_log=False)


def export(options: argparse.Namespace) -> None:
    """One network as an ONNX file, which onnxruntime runs without torch."""
    from titles.onnx.export import export

    export(options.model, options.output)


class Terminated(KeyboardInterrupt):
    """Stopped as a service manager does it."""


def _terminate(_signal: int, _frame: object) -> None:
    raise Terminated


def main() -> None:
    """Parses the command line; what a user can mend ends it with status 1 and one line that says how."""
    options = _parser().parse_args()
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="titles", description=__doc__)
    parser.add_argument("--version", action="version", version=f"titles {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(run: Callable[[argparse.Namespace], None], about: str) -> argparse.ArgumentParser:
        added = commands.add_parser(run.__name__, help=about, description=run.__doc__)
        added.set_defaults(run=run)
        added.add_argument("model", type=Path, help=MODEL)
        if run in (predict, submit):
            for column in ("title", "id"):
                about = f"what the file calls its column {column}"
                added.add_argument(f"--{column}-column", default=column, metavar="NAME", help=about)
        if run is not export:
            added.add_argument("--objective", choices=OBJECTIVES, help=OBJECTIVE)
        return added

    def with_titles(added: argparse.ArgumentParser, about: str, nargs: str | None = None) -> None:
        added.add_argument("titles", type=path_of, nargs=nargs, help=about)
        added.add_argument(
            "--format", help="of the standard input: csv, tsv, jsonl or parquet, as the end of a file's name"
        )

    added = command(predict, "categories for titles")
    with_titles(
        added, "CSV, TSV, JSON Lines or Parquet with a column title; by default, or as -, the standard input", "?"
    )
    added.add_argument("-o", "--output", type=path_of, help=f"{OUTPUT}; by default CSV to stdout")
    added.add_argument("--top", type=int, default=1, help="how many categories a title gets (1)")
    added.add_argument("--min-score", type=float, default=0.0, help="no category scores lower than this (0)")
    added.add_argument("--keep", action="append", default=[], metavar="COLUMN", help=KEPT)
    added.add_argument("--escape-formulas", action="store_true", help=ESCAPED)
    added = command(submit, "the challenge's submission.csv")
    with_titles(added, "the unlabelled test file: columns id and title; - is the standard input")
    added.add_argument("-o", "--output", type=path_of, default="submission.csv", help="submission.csv by default")
    added = command(export, "a network as an ONNX file")
    added.add_argument("-o", "--output", type=Path, required=True, help="the file, such as mlp.onnx")
    added = command(serve, "a server with a page")
    added.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1)")
    added.add_argument("--port", type=int, default=8000, help="8000")
    return parser


if __name__ == "__main__":
    main()
