"""The code that MLflow runs to load and call a network; no object is unpickled."""

from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class TitlesModel(PythonModel):
    """An MLflow model: from a table with the column `title` to a table of title, category, score and reason.

    The parameter `top` is the number of rows per title. `objective` is balanced_accuracy or accuracy, by default the
    objective of the training.
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Load the model folder. Import torch only here, as MLflow runs this file to save a model too."""
        from titles.inference.classifier import Classifier

        self.classifier = Classifier.load(context.artifacts["folder"])

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow requires this name
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Predict the best categories of each title."""
        options = dict(params or {})
        classifier = self.classifier.for_objective(options.pop("objective", None))
        table = classifier.predict(model_input["title"].tolist(), **options)
        # MLflow's server writes None as null, but NaN as NaN, which is not valid JSON.
        missing = dict.fromkeys(table.columns[table.isna().any()], object)
        return table.astype(missing).where(table.notna(), None)


set_model(TitlesModel())
