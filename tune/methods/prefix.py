"""Prefix tuning (Li and Liang 2021, arXiv:2101.00190): learnt keys and values before every sample, in each layer.

`prefix` makes them by an MLP while it trains, which steadies it; what is saved are the keys and values alone.
`p_tuning_v2` (Liu et al. 2021, arXiv:2110.07602) learns them as they are: deep prompts.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tune.encoders import family_of
from tune.methods.method import Method, load_adapter, save_adapter, task_of, unfit
from tune.virtual import KeysAndValues, attentions, install

#: Width of the MLP, as in the paper's table-to-text experiments.
ENCODER_HIDDEN = 512


def prepare(model: Any, config: Any, tokenizer: Any = None) -> Any:
    from peft import PrefixTuningConfig, get_peft_model

    _check(model, config.method)
    projected = config.method == "prefix"
    settings = PrefixTuningConfig(
        **task_of(model),
        num_virtual_tokens=config.virtual_tokens,
        prefix_projection=projected,
        encoder_hidden_size=config.encoder_hidden or ENCODER_HIDDEN if projected else None,  # pyright: ignore
    )
    return install(get_peft_model(model, settings), KeysAndValues)


def _check(model: Any, name: str) -> None:
    """Every layer has an attention, with keys and values of one shape and of its own."""
    family = family_of(model)
    if family and not family.prefix:
        raise unfit(name, model, "its attention takes no keys and values from before", "method lora, or prompt")
    config, layers = model.config.get_text_config(), attentions(model)
    if len(layers) != config.num_hidden_layers:
        raise unfit(name, model, "not every layer has an attention", "a model with one (Qwen3, Llama, Gemma)")
    widths = {layer.k_proj.out_features if hasattr(layer, "k_proj") else 0 for layer in layers}
    if len(widths) > 1 or getattr(config, "num_kv_shared_layers", 0):
        raise unfit(name, model, "its layers have keys and values of different shapes, or share them", "method lora")


def load(model: Any, folder: Path) -> Any:
    return install(load_adapter(model, folder), KeysAndValues)


METHOD = Method(
    name="prefix",
    kind="prefix",
    summary="learnt keys and values before every sample in each layer, made by an MLP (prefix tuning)",
    when="generation tasks, many tasks on one frozen model: the result is small, the weights stay untouched",
    keys=("virtual_tokens", "encoder_hidden"),
    lr=1e-3,
    weight_decay=0.0,
    source="PEFT's method comparison on Llama-3.2-3B (AdamW)",
    tiny_lr=1e-2,
    folder="adapter",
    saved="keys and values of each layer, for PEFT (the MLP is left out)",
    marker="adapter_config.json",
    prepare=prepare,
    save=save_adapter,
    load=load,
    unmerged="its keys and values stand before the text and are no part of any weight",
)
DEEP_PROMPTS = replace(
    METHOD,
    name="p_tuning_v2",
    summary="learnt keys and values before every sample in each layer, as they are (P-tuning v2)",
    when="classification and extraction with few parameters, small models too",
    keys=("virtual_tokens",),
    lr=5e-3,
    source="the authors' scripts, which take 5e-3 to 2e-2 (arXiv:2110.07602)",
    tiny_lr=5e-2,
    saved="keys and values of each layer, for PEFT",
)
