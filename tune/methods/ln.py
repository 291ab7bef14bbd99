"""LayerNorm tuning (Zhao et al. 2023, arXiv:2312.11420): the norms' weights, and their biases where they have any."""

from __future__ import annotations

from typing import Any

from tune.methods.method import Method, load_adapter, quietly, save_adapter, unfit


def prepare(model: Any, config: Any, tokenizer: Any = None) -> Any:
    from peft import LNTuningConfig, get_peft_model

    modules = model.named_modules()
    norms = {name.rpartition(".")[2] for name, module in modules if type(module).__name__.endswith("Norm")}
    if not any(parameter.ndim == 1 for name, parameter in model.named_parameters() if name.split(".")[-2] in norms):
        raise unfit("ln", model, "its norms have no weights", "method ia3")
    with quietly():
        return get_peft_model(model, LNTuningConfig(task_type="CAUSAL_LM", target_modules=sorted(norms)))


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
