"""The command `titles`: a model put to use from the shell."""

import argparse
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from titles.cpus import set_thread_defaults
from titles.errors import InputError
from titles.hyperparameters import OBJECTIVES

if TYPE_CHECKING:
    from io import BufferedReader

OBJECTIVE = "what the first category is to be best at (what train.objective was)"
MODEL = "a model folder, or one with several, of which it takes the mean"


def predict(options: argparse.Namespace) -> None:
    """Categories for the titles of a file, or of each line of the standard input."""
    # Imported here, so that a mistake in what was given is told before torch costs its seconds.
    from titles.raw import titles_file
    from titles.table_files import format_of, printed, written

    file = titles_file(options.titles) if options.titles else None
    if options.output:
        format_of(options.output)
        if file and options.output.exists() and options.output.samefile(file.path):
            raise InputError(f"{options.output} is the file of titles; give another one to write")
    if options.top < 1:
        raise InputError(f"--top is {options.top}; a title gets 1 category or more")
    if not 0 <= options.min_score <= 1:
        raise InputError(f"--min-score is {options.min_score}; a score is from 0 to 1")
    from titles.bulk import Answers, lines_of
    from titles.classifier import Classifier

    classifier = Classifier.load(options.model, options.objective)
    answers = Answers(classifier, options.top, options.min_score, with_ids=file is not None and "id" in file.columns)
    stream = cast("BufferedReader", sys.stdin.buffer)
    tables = answers.of(file.batches()) if file else answers.of(lines_of(stream), map)
    with written(options.output, answers.schema) if options.output else printed(answers.schema) as write:
        for table in tables:
            write(table)


def submit(options: argparse.Namespace) -> None:
    """The challenge's submission.csv, id and category, for an unlabelled test file, used whole."""
    from titles.raw import titles_file
    from titles.table_files import format_of

    file = titles_file(options.test)
    format_of(options.output)
    if "id" not in file.columns:
        raise InputError(f"{file.path}: no column id, which a submission is made of; it has {', '.join(file.columns)}")
    from titles.bulk import write_submission
    from titles.classifier import Classifier

    write_submission(Classifier.load(options.model, options.objective), file, options.output)


def serve(options: argparse.Namespace) -> None:
    """An HTTP server with a page, on this machine alone unless --host says otherwise."""
    if not 0 < options.port < 1 << 16:
        raise InputError(f"--port is {options.port}; a port is from 1 to 65,535")
    try:
        import uvicorn

        from titles.serving.app import create_app
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed; pip install '.[serve]' in the checkout adds it") from None
    from titles.classifier import Classifier

    # Before the server listens, so that whoever is answered at all is answered by the model.
    app = create_app(Classifier.load(options.model, options.objective))
    uvicorn.run(app, host=options.host, port=options.port, timeout_graceful_shutdown=30, access_log=False)


def export(options: argparse.Namespace) -> None:
    """One network as an ONNX file, which onnxruntime runs without torch."""
    from titles.onnx.export import export

    export(options.model, options.output)


def main() -> None:
    """Parses the command line; what a user can mend ends it with status 1 and one line that says how."""
    options = _parser().parse_args()
    set_thread_defaults()
    logging.basicConfig(level=logging.INFO, format="titles: %(message)s")
    # As Ctrl-C does, so that what is unfinished is removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        options.run(options)
    except InputError as error:
        sys.exit(f"titles: {error}")
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(1)
    except OSError as error:
        sys.exit(f"titles: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="titles", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(run: Callable[[argparse.Namespace], None], about: str) -> argparse.ArgumentParser:
        added = commands.add_parser(run.__name__, help=about, description=run.__doc__)
        added.set_defaults(run=run)
        added.add_argument("model", type=Path, help=MODEL)
        if run is not export:
            added.add_argument("--objective", choices=OBJECTIVES, help=OBJECTIVE)
        return added

    added = command(predict, "categories for titles")
    added.add_argument("titles", type=Path, nargs="?", help="CSV, JSON Lines or Parquet with a column title")
    added.add_argument("-o", "--output", type=Path, help="CSV, JSON Lines or Parquet; by default CSV to stdout")
    added.add_argument("--top", type=int, default=1, help="how many categories a title gets (1)")
    added.add_argument("--min-score", type=float, default=0.0, help="no category scores lower than this (0)")
    added = command(submit, "the challenge's submission.csv")
    added.add_argument("test", type=Path, help="the unlabelled test file: columns id and title")
    added.add_argument("-o", "--output", type=Path, default=Path("submission.csv"), help="submission.csv by default")
    added = command(export, "a network as an ONNX file")
    added.add_argument("-o", "--output", type=Path, required=True, help="the file, such as mlp.onnx")
    added = command(serve, "a server with a page")
    added.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1)")
    added.add_argument("--port", type=int, default=8000, help="8000")
    return parser


if __name__ == "__main__":
    main()
