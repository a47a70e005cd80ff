"""Convert the titles of a Python caller to an Arrow array, and their predictions to a DataFrame."""

import operator
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from titles.inference.top_k import TopK, prediction_columns

SEQUENCE_TYPES = Sequence, np.ndarray, pd.Series, pd.Index, pd.api.extensions.ExtensionArray
ACCEPTED_TYPES_HINT = "pass a list, a Series, or an array of text"

# Sequences of text, in which None, NaN and NA are missing titles.
Titles: TypeAlias = "Sequence[str | None] | NDArray[Any] | pd.Series[Any] | pd.Index[Any] | pa.Array | pa.ChunkedArray"


def title_array(titles: Titles) -> pa.StringArray:
    """Convert titles to an Arrow array. Missing titles become null, lone surrogates become `?`.

    Raises TypeError if the argument is not a sequence of text, and ValueError if it has several dimensions.
    """
    if isinstance(titles, pa.Array | pa.ChunkedArray):
        return _from_arrow(titles)
    if isinstance(titles, str | bytes):
        raise TypeError(f"titles are a list of texts, not one: [{titles!r}]")
    if isinstance(titles, pd.DataFrame | pa.Table | pa.RecordBatch):
        raise TypeError(f"titles are a {type(titles).__name__}; pass its column of titles, such as table['title']")
    if not isinstance(titles, SEQUENCE_TYPES):
        raise TypeError(f"titles are of type {type(titles).__name__}; {ACCEPTED_TYPES_HINT}")
    if isinstance(titles, np.ndarray) and titles.ndim != 1:
        raise ValueError(f"titles are an array of {titles.ndim} dimensions; pass one of 1 dimension")
    return pa.array([_to_text(index, title) for index, title in enumerate(titles)], pa.string())


def _from_arrow(titles: pa.Array | pa.ChunkedArray) -> pa.StringArray:
    value_type = titles.type.value_type if pa.types.is_dictionary(titles.type) else titles.type
    text_checks = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
    if not any(check(value_type) for check in text_checks):
        raise TypeError(f"titles are an Arrow array of {titles.type}; pass one of text")
    chunks = titles.chunks if isinstance(titles, pa.ChunkedArray) else [titles]
    # Decoded before the cast, because the dictionary itself may contain null.
    decoded = [pc.dictionary_decode(chunk) if pa.types.is_dictionary(chunk.type) else chunk for chunk in chunks]
    return pa.concat_arrays([pa.array([], pa.string()), *(chunk.cast(pa.string()) for chunk in decoded)])


def _to_text(index: int, title: object) -> str | None:
    if isinstance(title, str):
        return title.encode(errors="replace").decode()
    if (
        title is None
        or title is pd.NA
        or title is pd.NaT
        or (isinstance(title, float | np.floating) and np.isnan(title))
    ):
        return None
    raise TypeError(f"title {index} is {title!r}, of type {type(title).__name__}; a title is text, or None")


def predictions_dataframe(
    titles: Titles, texts: pa.StringArray, categories: NDArray[np.str_], top_k: TopK
) -> pd.DataFrame:
    """Build a DataFrame of title, category, score and reason, with the rows of `prediction_columns`.

    `texts` is the result of `title_array(titles)`. If the titles are a Series, the rows have its index.
    """
    indices, columns = prediction_columns(texts, categories, top_k)
    table: pd.DataFrame = pa.table({"title": texts.take(pa.array(indices))} | columns).to_pandas()
    return table.set_index(titles.index[indices]) if isinstance(titles, pd.Series) else table


def check_top(top: int) -> int:
    """Return the number of categories per title. Raises TypeError if it is no integer, ValueError if it is below 1."""
    try:
        number = operator.index(top)
    except TypeError:
        number = None
    if number is None or isinstance(top, bool):
        raise TypeError(f"top is {top!r}, of type {type(top).__name__}; it must be an integer")
    if number < 1:
        raise ValueError(f"top is {number}; a title gets 1 category or more")
    return number
