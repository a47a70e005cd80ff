"""Classify short product titles into thousands of categories.

Entry points:

Classifier                predict with a trained model: `Classifier.load("models").predict(["Funda Galaxy J7"], top=3)`
titles.onnx.classifier    predict with an ONNX file, without torch
titles.training.fit.fit   train a network on the arrays of data/embedded
titles predict, submit, export, serve
                          the shell commands, see `titles --help`
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from titles.inference.classifier import Classifier

__all__ = ["Classifier", "__version__"]
__version__ = "1.0.0"


def __getattr__(name: str) -> Any:
    # Loaded on first use, so that `import titles` does not load torch.
    if name == "Classifier":
        from titles.inference.classifier import Classifier

        return Classifier
    raise AttributeError(f"module 'titles' has no attribute {name!r}")


def __dir__() -> list[str]:
    # `help(titles)` and completion list only what is here.
    return sorted({*globals(), *__all__})
