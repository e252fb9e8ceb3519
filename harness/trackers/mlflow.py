"""MLflow: a run in EXPERIMENT, in the store that MLFLOW_TRACKING_URI names; by default MLflow's own local one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PACKAGE = "mlflow"
RUN_VARIABLE = "MLFLOW_RUN_ID"
EXPERIMENT = "skilldelta"
TAG = "skilldelta.run"  # finds the run of an earlier command again


def start(run: str, where: str, folder: Path) -> MlflowRun:
    return MlflowRun(run, where or os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT)


class MlflowRun:
    """A run of MLflow, which later commands continue."""

    def __init__(self, run: str, experiment: str) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow.tracking import MlflowClient

        self.client: Any = MlflowClient()
        self.id = os.environ.get(RUN_VARIABLE) or self.find_run(run, experiment)
        self.is_own = not os.environ.get(RUN_VARIABLE)
        self.place = f"experiment {experiment}, run {self.id}, {self.client.tracking_uri}"

    def find_run(self, run: str, experiment: str) -> str:
        """The run with our tag in the experiment; both are made where they are not there."""
        known_experiment = self.client.get_experiment_by_name(experiment)
        number = known_experiment.experiment_id if known_experiment else self.client.create_experiment(experiment)
        label = run.replace("'", "_")
        runs = self.client.search_runs([number], filter_string=f"tags.`{TAG}` = '{label}'", max_results=1)
        if runs:
            return str(runs[0].info.run_id)
        return str(self.client.create_run(number, run_name=run, tags={TAG: label}).info.run_id)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for key, value in values.items():
            self.client.log_metric(self.id, key, value, step=step)

    def close(self) -> None:
        if self.is_own:  # a run that the user named is the trainer's, who ends it
            self.client.set_terminated(self.id)
