"""What is trained: one file a method (or a family), one line here.

A method turns a base model into one with trainable parameters (`requires_grad`), and saves what it trained so that
plain PEFT, or plain transformers, loads it.
"""

from __future__ import annotations

from typing import Any

from tune.methods import adapter, freeze, full, ia3, ln, lora, p_tuning, prefix, prompt
from tune.methods.method import Method

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        *lora.FAMILY,
        full.METHOD,
        freeze.METHOD,
        prefix.METHOD,
        prefix.DEEP_PROMPTS,
        prompt.METHOD,
        p_tuning.METHOD,
        adapter.METHOD,
        ia3.METHOD,
        ln.METHOD,
    )
}


def bare_model(model_config: Any, head: dict[str, Any] | None = None) -> Any:
    """The causal language model of a transformers config, or with the settings of a `head` the classifier, without
    weights (on the device "meta")."""
    import copy

    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    maker = AutoModelForCausalLM if head is None else AutoModelForSequenceClassification
    model_config = copy.deepcopy(model_config)
    for key, value in (head or {}).items():
        setattr(model_config, key, value)
    with torch.device("meta"):
        return maker.from_config(model_config)


def count_parameters(model_config: Any, config: Any) -> tuple[int, int]:
    """(parameters in all, those that train) of the settings' method on a model of this transformers config, in a
    second. Raises UserError where the method can't work with such a model.
    """
    model = METHODS[config.method].prepare(bare_model(model_config), config)
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(n for n, _ in sizes), sum(n for n, trains in sizes if trains)


__all__ = ["METHODS", "Method", "bare_model", "count_parameters"]
