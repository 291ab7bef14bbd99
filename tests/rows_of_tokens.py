"""Small random samples and models for the tests of the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

VOCABULARY = 97


@dataclass
class Tokens:
    """The part of `tune.data.Tokens` that packing reads."""

    pieces: list[tuple[np.ndarray, np.ndarray]]
    virtual: int = 0

    @property
    def lengths(self) -> np.ndarray:
        return np.array([len(ids) for ids, _ in self.pieces], dtype=np.int32)

    @property
    def places(self) -> np.ndarray:
        return self.lengths + self.virtual

    def sample(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        return self.pieces[number]

    def __len__(self) -> int:
        return len(self.pieces)


def random_tokens(lengths: list[int], seed: int = 0, history: bool = False) -> Tokens:
    """Samples of the given lengths whose last third is learnt (with `history`, also a stretch in the middle)."""
    rng = np.random.default_rng(seed)
    pieces = []
    for length in lengths:
        learn = np.zeros(length, dtype=np.uint8)
        learn[-max(1, length // 3) :] = 1
        if history and length > 9:
            learn[length // 4 : length // 3] = 1
        pieces.append((rng.integers(3, VOCABULARY, length, dtype=np.int32), learn))
    return Tokens(pieces)


def small_model(family: str, seed: int = 0, dtype: torch.dtype = torch.float32) -> Any:
    """A random model of two or three layers, in fp32 on the CPU."""
    import transformers

    shape: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 512,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    names = {"qwen2": "Qwen2", "qwen3": "Qwen3", "llama": "Llama", "gemma3": "Gemma3Text", "gemma2": "Gemma2"}
    if family == "gemma3":
        shape |= {
            "sliding_window": 8,
            "layer_types": ["sliding_attention", "full_attention"],
            "query_pre_attn_scalar": 16,
        }
    if family == "gemma2":
        shape |= {"sliding_window": 8, "final_logit_softcapping": 5.0, "attn_logit_softcapping": None}
    config = getattr(transformers, f"{names[family]}Config")(**shape)
    torch.manual_seed(seed)
    model = getattr(transformers, f"{names[family].removesuffix('Text')}ForCausalLM")(config)
    # transformers' initialisation is so small that attention hardly matters: widen it, or tests would have no teeth.
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "embed" not in name:
                parameter.mul_(8)
    return model.to(dtype)
