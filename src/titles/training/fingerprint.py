"""What decides the result of a training: its inputs, its settings, the code that computes it, versions, the processor.

A training goes on only from a checkpoint whose fingerprint is its own, so that it ends as if it had never been killed.
"""

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path

import numpy as np
import torch

PACKAGE = Path(__file__).parents[1]
# The packages that compute weights, or read and write checkpoints. A change to any other one, such as that of the model
# card, lets a killed training go on.
CODE = ("data", "metrics", "nn", "training")

Description = dict[str, str]


def describe(inputs: Iterable[Path], settings: Mapping[str, object]) -> Description:
    """The hash of every input and module, the value of every setting (`train.epochs`), and every version."""
    found = {file.name: _hash(file) for file in inputs}
    modules = (module for name in CODE for module in (PACKAGE / name).glob("*.py"))
    found |= {module.relative_to(PACKAGE).as_posix(): _hash(module) for module in modules}
    for name, value in settings.items():
        if is_dataclass(value) and not isinstance(value, type):
            found |= {f"{name}.{key}": repr(one) for key, one in asdict(value).items()}
        else:
            found[name] = repr(value)
    found |= {"python": sys.version, "numpy": np.__version__, "torch": torch.__version__}
    return found | {"processor": torch.backends.cpu.get_cpu_capability()}


def fingerprint(description: Description) -> str:
    """The hash of a description, whatever the order of its entries."""
    content = json.dumps(description, sort_keys=True)
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


def differences(description: Description, other: Description) -> str:
    """The names of the entries in which two descriptions differ, at most three of them."""
    names = sorted(name for name in description | other if description.get(name) != other.get(name))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _hash(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "blake2b").hexdigest()
