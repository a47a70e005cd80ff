"""The commands of `titles`; each takes the options that `titles.cli` parses."""

import argparse
import sys
from functools import partial
from typing import TYPE_CHECKING, cast

from titles.core.errors import InputError

if TYPE_CHECKING:
    from io import BufferedReader

    from titles.inference.classifier import Classifier
    from titles.io.source_file import SourceFile


def predict(options: argparse.Namespace) -> None:
    """Predict the categories of titles. Standard input has one title per line, unless --format is given."""
    # Imported here, so that wrong options are reported before torch is loaded, which takes seconds.
    from titles.io.file_discovery import titles_file
    from titles.io.standard_input import file_or_stdin
    from titles.io.table_writer import output_format

    if options.top < 1:
        raise InputError(f"--top is {options.top}; a title gets 1 category or more")
    if not 0 <= options.min_score <= 1:
        raise InputError(f"--min-score is {options.min_score}; a score is from 0 to 1")
    if options.output and output_format(options.output)[0] != "csv" and options.escape_formulas:
        raise InputError(f"--escape-formulas is for CSV, which {options.output} is not")
    _check_keep_columns(options)
    read = partial(titles_file, title=options.title_column, id_=options.id_column, keep_columns=options.keep)
    with file_or_stdin(options.titles, options.format, read) as file:
        if file and options.output and options.output.exists() and options.output.samefile(file.path):
            raise InputError(f"{options.output} is the input; give another file to write")
        _write_predictions(options, file)


def _check_keep_columns(options: argparse.Namespace) -> None:
    if options.keep and not options.titles and not options.format:
        raise InputError("--keep needs columns, and lines of text have none; give --format if the input has columns")
    output_columns = {"line", "id", "title", "category", "score", "reason", options.title_column, options.id_column}
    for column in options.keep:
        if column in output_columns or options.keep.count(column) > 1:
            raise InputError(f"--keep {column}: the output already has a column of that name; leave it out")


def _write_predictions(options: argparse.Namespace, file: "SourceFile | None") -> None:
    from titles.inference.batch_predict import BatchPredictor, read_line_batches
    from titles.io.table_writer import escape_formulas, open_writer

    with_ids = file is not None and "id" in file.names
    predictor = BatchPredictor(_load_classifier(options), options.top, options.min_score, with_ids, options.keep)
    lines = cast("BufferedReader", sys.stdin.buffer)
    tables = predictor.predict_file(file) if file else predictor.predict_stream(read_line_batches(lines))
    with open_writer(options.output, predictor.schema) as write:
        for table in tables:
            write(escape_formulas(table) if options.escape_formulas else table)
    if predictor.num_rows and not predictor.num_predicted:
        raise InputError("no row has a category; the column reason says why")


def submit(options: argparse.Namespace) -> None:
    """Write the challenge's submission.csv: the id and the category of every row of an unlabelled test file."""
    from titles.io.file_discovery import titles_file
    from titles.io.standard_input import file_or_stdin
    from titles.io.table_writer import output_format

    if options.output:
        output_format(options.output)
    read = partial(titles_file, title=options.title_column, id_=options.id_column, required=("id", "title"))
    with file_or_stdin(options.titles, options.format, read) as file:
        if file is None:
            raise InputError("the standard input needs a format for the test file; give it, as in --format csv")
        from titles.inference.batch_predict import write_submission

        write_submission(_load_classifier(options), file, options.output)


def _load_classifier(options: argparse.Namespace) -> "Classifier":
    from titles.inference.classifier import Classifier
    from titles.nn.device import chosen_device

    return Classifier.load(options.model, options.objective, chosen_device())


def serve(options: argparse.Namespace) -> None:
    """Serve predictions over HTTP, with a web page. Only this machine can connect unless --host is given."""
    if not 0 < options.port < 1 << 16:
        raise InputError(f"--port is {options.port}; a port is from 1 to 65,535")
    if options.shutdown_timeout < 1:
        raise InputError(f"--shutdown-timeout is {options.shutdown_timeout}; it must be 1 second or more")
    try:
        from titles.serving.app import create_app
        from titles.serving.middleware.access_log import configure_access_log
        from titles.serving.middleware.shutdown import ShutdownState
        from titles.serving.server import run
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed; pip install '.[serve]' in the checkout adds it") from None
    from titles.nn.device import chosen_device
    from titles.serving.loaded_model import load_model
    from titles.serving.service import Service

    if options.access_log:
        configure_access_log()
    # The model is loaded before the server listens, so that every request it accepts can be answered.
    service, shutdown = Service(partial(load_model, options.model, options.objective, chosen_device())), ShutdownState()
    hosts = [options.host, *options.allowed_host]
    app = create_app(service, shutdown, hosts, options.allow_reload, options.access_log)
    run(app, options.host, options.port, shutdown, options.shutdown_timeout)


def export(options: argparse.Namespace) -> None:
    """Export one network to an ONNX file, which onnxruntime runs without torch."""
    from titles.onnx.export import export

    export(options.model, options.output)
