"""(IA)³ (Liu et al. 2022, arXiv:2205.05638): learnt factors on keys, values and the feed-forward network's inside."""

from __future__ import annotations

from typing import Any

import torch

from tune.methods.method import Method, load_adapter, save_adapter, task_of, unfit

#: As in the paper; PEFT's own choice differs from family to family. Of a decoder names, of an encoder a pattern, for
#: what is called output.dense there stands behind the attention too.
KEYS_AND_VALUES, FEED_FORWARD = ["k_proj", "v_proj"], ["down_proj"]
ENCODERS, ENCODERS_FEED_FORWARD = (
    r".*layer\.\d+\.(attention\.self\.(key|value)|output\.dense)",
    r".*layer\.\d+\.output\.dense",
)


def prepare(model: Any, config: Any, tokenizer: Any = None) -> Any:
    from peft import IA3Config, get_peft_model

    modules: dict[str, Any] = {"target_modules": ENCODERS, "feedforward_modules": ENCODERS_FEED_FORWARD}
    linears = {name.rpartition(".")[2] for name, m in model.named_modules() if isinstance(m, torch.nn.Linear)}
    if not {"query", "key", "value"} <= linears:
        if missing := sorted({*KEYS_AND_VALUES, *FEED_FORWARD} - linears):
            raise unfit("ia3", model, f"it has no linear layer {', '.join(missing)} of its own", "method lora")
        modules = {"target_modules": [*KEYS_AND_VALUES, *FEED_FORWARD], "feedforward_modules": FEED_FORWARD}
    settings = IA3Config(**modules, **task_of(model))
    # The factors begin at 1, and bf16 knows nothing between 1 and 1.008: PEFT makes them fp32.
    return get_peft_model(model, settings)


METHOD = Method(
    name="ia3",
    kind="ia3",
    summary="learnt factors on keys, values and the feed-forward network's inside ((IA)³)",
    when="very few parameters and no cost at inference once merged; few examples",
    keys=(),
    lr=3e-3,
    weight_decay=0.0,
    source="the paper (T-Few, there with Adafactor)",
    tiny_lr=1e-1,
    folder="adapter",
    saved="the factors, for PEFT",
    marker="adapter_config.json",
    prepare=prepare,
    save=save_adapter,
    load=load_adapter,
)
