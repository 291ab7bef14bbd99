"""P-tuning (Liu et al. 2021, arXiv:2103.10385): embeddings at the start of every sample, made by an MLP or an LSTM.

The encoder only serves training; what is saved are the embeddings it makes in the end.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tune.methods import prompt
from tune.methods.method import task_of
from tune.virtual import Embeddings, install


def prepare(model: Any, config: Any, tokenizer: Any = None) -> Any:
    from peft import PromptEncoderConfig, get_peft_model

    prompt.check(model, "p_tuning")
    settings = PromptEncoderConfig(
        **task_of(model),
        num_virtual_tokens=config.virtual_tokens,
        encoder_reparameterization_type=config.encoder.upper(),
        encoder_hidden_size=config.encoder_hidden,
    )
    return install(get_peft_model(model, settings), Embeddings)


METHOD = replace(
    prompt.METHOD,
    name="p_tuning",
    summary="embeddings at the start of every sample, made by an MLP or LSTM (P-tuning)",
    when="like prompt, steadier on small models: the embeddings depend on one another",
    keys=("virtual_tokens", "encoder", "encoder_hidden"),
    lr=1e-3,
    source="PEFT's method comparison on Llama-3.2-3B tries 5e-5 to 5e-3 (AdamW)",
    tiny_lr=1e-2,
    saved="the embeddings, for PEFT (MLP or LSTM are left out)",
    prepare=prepare,
)
