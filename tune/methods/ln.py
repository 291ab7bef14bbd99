"""LayerNorm tuning (Zhao et al. 2023, arXiv:2312.11420): the norms' weights, and their biases where they have any."""

from __future__ import annotations

from typing import Any

from tune.methods.method import Method, load_adapter, quietly, save_adapter, task_of, unfit


def prepare(model: Any, config: Any, tokenizer: Any = None) -> Any:
    from peft import LNTuningConfig, get_peft_model

    modules = {name: type(module).__name__.endswith("Norm") for name, module in model.named_modules()}
    norms = {name.rpartition(".")[2] for name, is_norm in modules.items() if is_norm}
    if not any(parameter.ndim == 1 for name, parameter in model.named_parameters() if name.split(".")[-2] in norms):
        raise unfit("ln", model, "its norms have no weights", "method ia3")
    if any(name.rpartition(".")[2] in norms and not is_norm for name, is_norm in modules.items()):
        norms = {name for name, is_norm in modules.items() if is_norm}  # ModernBERT's first layer has none there
    with quietly():
        return get_peft_model(model, LNTuningConfig(target_modules=sorted(norms), **task_of(model)))


METHOD = Method(
    name="ln",
    kind="ln",
    summary="the norms' weights and biases",
    when="a baseline of very few parameters; merged it costs nothing at inference",
    keys=(),
    lr=1e-3,
    weight_decay=0.0,
    source="our choice: the paper's, for images, don't carry over",
    tiny_lr=1e-1,
    folder="adapter",
    saved="the norms, for PEFT",
    marker="adapter_config.json",
    prepare=prepare,
    save=save_adapter,
    load=load_adapter,
)
