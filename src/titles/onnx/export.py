"""Export the network of a model folder to an ONNX file."""

import shutil
from pathlib import Path

from titles.core.atomic_directory import UNFINISHED, recreate_dir
from titles.core.disk_full import disk_full_as_input_error
from titles.core.errors import InputError
from titles.inference.classifier import model_folders
from titles.io.table_writer import resolve_link
from titles.persistence.model_folder import load, training_objective

# The limit of protobuf is 2 GiB per message, and the file holds more than weights.
MAX_INLINE_BYTES = 1_900_000_000


def export(folder: Path, path: Path) -> None:
    """Write the network of a model folder to the file `path`; weights over 1.9 GB go to `path` + `.data`.

    Raises InputError if the folder does not hold exactly one network, the network is of a class that cannot be
    exported, the folder of `path` does not exist, the disk is full, or a package is not installed.
    """
    try:
        import onnx_ir

        from titles.onnx.graph import build_model
    except ModuleNotFoundError as error:
        raise InputError(f"{error.name} is not installed; pip install '.[onnx]' in the checkout adds it") from None
    folders = model_folders(folder)
    if len(folders) > 1:
        raise InputError(f"{folder} holds several networks; give one of {', '.join(map(str, folders))}")
    path = resolve_link(path)
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(f"{path} cannot be written; give a file in a folder that exists, such as mlp.onnx")
    model = build_model(*load(folders[0]), training_objective(folders))
    weights = [value.const_value for value in model.graph.initializers.values()]
    is_large = sum(weight.nbytes for weight in weights if weight is not None) > MAX_INLINE_BYTES
    with disk_full_as_input_error(path):
        unfinished = recreate_dir(path.with_name(f".{path.name}{UNFINISHED}"))
        try:
            onnx_ir.save(model, unfinished / path.name, external_data=f"{path.name}.data" if is_large else None)
            # The .data file is moved first, so that the model never refers to a missing file.
            for file in sorted(unfinished.iterdir(), reverse=True):
                file.replace(path.with_name(file.name))
        finally:
            shutil.rmtree(unfinished)
