"""Prompt tuning (Lester et al. 2021, arXiv:2104.08691): learnt embeddings at the start of every sample."""

from __future__ import annotations

from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch

from tune.errors import UserError
from tune.methods.method import Method, load_adapter, save_adapter, task_of, unfit
from tune.virtual import Embeddings, install


def prepare(model: Any, config: Any, tokenizer: Any = None) -> Any:
    from peft import PromptTuningConfig, get_peft_model

    check(model, "prompt")
    settings = PromptTuningConfig(
        **task_of(model),
        num_virtual_tokens=config.virtual_tokens,
        prompt_tuning_init="SAMPLE_VOCAB" if config.prompt_init == "vocabulary" else "RANDOM",
    )
    wrapped = get_peft_model(model, settings)
    if config.prompt_init == "text" and tokenizer is not None:
        _begin_with(wrapped, _ids(config.prompt_text, tokenizer))
    return install(wrapped, Embeddings)


def check(model: Any, name: str) -> None:
    """Whether a model takes embeddings in the place of ids."""
    if getattr(model.config.get_text_config(), "hidden_size_per_layer_input", 0):
        raise unfit(name, model, "its layers look words up by their ids, and virtual tokens have none", "method lora")
    if getattr(model.config, "embedding_size", model.config.hidden_size) != model.config.hidden_size:
        raise unfit(
            name, model, "its words are narrower than its layers, which PEFT doesn't know", "method p_tuning_v2"
        )


def _ids(text: str | None, tokenizer: Any) -> list[int]:
    ids = tokenizer(text or "", add_special_tokens=False)["input_ids"]
    if not ids:
        raise UserError("prompt_init=text: begins with the words of prompt_text, and there are none; give prompt_text")
    return ids


@torch.no_grad()
def _begin_with(wrapped: Any, ids: list[int]) -> None:
    """The text's words over and over, as many as there are virtual tokens."""
    weight = wrapped.prompt_encoder[wrapped.active_adapter].embedding.weight
    words = torch.tensor(list(islice(cycle(ids), len(weight))), device=wrapped.device)
    weight.copy_(wrapped.get_base_model().get_input_embeddings()(words))


def load(model: Any, folder: Path) -> Any:
    return install(load_adapter(model, folder), Embeddings)


METHOD = Method(
    name="prompt",
    kind="prompt",
    summary="learnt embeddings at the start of every sample (prompt tuning)",
    when="the fewest parameters of all; large models (in the paper it meets full training from 10B on)",
    keys=("virtual_tokens", "prompt_init", "prompt_text"),
    lr=1e-2,
    weight_decay=0.0,
    source="between the 1e-3 of PEFT's method comparison and the 3e-2 of its guide (AdamW)",
    tiny_lr=1e-1,
    folder="adapter",
    saved="the embeddings, for PEFT",
    marker="adapter_config.json",
    prepare=prepare,
    save=save_adapter,
    load=load,
    unmerged="its embeddings stand before the text and are no part of any weight",
)
