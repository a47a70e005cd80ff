"""A model folder as an ONNX file."""

import shutil
from pathlib import Path

from titles.core.atomic_directory import UNFINISHED, recreate_dir
from titles.core.disk_full import disk_full_as_input_error
from titles.core.errors import InputError
from titles.inference.classifier import model_folders
from titles.io.table_writer import resolve_link
from titles.persistence.model_folder import load, training_objective

# Protobuf takes no message of 2 GiB, and there is more in a file than weights.
MAX_INLINE_BYTES = 1_900_000_000


def export(folder: Path, path: Path) -> None:
    """Writes the network of a model folder to the file `path`; weights too large for one to `path` + `.data` beside it.

    Raises InputError where the folder does not hold one network, there is no folder for the file or no room for it, or
    a package is not installed.
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
        raise InputError(f"{path} cannot be written; give a file in a folder that is there, such as mlp.onnx")
    model = build_model(*load(folders[0]), training_objective(folders))
    weights = [value.const_value for value in model.graph.initializers.values()]
    is_large = sum(weight.nbytes for weight in weights if weight is not None) > MAX_INLINE_BYTES
    with disk_full_as_input_error(path):
        unfinished = recreate_dir(path.with_name(f".{path.name}{UNFINISHED}"))
        try:
            onnx_ir.save(model, unfinished / path.name, external_data=f"{path.name}.data" if is_large else None)
            # The weights beside it come first.
            for file in sorted(unfinished.iterdir(), reverse=True):
                file.replace(path.with_name(file.name))
        finally:
            shutil.rmtree(unfinished)
