"""Recipes, templates and samples travel inside the wheel as `curate/_recipes`.

Only for a standard build: an editable install reads `recipes/` beside the package, where a copy would go stale.
"""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class RecipesHook(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "standard":
            build_data["force_include"]["recipes"] = "curate/_recipes"
