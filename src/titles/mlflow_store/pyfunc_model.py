"""What MLflow runs to load and use a network: code, where others would unpickle an object."""

from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class TitlesModel(PythonModel):
    """Takes a table with the column `title`; gives `top` rows a title of title, category, score and reason.

    The parameter `objective` is balanced_accuracy or accuracy; without it what the network was trained for.
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Imports torch here, as saving a model runs this file too."""
        from titles.inference.classifier import Classifier

        self.classifier = Classifier.load(context.artifacts["folder"])

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow goes by the name
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """The best categories of each title."""
        asked = dict(params or {})
        classifier = self.classifier.for_objective(asked.pop("objective", None))
        table = classifier.predict(model_input["title"].tolist(), **asked)
        # The server writes None as null, and NaN as NaN, which is no JSON.
        missing = dict.fromkeys(table.columns[table.isna().any()], object)
        return table.astype(missing).where(table.notna(), None)


set_model(TitlesModel())
