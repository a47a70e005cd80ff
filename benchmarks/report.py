"""Output of the benchmarks: progress lines, Markdown tables, charts."""

import sys
from pathlib import Path

import pandas as pd


def markdown(table: pd.DataFrame, formats: dict[str, str]) -> str:
    """Format a table as Markdown; numbers have the format of their column, or four decimals."""
    lines = [table.columns.tolist(), ["---"] * table.shape[1]]
    for row in table.itertuples(index=False):
        cells = zip(table.columns, row, strict=True)
        lines.append(
            [cell if isinstance(cell, str) else format(cell, formats.get(name, ".4f")) for name, cell in cells]
        )
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def log_progress(line: str) -> None:
    """Print a line to stderr at once."""
    print(line, file=sys.stderr, flush=True)


def draw(chart: dict[str, object], picture: Path) -> None:
    """Render a Vega-Lite chart as SVG."""
    import vl_convert

    picture.write_text(vl_convert.vegalite_to_svg(chart), encoding="utf-8")
