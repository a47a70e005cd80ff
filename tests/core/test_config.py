from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titles.core.config import SECTIONS, load_params
from titles.core.constraints import Interval, OneOf
from titles.core.errors import InputError
from titles.nn.hparams import ACTIVATIONS, CnnParams, MlpParams, ModelParams
from titles.preprocessing.encode import NO_WORD_VECTORS, EmbedParams

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Switches:
    rate: Annotated[float, Interval("(0, 1]")]
    rounds: int
    loud: bool
    file: str


MODEL = {"activation": "relu", "embeddings": "trained", "dropout": "0.5", "word_dropout": "0", "ensemble_size": 4}
MLP = {"hidden_layers": "1", "hidden_units": "64", "filters": "4"}
EMBED = {"dimension": "8", "vocabulary_size": "9", "subword_buckets": "97", "bigrams": "5", "word_vectors": "none"}
SWITCHES = {"rate": "0.5", "rounds": "3", "loud": "true", "file": "words.vec"}


def write_params(folder: Path, name: str, values: dict[str, object] | str) -> Path:
    """Write a params.yaml whose section `name` holds `values` as YAML and whose other sections are empty."""
    if isinstance(values, dict):
        values = "{" + ", ".join(f"{key}: {value}" for key, value in values.items()) + "}"
    path = folder / "params.yaml"
    path.write_text("".join(f"{section}: {values if section == name else '{}'}\n" for section in SECTIONS))
    return path


def load_section(path: Path, name: str, section: type) -> object:
    return load_params(path, {name: section})[name]


def error_message(path: Path, name: str, section: type) -> str:
    with pytest.raises(InputError) as error:
        load_section(path, name, section)
    return str(error.value).removeprefix(f"{path}: ")


def test_a_section_becomes_its_dataclass(tmp_path: Path):
    path = write_params(tmp_path, "model", MODEL)
    assert load_section(path, "model", ModelParams) == ModelParams("relu", "trained", 0.5, 0.0, 4)


def test_only_the_requested_sections_are_checked(tmp_path: Path):
    path = write_params(tmp_path, "mlp", MLP)
    assert load_params(path, {"mlp": MlpParams}) == {"mlp": MlpParams(1, 64, 4)}


def test_several_sections_are_loaded_at_once(tmp_path: Path):
    path = write_params(tmp_path, "mlp", MLP)
    path.write_text(path.read_text().replace("cnn: {}", "cnn: {filters: 8, min_kernel_size: 2, max_kernel_size: 2}"))
    expected = {"cnn": CnnParams(8, 2, 2), "mlp": MlpParams(1, 64, 4)}
    assert load_params(path, {"cnn": CnnParams, "mlp": MlpParams}) == expected


@dataclass(frozen=True)
class Nested:
    rounds: int
    names: Switches


def test_sections_may_be_nested(tmp_path: Path):
    names = "{rate: 1, rounds: 3, loud: true, file: words.vec}"
    path = write_params(tmp_path, "train", {"rounds": "2", "names": names})
    assert load_section(path, "train", Nested) == Nested(2, Switches(1.0, 3, True, "words.vec"))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("{rate: 1, rounds: 2, loud: true}", "train.names.file is missing"),
        ("{rate: 1, rounds: x, loud: true, file: a}", "train.names.rounds is 'x'; allowed: a whole number"),
        ("{rat: 1}", "train.names.rat is not a parameter; train.names has rate, rounds, loud, file"),
        ("title", "train.names is 'title'; it must hold rate, rounds, loud, file"),
    ],
)
def test_an_error_in_a_nested_section_names_its_full_key(tmp_path: Path, names: str, message: str):
    assert error_message(write_params(tmp_path, "train", {"rounds": "2", "names": names}), "train", Nested) == message


