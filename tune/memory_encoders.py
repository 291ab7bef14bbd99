"""What autograd keeps of an encoder's layer (see tune/memory.py): BERT's relatives, and ModernBERT.

Counted with saved-tensor hooks on transformers 5.17, eager; compiled by the same rules as a decoder's: inputs and
outputs of matrix products are kept where a gradient needs them, pointwise results are worked out again.
"""

from __future__ import annotations

from typing import Any

from tune.memory import SAVED, Saved

_NONE, _SAME, _FP32 = "none", "same", "fp32"
_ATTENDED = (
    Saved("q", "q", _SAME, _SAME),
    Saved("k", "kv", _SAME, _SAME),
    Saved("v", "kv", _SAME, _SAME),
    Saved("attention: its output", "q", _SAME, _SAME),
    Saved("attention: log-sum-exp", "heads", _FP32, _FP32),
    Saved("attention's output projection: its input", "q", _SAME, _NONE, ("o_proj",)),
)
#: What methods add is theirs in any model.
_ADDED = tuple(
    saved for saved in SAVED if saved.what.startswith(("LoRA", "IA3", "adapters", "weights of", "scores of"))
)
_ADDED += tuple(
    saved for saved in SAVED if saved.when in (("joined_prefix",), ("looped_prefix",)) and saved not in _ADDED
)

#: LayerNorm keeps its input as it is, and a mean and a deviation a token.
BERT = (
    Saved("q, k, v: their input", "hidden", _SAME, _SAME, ("q_proj", "k_proj", "v_proj")),
    *_ATTENDED,
    Saved("attention's norm: its input", "hidden", _SAME, _SAME),
    Saved("first dense layer: its input", "hidden", _SAME, _SAME, ("up_proj",)),
    Saved("before the activation", "intermediate", _SAME, _SAME),
    Saved("second dense layer: its input", "intermediate", _SAME, _SAME, ("down_proj",)),
    Saved("output's norm: its input", "hidden", _SAME, _SAME),
    Saved("norms: means and deviations", "norms", _FP32, _FP32),
    Saved("norms: means and deviations", "norms", _FP32, _FP32),
    Saved("dropout: what was dropped, a byte a number", "dropped", _SAME, _NONE),
    *_ADDED,
)
MODERNBERT = (
    Saved("attention's norm: its input", "hidden", _SAME, _SAME),
    Saved("q, k, v: their input", "hidden", _SAME, _SAME, ("q_proj", "k_proj", "v_proj")),
    *_ATTENDED,
    Saved("q and k before they are rotated, which v is one tensor with", "q", _SAME, _SAME),
    Saved("q and k before they are rotated, which v is one tensor with", "kv", _SAME, _SAME),
    Saved("feed-forward norm: its input", "hidden", _SAME, _SAME),
    Saved("gate, up: their input", "hidden", _SAME, _SAME, ("up_proj",)),
    Saved("gate", "intermediate", _SAME, _SAME),
    Saved("up", "intermediate", _SAME, _SAME),
    Saved("activated", "intermediate", _SAME, _NONE),
    Saved("last dense layer: its input", "intermediate", _SAME, _SAME, ("down_proj",)),
    Saved("norms: means and deviations", "norms", _FP32, _FP32),
    Saved("norms: means and deviations", "norms", _FP32, _FP32),
    *_ADDED,
)


def saved_of(config: Any) -> tuple[Saved, ...]:
    """What a layer of a model of this configuration keeps."""
    from tune.encoders import FAMILIES

    if config.model_type not in FAMILIES:
        return SAVED
    return MODERNBERT if config.model_type == "modernbert" else BERT


def dropout_of(config: Any) -> bool:
    """Whether the layers drop hidden numbers in training."""
    return getattr(config, "hidden_dropout_prob", 0.0) > 0
