"""Use a trained model from the shell: predict categories, write a submission, export to ONNX, serve over HTTP."""

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

MODEL_HELP = "a model folder, such as models/mlp, or a folder of several, to use the mean of their probabilities"
OBJECTIVE_HELP = "the metric that the first category is chosen for; default: train.objective of the training"
TITLES_HELP = "a CSV, TSV, JSON Lines or Parquet file with a column title; default, or -: standard input"
FORMAT_HELP = "format of the standard input: csv, tsv, jsonl or parquet; csv.gz and the like if it is compressed"
KEEP_HELP = "copy this column of the input to the output; may be repeated, as in --keep sku --keep price"
ESCAPE_FORMULAS_HELP = "write ' before CSV cells that start with = + - or @, which a spreadsheet would run as formulas"
ALLOWED_HOST_HELP = "another host name of the server, as clients send it in the Host header; may be repeated"
SHUTDOWN_HELP = "seconds from SIGTERM until the server has answered pending requests and ended (default: 10)"


def parse_path(text: str) -> Path | None:
    """A path; None if the argument is `-`, the standard input or output."""
    return None if text == "-" else Path(text)


class Terminated(KeyboardInterrupt):
    """The process received SIGTERM."""


def _terminate(_signal: int, _frame: object) -> None:
    raise Terminated


def main() -> None:
    """Run the command line. An error that the user can fix ends it with status 1 and one line on how to fix it."""
    options = _build_parser().parse_args()
    set_thread_defaults()
    logging.basicConfig(level=logging.INFO, format="titles: %(message)s")
    # SIGTERM raises an exception, as Ctrl-C does, so that unfinished output files are removed.
    signal.signal(signal.SIGTERM, _terminate)
    try:
        options.run(options)
    except InputError as error:
        sys.exit(f"titles: {error}")
    except BrokenPipeError:
        sys.exit(1)
    except KeyboardInterrupt as error:
        # The exit status of a shell for a process that a signal ended.
        sys.exit(128 + (signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT))
    except OSError as error:
        sys.exit(f"titles: {error}")


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="titles", description=__doc__)
    parser.add_argument("--version", action="version", version=f"titles {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add_command(run: Callable[[argparse.Namespace], None], help_text: str) -> argparse.ArgumentParser:
        subparser = commands.add_parser(run.__name__, help=help_text, description=run.__doc__)
        subparser.set_defaults(run=run)
        model_help = "a model folder, such as models/mlp" if run is export else MODEL_HELP
        subparser.add_argument("model", type=Path, help=model_help)
        if run in (predict, submit):
            for column in ("title", "id"):
                column_help = f"name of the column {column} in the input (default: {column})"
                subparser.add_argument(f"--{column}-column", default=column, metavar="NAME", help=column_help)
        if run is not export:
            subparser.add_argument("--objective", choices=OBJECTIVES, help=OBJECTIVE_HELP)
        return subparser

    _add_predict_options(add_command(predict, "predict the categories of titles"))
    _add_submit_options(add_command(submit, "write the challenge's submission.csv"))
    subparser = add_command(export, "export a network to an ONNX file")
    subparser.add_argument("-o", "--output", type=Path, required=True, help="the file to write, such as mlp.onnx")
    _add_server_options(add_command(serve, "serve predictions over HTTP, with a web page"))
    return parser


def _add_predict_options(subparser: argparse.ArgumentParser) -> None:
    subparser.add_argument("titles", type=parse_path, nargs="?", help=TITLES_HELP)
    subparser.add_argument("--format", help=FORMAT_HELP)
    output_help = "the CSV, JSON Lines or Parquet file to write; default: CSV on standard output"
    subparser.add_argument("-o", "--output", type=parse_path, help=output_help)
    subparser.add_argument("--top", type=int, default=1, help="categories per title, the best first (default: 1)")
    min_score_help = "leave out categories with a lower score, from 0 to 1 (default: 0)"
    subparser.add_argument("--min-score", type=float, default=0.0, help=min_score_help)
    subparser.add_argument("--keep", action="append", default=[], metavar="COLUMN", help=KEEP_HELP)
    subparser.add_argument("--escape-formulas", action="store_true", help=ESCAPE_FORMULAS_HELP)


def _add_submit_options(subparser: argparse.ArgumentParser) -> None:
    titles_help = "the unlabelled test file, with the columns id and title; -: standard input"
    subparser.add_argument("titles", type=parse_path, help=titles_help)
    subparser.add_argument("--format", help=FORMAT_HELP)
    output_help = "the file to write (default: submission.csv); -: standard output"
    subparser.add_argument("-o", "--output", type=parse_path, default="submission.csv", help=output_help)


def _add_server_options(subparser: argparse.ArgumentParser) -> None:
    host_help = "the address to listen on (default: 127.0.0.1, which only this machine can reach)"
    subparser.add_argument("--host", default="127.0.0.1", help=host_help)
    subparser.add_argument("--port", type=int, default=8000, help="the port to listen on (default: 8000)")
    subparser.add_argument("--allowed-host", action="append", default=[], metavar="HOST", help=ALLOWED_HOST_HELP)
    subparser.add_argument("--shutdown-timeout", type=int, default=10, metavar="SECONDS", help=SHUTDOWN_HELP)
    reload_help = "reload the model folder on SIGHUP and on POST /reload"
    subparser.add_argument("--allow-reload", action="store_true", help=reload_help)
    log_help = "log every response to standard output, as JSON Lines"
    subparser.add_argument("--access-log", action="store_true", help=log_help)