@pytest.mark.parametrize(
    ("value", "expected"), [("1e-05", 1e-5), ("1E-5", 1e-5), ("1.0e-05", 1e-5), ("1", 1.0), ("'0.25'", 0.25)]
)
def test_numbers_may_have_the_notation_of_dvc(tmp_path: Path, value: str, expected: float):
    rate = load_section(write_params(tmp_path, "train", SWITCHES | {"rate": value}), "train", Switches).rate
    assert (rate, type(rate)) == (expected, float)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("rate", "true", "train.rate is True; allowed: a number in (0, 1]"),
        ("rate", "fast", "train.rate is 'fast'; allowed: a number in (0, 1]"),
        ("rate", "null", "train.rate is None; allowed: a number in (0, 1]"),
        ("rate", "[0.1]", "train.rate is [0.1]; allowed: a number in (0, 1]"),
        ("rate", "0", "train.rate is 0; allowed: a number in (0, 1]"),
        ("rate", ".nan", "train.rate is nan; allowed: a number in (0, 1]"),
        ("rate", ".inf", "train.rate is inf; allowed: a number in (0, 1]"),
        ("rounds", "false", "train.rounds is False; allowed: a whole number"),
        ("rounds", "2.0", "train.rounds is 2.0; allowed: a whole number"),
        ("rounds", "'2'", "train.rounds is '2'; allowed: a whole number"),
        ("loud", "1", "train.loud is 1; allowed: true or false"),
        ("loud", "'true'", "train.loud is 'true'; allowed: true or false"),
        ("file", "5", "train.file is 5; allowed: a word"),
        ("file", "null", "train.file is None; allowed: a word"),
        ("file", "[words.vec]", "train.file is ['words.vec']; allowed: a word"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(tmp_path: Path, key: str, value: str, message: str):
    assert error_message(write_params(tmp_path, "train", SWITCHES | {key: value}), "train", Switches) == message


@pytest.mark.parametrize(
    ("value", "found"), [("banana", "'banana'"), ("ReLU", "'ReLU'"), ("null", "None"), ("[relu]", "['relu']")]
)
def test_an_invalid_activation_is_refused_with_the_allowed_ones(tmp_path: Path, value: str, found: str):
    message = error_message(write_params(tmp_path, "model", MODEL | {"activation": value}), "model", ModelParams)
    assert message == f"model.activation is {found}; allowed: a word out of {', '.join(ACTIVATIONS)}"


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_is_accepted(tmp_path: Path, name: str):
    path = write_params(tmp_path, "model", MODEL | {"activation": name})
    assert load_section(path, "model", ModelParams).activation == name


@pytest.mark.parametrize(
    ("old", "message"),
    [
        ("embed.subword_lengths: [2, 3]", "embed.subword_lengths is now embed.subword_min_n and embed.subword_max_n, "),
        ("mlp.hidden: [256]", "mlp.hidden is now mlp.hidden_layers and mlp.hidden_units, "),
        ("cnn.widths: [1, 2]", "cnn.widths is now cnn.min_kernel_size and cnn.max_kernel_size, "),
        ("train.class_balance: true", "train.class_balance was removed; delete it, and see train.objective"),
        ("embed.word_vectors: null", "embed.word_vectors has no value; no file is now the word none"),
    ],
)
def test_a_parameter_of_an_earlier_version_is_refused_with_what_to_do(tmp_path: Path, old: str, message: str):
    name, _, value = old.partition(".")
    path = write_params(tmp_path, name, f"{{{value}}}")
    with pytest.raises(InputError) as error:
        load_params(path, {})
    assert str(error.value).startswith(f"{path}: {message}")


@pytest.mark.parametrize(("smallest", "largest"), [(1, 1), (1, 3), (4, 16)])
def test_there_are_filters_of_every_kernel_size_from_the_smallest_to_the_largest(
    tmp_path: Path, smallest: int, largest: int
):
    values = {"filters": "8", "min_kernel_size": str(smallest), "max_kernel_size": str(largest)}
    cnn = load_section(write_params(tmp_path, "cnn", values), "cnn", CnnParams)
    assert cnn.kernel_sizes == tuple(range(smallest, largest + 1))


def test_kernel_sizes_in_the_wrong_order_are_refused(tmp_path: Path):
    path = write_params(tmp_path, "cnn", {"filters": "8", "min_kernel_size": "3", "max_kernel_size": "2"})
    assert error_message(path, "cnn", CnnParams) == "cnn.max_kernel_size is 2, less than min_kernel_size, 3"


@pytest.mark.parametrize(
    ("shortest", "longest", "lengths"), [(2, 5, [2, 3, 4, 5]), (3, 3, [3]), (2, 0, []), (8, 0, [])]
)
def test_subwords_have_every_length_from_the_shortest_to_the_longest_and_with_0_there_are_none(
    tmp_path: Path, shortest: int, longest: int, lengths: list[int]
):
    path = write_params(tmp_path, "embed", EMBED | {"subword_min_n": shortest, "subword_max_n": longest})
    assert list(load_section(path, "embed", EmbedParams).subword_lengths) == lengths


@pytest.mark.parametrize("longest", [1, 3])
def test_subwords_in_the_wrong_order_are_refused(tmp_path: Path, longest: int):
    path = write_params(tmp_path, "embed", EMBED | {"subword_min_n": 4, "subword_max_n": longest})
    assert error_message(path, "embed", EmbedParams) == f"embed.subword_max_n is {longest}, less than subword_min_n, 4"


def test_the_defaults_are_those_of_the_published_networks():
    params = load_params(ROOT / "params.yaml", {"embed": EmbedParams, "mlp": MlpParams, "cnn": CnnParams})
    assert list(params["embed"].subword_lengths) == [2, 3, 4, 5]
    assert params["embed"].word_vectors == NO_WORD_VECTORS
    assert params["mlp"] == MlpParams(hidden_layers=1, hidden_units=256, filters=64)
    assert (params["cnn"].filters, params["cnn"].kernel_sizes) == (64, (1, 2, 3))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (MODEL | {"activaton": "relu"}, "model.activaton is not a parameter; model has activation, embeddings, "),
        ({"activation": "relu"}, "model.dropout is missing"),
        ("", "model is None; it must hold activation, embeddings, dropout, word_dropout, ensemble_size"),
        ("relu", "model is 'relu'; it must hold activation, embeddings, dropout, word_dropout, ensemble_size"),
    ],
)
def test_keys_must_be_those_of_the_section(tmp_path: Path, values: dict[str, str] | str, message: str):
    assert error_message(write_params(tmp_path, "model", values), "model", ModelParams).startswith(message)


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("cnn: {}\n", "", "data, prepare, reduce, embed, model, mlp, train"),
        ("cnn:", "rnn:", "data, prepare, reduce, embed, model, mlp, rnn, train"),
        ("train:", "extra: {}\ntrain:", "data, prepare, reduce, embed, model, mlp, cnn, extra, train"),
    ],
)
def test_sections_must_be_those_of_the_pipeline(tmp_path: Path, old: str, new: str, found: str):
    path = write_params(tmp_path, "model", MODEL)
    path.write_text(path.read_text().replace(old, new))
    message = error_message(path, "model", ModelParams)
    assert message == f"the sections must be {', '.join(SECTIONS)}; found {found}"


