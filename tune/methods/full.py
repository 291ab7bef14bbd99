"""Full training: every parameter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tune.methods.method import Method


def prepare(model: Any, config: Any, tokenizer: Any = None) -> Any:
    return model.requires_grad_(True)


def save(model: Any, folder: Path) -> None:
    model.save_pretrained(folder)


def load(model: Any, folder: Path) -> Any:
    """The trained model; `model`, its base, gives type and device only."""
    return type(model).from_pretrained(folder, dtype=model.dtype, local_files_only=True).to(model.device)


METHOD = Method(
    name="full",
    kind="full",
    summary="every parameter",
    when="the best figures, where memory allows and a model of its own for each task is no burden",
    keys=(),
    lr=2e-5,
    weight_decay=0.01,
    source="usual for full fine-tuning; 2e-5 and 5e-5 compared on Gemma 3 270M",
    tiny_lr=2e-3,
    folder="model",
    saved="the whole model, for transformers",
    marker="config.json",
    prepare=prepare,
    save=save,
    load=load,
)
