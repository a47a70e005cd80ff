"""Notes, which MLflow shows as the description of a run: the command, and what differs from the commit."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from titles.mlflow_store.credentials import redact
from titles.mlflow_store.values import flatten

CODE_PATHS = ["dvc.yaml", "stages", "src"]


def pipeline_note(pipeline: Mapping[str, Any], params: object) -> str:
    """Return a note with the command, and the parameters and code files that differ from the commit."""
    baseline = pipeline["tags"].get("dvc.baseline", "")
    files = _git("diff", "--name-only", baseline, "--", *CODE_PATHS).splitlines() if baseline else []
    code = _markdown_list("Code that differs from the commit:", files)
    return (
        f"`{redact(pipeline['command'])}` on commit {baseline[:7] or 'unknown'}" + params_note(baseline, params) + code
    )


def params_note(commit: str, params: object) -> str:
    """List the parameters that differ from the commit; an empty string if none does, or the commit has none."""
    before = dict(flatten(_parse_yaml(_git("show", f"{commit}:params.yaml"))))
    after = dict(flatten(params))
    if not before or not after:
        return ""
    keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    changes = [f"{key}: `{before.get(key)}` → `{after.get(key)}`" for key in keys]
    return _markdown_list("Parameters that differ from the commit:", changes)


def _markdown_list(title: str, lines: list[str]) -> str:
    return "\n\n" + "\n- ".join([f"{title}\n", *lines]) if lines else ""


def stage_note(stage: str) -> str:
    """Return the description and the command of a stage in dvc.yaml, or an empty string if it has none."""
    try:
        definition = _parse_yaml(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"][stage]
        return f"{definition['desc']}: `{definition['cmd']}`"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _parse_yaml(text: str) -> Any:
    try:
        return YAML(typ="safe").load(text)
    except YAMLError:
        return None


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, encoding="utf-8", errors="replace", check=False)
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""
