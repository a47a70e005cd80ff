"""The command `titles`."""

import argparse
import logging
import sys
from pathlib import Path

from titles.errors import InputError


def predict(options: argparse.Namespace) -> None:
    """Categories for the titles of a file, or of each line of the standard input."""
    # Imported here, so that a mistake in what was given is told before torch costs its seconds.
    from titles.raw import titles_file
    from titles.table_files import format_of, printed, written

    file = titles_file(options.titles) if options.titles else None
    if options.output:
        format_of(options.output)
    if options.top < 1:
        raise InputError(f"--top is {options.top}; a title gets 1 category or more")
    from titles.bulk import Answers, lines_of
    from titles.classifier import Classifier

    classifier = Classifier.load(options.model)
    answers = Answers(classifier, options.top, options.min_score, with_ids=file is not None and "id" in file.columns)
    with written(options.output, answers.schema) if options.output else printed(answers.schema) as write:
        for table in answers.of(file.batches() if file else lines_of(sys.stdin.buffer)):
            write(table)


def export(options: argparse.Namespace) -> None:
    """One network as an ONNX file, which onnxruntime runs without torch."""
    from titles.onnx_export import export

    export(options.model, options.output)


def main() -> None:
    """Parses the command line; what a user can mend ends it with status 1 and one line that says how."""
    parser = argparse.ArgumentParser(prog="titles", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("predict", help="categories for titles", description=predict.__doc__)
    command.add_argument("model", type=Path, help="a model folder, or one with several, of which it takes the mean")
    command.add_argument("titles", type=Path, nargs="?", help="CSV, JSON Lines or Parquet with a column title")
    command.add_argument("-o", "--output", type=Path, help="CSV, JSON Lines or Parquet; by default CSV to stdout")
    command.add_argument("--top", type=int, default=1, help="how many categories a title gets (1)")
    command.add_argument("--min-score", type=float, default=0.0, help="no category scores lower than this (0)")
    command.set_defaults(run=predict)
    command = commands.add_parser("export", help="a network as an ONNX file", description=export.__doc__)
    command.add_argument("model", type=Path, help="a model folder, such as models/mlp")
    command.add_argument("-o", "--output", type=Path, required=True, help="the file, such as mlp.onnx")
    command.set_defaults(run=export)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="titles: %(message)s")
    try:
        options.run(options)
    except InputError as error:
        sys.exit(f"titles: {error}")
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(1)


if __name__ == "__main__":
    main()
