"""Small random samples and models for the tests of the engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

VOCABULARY = 97


@dataclass
class Tokens:
    """The part of `tune.data.Tokens` that packing reads."""

    pieces: list[tuple[np.ndarray, np.ndarray]]
    virtual: int = 0
    labelled: bool = False

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


@dataclass
class Labelled(Tokens):
    """Samples with a label each, of two texts from `second_N` on."""

    label_N: np.ndarray = field(default_factory=lambda: np.zeros(0))
    second_N: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    labelled: bool = True


def labelled_tokens(lengths: list[int], classes: int = 3, seed: int = 0) -> Labelled:
    """Samples of the given lengths, each with a class, its second text from the middle on; 0 classes: with a score."""
    rng = np.random.default_rng(seed)
    pieces = random_tokens(lengths, seed).pieces
    label_N = rng.integers(classes, size=len(lengths)).astype(float) if classes else rng.normal(size=len(lengths))
    return Labelled(pieces, label_N=label_N, second_N=np.array(lengths, np.int32) // 2)


ENCODERS = {
    "bert": "Bert",
    "ernie": "Ernie",
    "electra": "Electra",
    "roberta": "Roberta",
    "xlm-roberta": "XLMRoberta",
    "camembert": "Camembert",
    "modernbert": "ModernBert",
}


def small_classifier(family: str, classes: int = 3, seed: int = 0, **changes: Any) -> Any:
    """A random encoder (or decoder) of two layers with a head, in fp32 on the CPU, without dropout."""
    import transformers

    shape: dict[str, Any] = {"vocab_size": VOCABULARY, "hidden_size": 48, "intermediate_size": 96}
    shape |= {"num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 130, "pad_token_id": 1}
    shape |= {"num_labels": classes or 1} | changes
    shape["problem_type"] = "single_label_classification" if classes else "regression"
    if family == "modernbert":
        shape |= {
            "local_attention": 8,
            "layer_types": ["sliding_attention", "full_attention"],
            "cls_token_id": 3,
            "sep_token_id": 4,
        }
    elif family in ENCODERS:
        shape |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        shape |= {"type_vocab_size": 1 if "roberta" in family or family == "camembert" else 2}
    else:
        shape |= {"num_key_value_heads": 2, "head_dim": 16}
    name = ENCODERS.get(family) or {"qwen3": "Qwen3", "llama": "Llama", "gemma3": "Gemma3Text"}[family]
    if family == "gemma3":
        shape |= {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}
    config = getattr(transformers, f"{name}Config")(**shape)
    torch.manual_seed(seed)
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    with torch.no_grad():  # as in `small_model`
        for parameter_name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.mul_(2 if "embed" in parameter_name else 6)
    return model


def lists_whole_blocks(mask: Any, whole_TT: torch.Tensor) -> bool:
    """Whether any pair of blocks is allowed throughout, once the lists of a block mask are those of `whole_TT`."""
    n = len(whole_TT) // 128
    blocks = whole_TT.view(n, 128, n, 128)
    needed, full = blocks.any(3).any(1), blocks.all(3).all(1)
    wanted = {"kv": needed & ~full, "full_kv": full, "q": (needed & ~full).T, "full_q": full.T}
    for name, which in wanted.items():
        count, indices = mask.lists[name]
        for number in range(n):
            listed = indices[0, 0, number, : count[0, 0, number]].tolist()
            assert sorted(listed) == which[number].nonzero()[:, 0].tolist(), name
    return bool(full.any())
