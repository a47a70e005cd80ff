"""Classify short product titles into thousands of categories.

Classifier                   a trained model in use: `Classifier.load("models").predict(["Funda Galaxy J7"], top=3)`
titles.onnx.classifier       the same from an ONNX file, without torch
titles.training.fit          train a network from the arrays of data/embedded
titles predict, submit, serve, export   the commands, see `titles --help`
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