@pytest.mark.parametrize(("content", "found"), [("", "None"), ("- model\n", "['model']"), ("model", "'model'")])
def test_a_file_without_sections_is_refused(tmp_path: Path, content: str, found: str):
    path = tmp_path / "params.yaml"
    path.write_text(content)
    assert error_message(path, "model", ModelParams).endswith(f"; found {found}")


@pytest.mark.parametrize("content", ["model: {activation: relu", "model:\n\tactivation: relu\n", "model: @\n"])
def test_a_file_that_is_not_yaml_is_refused(tmp_path: Path, content: str):
    path = tmp_path / "params.yaml"
    path.write_text(content)
    with pytest.raises(InputError, match=r"params\.yaml is not valid YAML: "):
        load_section(path, "model", ModelParams)


def test_a_missing_file_is_refused_with_what_to_do(tmp_path: Path):
    with pytest.raises(InputError, match=r"params\.yaml is not here; run from the root of the repository"):
        load_section(tmp_path / "params.yaml", "model", ModelParams)


@given(
    low=st.integers(-3, 0),
    high=st.integers(1, 3) | st.just(float("inf")),
    number=st.integers(-4, 4) | st.floats(),
    opening=st.sampled_from("(["),
    closing=st.sampled_from(")]"),
)
def test_an_interval_contains_the_numbers_of_its_notation(
    low: int, high: float, number: float, opening: str, closing: str
):
    above = number >= low if opening == "[" else number > low
    below = number <= high if closing == "]" else number < high
    assert (number in Interval(f"{opening}{low}, {high}{closing}")) == (above and below)


def test_one_of_contains_exactly_the_names_of_its_table():
    names = OneOf({"relu": "ReLU", "tanh": "Tanh"})
    assert [name for name in ("relu", "tanh", "ReLU", "", "rel") if name in names] == ["relu", "tanh"]
    assert str(names) == "out of relu, tanh"
