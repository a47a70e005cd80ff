"""The fingerprint of a training: a hash of its inputs, settings, code, library versions and CPU capability.

A training resumes only from a checkpoint with the same fingerprint, so that it ends with the same bytes as an
uninterrupted one.
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
# The packages that compute weights, or read and write checkpoints. A training still resumes after
# a change to other code, such as the model card.
CODE = ("data", "metrics", "nn", "training")

Description = dict[str, str]


def describe(inputs: Iterable[Path], settings: Mapping[str, object]) -> Description:
    """The hash of every input and module, the value of every setting (`train.epochs`), and every version."""
    description = {file.name: _hash(file) for file in inputs}
    modules = (module for name in CODE for module in (PACKAGE / name).glob("*.py"))
    description |= {module.relative_to(PACKAGE).as_posix(): _hash(module) for module in modules}
    for name, value in settings.items():
        if is_dataclass(value) and not isinstance(value, type):
            description |= {f"{name}.{key}": repr(field) for key, field in asdict(value).items()}
        else:
            description[name] = repr(value)
    description |= {"python": sys.version, "numpy": np.__version__, "torch": torch.__version__}
    return description | {"processor": torch.backends.cpu.get_cpu_capability()}


def fingerprint(description: Description) -> str:
    """The hash of a description. It does not depend on the order of the entries."""
    content = json.dumps(description, sort_keys=True)
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


def differences(description: Description, other: Description) -> str:
    """The names of the entries in which two descriptions differ: three at most, then how many more there are."""
    names = sorted(name for name in description | other if description.get(name) != other.get(name))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _hash(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "blake2b").hexdigest()
