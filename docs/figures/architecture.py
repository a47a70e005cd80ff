"""Draw docs/images/architecture.svg, the data flow of both networks: `python docs/figures/architecture.py`.

The sizes in the figure are those of params.yaml.
"""

import argparse
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
WIDTH, HEIGHT, LINE_HEIGHT = 1000, 800, 17
SHARED, MLP, CNN, PLAIN = "#fff3d6", "#d9e8fb", "#dcf2dc", "#f4f4f4"
STYLE = (
    "text{font:13px sans-serif;fill:#222}.bold{font-weight:bold}rect{stroke:#555}line{stroke:#555;marker-end:url(#tip)}"
)
ARROW_HEAD = (
    '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path d="M0 0L8 4L0 8z" fill="#555"/></marker>'
)


@dataclass(frozen=True)
class Box:
    """A rectangle with centred lines of text, the first in bold."""

    x: int
    y: int
    width: int
    lines: tuple[str, ...]
    colour: str

    @property
    def height(self) -> int:
        """The height that the lines need."""
        return 14 + LINE_HEIGHT * len(self.lines)

    @property
    def middle(self) -> int:
        """The horizontal centre."""
        return self.x + self.width // 2

    def svg(self) -> str:
        """The elements of the box."""
        size = f'x="{self.x}" y="{self.y}" width="{self.width}" height="{self.height}" rx="5"'
        texts = [_text(self.middle, self.y + 20, self.lines[0], "bold")]
        texts += [
            _text(self.middle, self.y + 20 + LINE_HEIGHT * number, line)
            for number, line in enumerate(self.lines[1:], start=1)
        ]
        return "\n".join([f'<rect {size} fill="{self.colour}"/>', *texts])


def _text(x: int, y: int, text: str, name: str = "", anchor: str = "middle") -> str:
    kind = f' class="{name}"' if name else ""
    return f'<text{kind} x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'


def _arrow(upper: Box, lower: Box, shift: int = 0) -> str:
    """An arrow from the bottom of one box to the top of another; `shift` moves its end sideways."""
    start, end = upper.y + upper.height, lower.y - 2
    return f'<line x1="{upper.middle}" y1="{start}" x2="{lower.middle + shift}" y2="{end}"/>'


def word_vector_boxes(params: dict[str, Any]) -> list[Box]:
    """The boxes from a title to the vectors of its words."""
    embed, members = params["embed"], params["model"]["ensemble_size"]
    lengths = f"{embed['subword_min_n']} to {embed['subword_max_n']}"
    title = Box(330, 16, 340, ("Title", "“Funda Silicona Galaxy” → funda · silicona · galaxy"), PLAIN)
    own = Box(150, 96, 320, ("Vector of the word", f"up to {embed['vocabulary_size']:,} frequent words"), SHARED)
    ngrams = (
        f"Vectors of its character n-grams, n = {lengths}",
        f"<f  fu  un … nda>, hashed to {embed['subword_buckets']:,} rows",
        "sum ÷ √(number of n-grams)",
    )
    subwords = Box(530, 96, 340, ngrams, SHARED)
    size = embed["dimension"]
    vector = (
        "Word vector = batch norm(word + n-grams)",
        f"{size} numbers: {size // members} for each of {members} ensemble members",
        "each network trains vectors of its own",
    )
    return [title, own, subwords, Box(300, 216, 400, vector, SHARED)]


def network_boxes(params: dict[str, Any]) -> list[Box]:
    """The boxes of the MLP, then those of the CNN."""
    mlp, cnn, embed = params["mlp"], params["cnn"], params["embed"]
    activation, kernels = params["model"]["activation"], f"{cnn['min_kernel_size']} to {cnn['max_kernel_size']}"
    bigrams = Box(30, 306, 250, ("Vectors of word pairs", f"up to {embed['bigrams']:,} frequent bigrams"), MLP)
    total = Box(30, 392, 250, ("Sum of words and pairs", "÷ (number of words)^0.75"), MLP)
    hidden = (f"Hidden layers: {mlp['hidden_layers']}", f"{mlp['hidden_units']} units, {activation}, dropout")
    filters = (f"{mlp['filters']} filters over single words", activation, "maximum + mean over the words")
    convolution = (
        f"{cnn['filters']} filters each over {kernels} words",
        activation,
        "maximum + mean over the positions",
    )
    return [
        bigrams,
        total,
        Box(30, 478, 250, hidden, MLP),
        Box(310, 392, 250, filters, MLP),
        Box(665, 392, 290, convolution, CNN),
    ]


def output_boxes(params: dict[str, Any]) -> list[Box]:
    """The boxes from the output layers to the category."""
    members, objective = params["model"]["ensemble_size"], params["train"]["objective"]
    output = (
        "Output layer, softmax",
        f"mean over the {members} ensemble members",
        "calibration: temperature, class prior",
    )
    mean = Box(370, 670, 260, ("Mean of MLP and CNN", "the scores: calibrated probabilities"), PLAIN)
    decision = ("Decision", f"weights for {objective.replace('_', ' ')}, then the maximum")
    return [
        Box(170, 562, 290, output, MLP),
        Box(665, 562, 290, output, CNN),
        mean,
        Box(340, 742, 320, decision, PLAIN),
    ]


def draw(params: dict[str, Any]) -> str:
    """The figure as SVG."""
    title, own, subwords, vector = word_vector_boxes(params)
    bigrams, total, hidden, filters, convolution = network_boxes(params)
    mlp, cnn, mean, decision = output_boxes(params)
    arrows = [(title, own, 0), (title, subwords, 0), (own, vector, -80), (subwords, vector, 80)]
    arrows += [(vector, total, 90), (vector, filters, 0), (vector, convolution, 0), (bigrams, total, 0)]
    arrows += [(total, hidden, 0), (hidden, mlp, -70), (filters, mlp, 70), (convolution, cnn, 0)]
    arrows += [(mlp, mean, -60), (cnn, mean, 60), (mean, decision, 0)]
    boxes = [title, own, subwords, vector, bigrams, total, hidden, filters, convolution, mlp, cnn, mean, decision]
    labels = [_text(30, 296, "MLP", "bold", "start"), _text(955, 382, "CNN", "bold", "end")]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
    body = [_arrow(upper, lower, shift) for upper, lower, shift in arrows] + [box.svg() for box in boxes] + labels
    background = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white" style="stroke:none"/>'
    return "\n".join([head, f"<style>{STYLE}</style>", ARROW_HEAD, background, *body, "</svg>"]) + "\n"


def main() -> None:
    """Write the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, nargs="?", default=ROOT / "docs/images/architecture.svg")
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    parser.parse_args().output.write_text(draw(params), encoding="utf-8")


if __name__ == "__main__":
    main()
