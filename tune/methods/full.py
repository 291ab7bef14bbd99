"""Full training: every parameter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tune.methods.method import Method


def prepare(model: Any, config: Any) -> Any:
    return model.requires_grad_(True)


def save(model: Any, folder: Path) -> None:
    model.save_pretrained(folder)


def load(model: Any, folder: Path) -> Any:
    """The trained model; `model`, its base, gives type and device only."""
    return type(model).from_pretrained(folder, dtype=model.dtype, local_files_only=True).to(model.device)


METHOD = Method(
    name="full",
    summary="every parameter",
    keys=(),
    lr=2e-5,
    weight_decay=0.01,
    folder="model",
    prepare=prepare,
    save=save,
    load=load,
)
