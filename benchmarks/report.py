"""What a benchmark says: how far it is, its table, its picture."""

import sys
from pathlib import Path

import pandas as pd


def markdown(table: pd.DataFrame, formats: dict[str, str]) -> str:
    """The table with every number in the format of its column, or with four decimals."""
    lines = [table.columns.tolist(), ["---"] * table.shape[1]]
    for row in table.itertuples(index=False):
        cells = zip(table.columns, row, strict=True)
        lines.append(
            [cell if isinstance(cell, str) else format(cell, formats.get(name, ".4f")) for name, cell in cells]
        )
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def say(line: str) -> None:
    """How far it is."""
    print(line, file=sys.stderr, flush=True)


def draw(chart: dict[str, object], picture: Path) -> None:
    """A chart in Vega-Lite as SVG."""
    import vl_convert

    picture.write_text(vl_convert.vegalite_to_svg(chart), encoding="utf-8")
