"""Names of a cluster (nodes, model labels) as names of a scenario, and the list of those that are unknown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from og_env.scenario.json_file import read_json
from og_env.scenario.loading import ResolvedScenario

NODE_LABELS = ("node", "kubernetes_node", "exported_node", "nodename", "hostname", "instance")
MODEL_LABELS = ("model_name", "llm-d.ai/model", "model", "app.kubernetes.io/model", "served_model_name")
"""labels in which a model's name is looked for, the first that is there"""
PARTS = ("nodes", "models", "roles")


class Names:
    """Looks names up, and keeps those that it does not know."""

    def __init__(self, whole: ResolvedScenario, mapping: Mapping[str, Mapping[str, str]] | None = None) -> None:
        """`mapping` has sites by node, models by label and roles by label; a name of the scenario stands for itself."""
        self.mapping = {part: dict((mapping or {}).get(part, {})) for part in PARTS}
        self._sites = {site.name.casefold(): site.name for site in whole.sites}
        self._models = {model.name.casefold(): model.name for model in whole.models}
        self.unknown: dict[str, None] = {}
        for part, known in (("nodes", self._sites), ("models", self._models)):
            for word, name in self.mapping[part].items():
                if name.casefold() not in known:
                    raise ValueError(f"map: {part}.{word}: {name!r} is not in the scenario")

    def site(self, node: str) -> str | None:
        """Site of a node; None, and it is listed as unknown, where there is none."""
        return self._find("nodes", node.partition(":")[0] if ":" in node else node, self._sites, "node")

    def model(self, label: str) -> str | None:
        """Model of a label; None, and it is listed as unknown, where there is none."""
        return self._find("models", label, self._models, "model")

    def _find(self, part: str, word: str, known: Mapping[str, str], what: str) -> str | None:
        name = self.mapping[part].get(word, word)
        found = known.get(name.casefold())
        if found is None:
            self.unknown.setdefault(f"{what} {word[:80]}")
        return found


def read_mapping(path: Path) -> dict[str, dict[str, str]]:
    """A mapping from JSON: {"nodes": {node: site}, "models": {label: model}, "roles": {label: role}}."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise ValueError(f"{path}: must be an object with {', '.join(PARTS)}")
    for part, names in value.items():
        if part not in PARTS:
            raise ValueError(f"{path}: unknown key {part!r} (valid: {', '.join(PARTS)})")
        if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
            raise ValueError(f"{path}: {part}: must be an object of names")
    return value


def words_mapping(words: Sequence[str]) -> dict[str, dict[str, str]]:
    """A mapping from options NAME=SITE and model:LABEL=MODEL."""
    result: dict[str, dict[str, str]] = {part: {} for part in PARTS}
    for word in words:
        left, equals, right = word.partition("=")
        kind, colon, label = left.partition(":")
        part = {"node": "nodes", "model": "models", "role": "roles"}.get(kind) if colon else "nodes"
        if not (equals and left and right) or part is None:
            raise ValueError(f"--name {word}: write NODE=SITE or model:LABEL=MODEL")
        result[part][label if colon else left] = right
    return result


def label_of(labels: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """The first of some labels that is there."""
    return next((str(labels[name]) for name in names if labels.get(name)), None)
