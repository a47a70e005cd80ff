"""The reader of params.yaml: one frozen dataclass per section, validated before any work starts.

Each dataclass is defined next to the code that uses it, so that a new parameter of the CNN does not re-run `prepare`.
"""

import typing
from dataclasses import is_dataclass
from pathlib import Path

import yaml

from titles.core.errors import InputError

SECTIONS = ("data", "prepare", "reduce", "embed", "model", "mlp", "cnn", "train")
TYPE_DESCRIPTIONS = {int: "a whole number", float: "a number", str: "a word", bool: "true or false"}
# The parameters of version 1.0 and their current names.
RENAMED = {
    "embed.words": "embed.vocabulary_size",
    "embed.pairs": "embed.bigrams",
    "model.members": "model.ensemble_size",
    "embed.subword_lengths": "embed.subword_min_n and embed.subword_max_n, the shortest and the longest",
    "mlp.hidden": "mlp.hidden_layers and mlp.hidden_units, how many layers and how wide",
    "cnn.widths": "cnn.min_kernel_size and cnn.max_kernel_size, the smallest and the largest",
}
# The parameters of version 1.0 that have no successor, and what to do.
REMOVED = {"train.class_balance": "delete it, and see train.objective"}

Section = typing.TypeVar("Section")


def load_params(path: Path, sections: dict[str, type[Section]]) -> dict[str, Section]:
    """Load the requested sections of the file, each as its dataclass.

    Raise InputError if a section or a key is missing or not allowed, or if a value is invalid. The message names the
    key, the value and the allowed values.
    """
    content = _load_sections(path)
    _reject_old_keys(path, content)
    return {name: _load_section(path, name, content[name], section) for name, section in sections.items()}


def _load_section(path: Path, name: str, values: object, section: type[Section]) -> Section:
    hints = typing.get_type_hints(section, include_extras=True)
    if not isinstance(values, dict):
        raise InputError(f"{path}: {name} is {values!r}; it must hold {', '.join(hints)}")
    for key in sorted(values.keys() - hints.keys(), key=str):
        raise InputError(f"{path}: {name}.{key} is not a parameter; {name} has {', '.join(hints)}")
    for key in sorted(hints.keys() - values.keys()):
        raise InputError(f"{path}: {name}.{key} is missing")
    converted: dict[str, object] = {}
    for key, hint in hints.items():
        if isinstance(hint, type) and is_dataclass(hint):
            converted[key] = _load_section(path, f"{name}.{key}", values[key], hint)
            continue
        try:
            converted[key] = _convert(values[key], hint)
        except ValueError as allowed:
            raise InputError(f"{path}: {name}.{key} is {values[key]!r}; allowed: {allowed}") from None
    try:
        return section(**converted)
    except ValueError as error:
        raise InputError(f"{path}: {name}.{error}") from None


def _load_sections(path: Path) -> dict[str, object]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is not here; run from the root of the repository") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(content, dict) or set(content) != set(SECTIONS):
        found = ", ".join(map(str, content)) if isinstance(content, dict) else repr(content)
        raise InputError(f"{path}: the sections must be {', '.join(SECTIONS)}; found {found}")
    return content


def _reject_old_keys(path: Path, content: dict[str, object]) -> None:
    """Raise InputError for a parameter of version 1.0 in any section, so that the first stage reports it."""
    messages = {old: f"is now {new}" for old, new in RENAMED.items()}
    messages |= {old: f"was removed; {action}" for old, action in REMOVED.items()}
    for old, message in messages.items():
        name, key = old.split(".")
        if isinstance(section := content[name], dict) and key in section:
            raise InputError(f"{path}: {old} {message}")
    if isinstance(embed := content["embed"], dict) and embed.get("word_vectors", "") is None:
        raise InputError(f"{path}: embed.word_vectors has no value; no file is now the word none")


def _convert(value: object, hint: typing.Any) -> object:
    """Convert `value` to the type `hint`. Raise ValueError with the allowed values if that is impossible."""
    if typing.get_origin(hint) is typing.Annotated:
        plain_type, constraint = typing.get_args(hint)
        allowed = f"{TYPE_DESCRIPTIONS[plain_type]} {constraint}"
        try:
            converted = _convert(value, plain_type)
        except ValueError:
            raise ValueError(allowed) from None
        if converted not in constraint:
            raise ValueError(allowed)
        return converted
    if hint is float:
        value = _to_float(value)
    if type(value) is not hint:
        raise ValueError(TYPE_DESCRIPTIONS[hint])
    return value


def _to_float(value: object) -> float | None:
    """Convert a number, or a string that holds one: DVC writes 0.00001 as 1e-05, which YAML 1.1 reads as a string."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None
