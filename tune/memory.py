"""How much memory training will take at its peak, part by part, worked out before anything runs.

What autograd keeps of a decoder layer is a table (`SAVED`), counted from transformers' layers and checked against
them by a test; the rest is arithmetic on parameter counts. The constants that only a measurement can give stand at
the top. Bytes everywhere; T tokens a row, A learnt tokens a row, V vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from tune.device import GIB

# --- measured constants -----------------------------------------------------------------------------------------

#: Share of a device's memory that a plan may fill: the rest is what the allocator can't use for being in pieces.
FILL = 0.85
#: Taken before the first tensor, and unseen by torch.cuda.max_memory_allocated: the CUDA context with its loaded
#: kernels (a usual figure for an H100); on a CPU the interpreter with torch, transformers and PEFT (RSS, measured).
CONTEXT = {"cuda": int(0.6 * GIB), "cpu": int(0.45 * GIB)}
#: Peak bytes for one number of a chunk's logits: fp32, and as much again inside logsumexp.
LOGIT = 8
#: A chunk of the head holds at most this many logits (tune/heads.py, CHUNK_LOGITS).
CHUNK_LOGITS = 1 << 28

# --- what autograd keeps of one layer ---------------------------------------------------------------------------

_NONE, _SAME, _FP32 = "none", "same", "fp32"
_Q, _K, _V, _O, _GATE, _UP, _DOWN = "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"
LINEARS = (_Q, _K, _V, _O, _GATE, _UP, _DOWN)


@dataclass(frozen=True)
class Saved:
    """One tensor of `size` numbers a token: how it is kept in eager and in compiled mode, and on what condition.

    same: in the model's dtype; fp32: as fp32, whatever the dtype. when: words of `_holds`, or names of linear layers,
    for an input that is kept only where one of these trains.
    """

    what: str
    size: str
    eager: str
    compiled: str
    when: tuple[str, ...] = ()


#: RMSNorm computes in fp32: eager keeps an fp32 copy of its input, and for a weight that trains the normalised input
#: too. Compiled, inductor's partitioner keeps the outputs of matrix products and the inputs of those whose weight
#: trains, and works pointwise results out again. (Checked: saved-tensor hooks on transformers 5.17, eager and through
#: the min-cut partitioner.)
SAVED: tuple[Saved, ...] = (
    Saved("input norm: its input", "hidden", _FP32, _SAME),
    Saved("input norm: normalised", "hidden", _SAME, _NONE, ("norm_trains",)),
    Saved("q, k, v: their input", "hidden", _SAME, _SAME, (_Q, _K, _V)),
    Saved("q norm: its input", "q", _FP32, _SAME, ("qk_norm",)),
    Saved("q norm: normalised", "q", _SAME, _NONE, ("qk_norm", "norm_trains")),
    Saved("k norm: its input", "kv", _FP32, _SAME, ("qk_norm",)),
    Saved("k norm: normalised", "kv", _SAME, _NONE, ("qk_norm", "norm_trains")),
    Saved("q, rotated", "q", _SAME, _SAME),
    Saved("k, rotated", "kv", _SAME, _SAME),
    Saved("v", "kv", _SAME, _SAME),
    # LoRA computes q, k and v as one tensor (tune/methods/lora.py): keeping v keeps all of it.
    Saved("q, beside v", "q", _SAME, _SAME, ("joint",)),
    Saved("k, beside v", "kv", _SAME, _SAME, ("joint",)),
    Saved("attention: its output", "q", _SAME, _SAME),
    Saved("attention: log-sum-exp", "heads", _FP32, _FP32),
    # Eager, the attention's result once more, laid out as o_proj takes it (a loop over samples joins its pieces).
    Saved("o_proj: its input", "q", _SAME, _NONE, (_O,)),
    Saved("post-attention norm: its input", "hidden", _FP32, _NONE, ("post_norm",)),
    Saved("post-attention norm: normalised", "hidden", _SAME, _NONE, ("post_norm", "norm_trains")),
    Saved("feed-forward norm: its input", "hidden", _FP32, _SAME),
    Saved("feed-forward norm: normalised", "hidden", _SAME, _NONE, ("norm_trains",)),
    Saved("gate, up: their input", "hidden", _SAME, _SAME, (_GATE, _UP)),
    Saved("gate", "intermediate", _SAME, _SAME),
    Saved("activated gate", "intermediate", _SAME, _NONE),
    Saved("up", "intermediate", _SAME, _SAME),
    Saved("down_proj: its input", "intermediate", _SAME, _SAME, (_DOWN,)),
    Saved("post-feed-forward norm: its input", "hidden", _FP32, _SAME, ("post_norm",)),
    Saved("post-feed-forward norm: normalised", "hidden", _SAME, _NONE, ("post_norm", "norm_trains")),
    Saved("norms: reciprocal root mean squares", "norms", _FP32, _FP32),
    Saved("LoRA: x A of each linear", "ranks", _SAME, _SAME),
    # Compiled, a norm's input is worked out again from this one.
    Saved("IA3: k before its factors", "kv", _SAME, _SAME, ("ia3", "k_apart")),
    Saved("IA3: v before its factors", "kv", _SAME, _SAME, ("ia3",)),
    Saved("IA3: down_proj's input before its factors", "intermediate", _FP32, _NONE, ("ia3",)),
    Saved("adapters: their inputs", "adapted", _SAME, _SAME, ("adapter",)),
    Saved("adapters: before and after the activation", "inner", _SAME, _SAME, ("adapter",)),
    # With a block mask the prefix's part is worked out apart: the other's result, and weights of the few keys.
    Saved("attention: its result without the prefix", "q", _SAME, _SAME, ("joined_prefix",)),
    Saved("weights of the prefix's keys", "weights", _FP32, _FP32, ("joined_prefix",)),
    Saved("weights of the prefix's keys, rounded", "weights", _SAME, _SAME, ("joined_prefix",)),
    Saved("scores of the prefix's keys, beside the log-sum-exp", "scores", _FP32, _FP32, ("joined_prefix",)),
    # A loop over samples copies the prefix to each and makes masks.
    Saved("prefix before each sample's k and v", "prefixes", _SAME, _NONE, ("looped_prefix",)),
    Saved("each sample's mask", "mask", _SAME, _NONE, ("looped_prefix",)),
)

#: Families by `model_type` whose layers have more norms than Llama's two. (qk_norm, post_norm, norms multiply in fp32)
_NORMS = {
    "qwen3": (True, False, False),
    "gemma2": (False, True, True),
    "gemma3": (True, True, True),
    "gemma3_text": (True, True, True),
}

#: What the estimate leaves out, by the key of a model's configuration that shows it.
_EXPERTS = "memory is estimated as for dense layers, and this model has experts"
_LEFT_OUT = {
    "num_experts": _EXPERTS,
    "num_local_experts": _EXPERTS,
    "final_logit_softcapping": "this model makes the logits of all learnt positions at once; the estimate has a chunk",
}


@dataclass(frozen=True)
class Shape:
    """What of a model decides its memory. `total` and `trainable` count parameters, tied ones once; `held`: bytes of
    all of them where they are not all of the model's dtype. saved: what its layers keep; dropout: whether they drop
    numbers of an encoder's hidden states.
    """

    hidden: int
    layers: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    total: int
    trainable: int
    qk_norm: bool = False
    post_norm: bool = False
    qkv_bias: bool = False
    norm_fp32: bool = False
    held: int | None = None
    notes: tuple[str, ...] = ()
    saved: tuple[Saved, ...] = SAVED
    dropout: bool = False

    @classmethod
    def of(cls, config: Any, *, total: int, trainable: int, held: int | None = None) -> Shape:
        """From a transformers model config (a multimodal one: its text part) and the parameter counts."""
        from tune.memory_encoders import dropout_of, saved_of

        config = config.get_text_config()
        qk_norm, post_norm, norm_fp32 = _NORMS.get(config.model_type, (False, False, False))
        heads = config.num_attention_heads
        return cls(
            hidden=config.hidden_size,
            layers=config.num_hidden_layers,
            intermediate=config.intermediate_size,
            heads=heads,
            kv_heads=getattr(config, "num_key_value_heads", None) or heads,
            head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
            # A classifier's head makes as many logits as it has labels.
            vocabulary=config.num_labels if config.problem_type else config.vocab_size,
            total=total,
            trainable=trainable,
            held=held,
            qk_norm=qk_norm,
            post_norm=post_norm,
            # Qwen2 always has it, and no key that says so.
            qkv_bias=config.model_type == "qwen2" or bool(getattr(config, "attention_bias", False)),
            norm_fp32=norm_fp32,
            saved=saved_of(config),
            dropout=dropout_of(config),
            notes=tuple(note for key, note in _LEFT_OUT.items() if getattr(config, key, None)),
        )


@dataclass(frozen=True)
class States:
    """Bytes a trained parameter takes beside its weight and gradient.

    master: a copy that the optimiser steps. accumulator: the sum of a step's gradients. moments: AdamW's two.
    All are fp32 (tune/optim.py); a master copy exists only where the weight itself is not.
    """

    master: int = 4
    accumulator: int = 4
    moments: int = 8


@dataclass(frozen=True)
class Setting:
    """How a model will be trained.

    answers: the most learnt tokens a row has. rows: the most rows a step has. method: its kind. dtype: bytes of a
    weight. rank, targets: LoRA's. adapters, bottleneck: how many a layer has, and their inner width. prefix: how many
    keys stand before a sample; length: tokens of the sample that a token stands in, on average. trained_layers: how
    many of the last layers autograd goes through (all if None).
    """

    row_tokens: int
    answers: int
    method: str
    rows: int = 1
    dtype: int = 2
    device: str = "cuda"
    compiled: bool = False
    checkpointing: bool = False
    rank: int = 16
    targets: tuple[str, ...] = LINEARS
    adapters: int = 2
    bottleneck: int = 64
    prefix: int = 20
    length: float = 64.0
    trained_layers: int | None = None
    states: States = field(default_factory=States)

    @property
    def trains_weights(self) -> bool:
        return self.method in ("full", "freeze")

    @property
    def trained_linears(self) -> tuple[str, ...]:
        """The linear layers whose inputs a gradient of weights needs."""
        return LINEARS if self.trains_weights else self.targets if self.method == "lora" else ()


@dataclass(frozen=True)
class Memory:
    """The peak: bytes by part, and the moment it is reached.

    `allocated` is what torch.cuda.max_memory_allocated will say; `peak` adds the context, which the device holds too.
    """

    parts: dict[str, int]
    moment: str

    @property
    def allocated(self) -> int:
        return sum(size for part, size in self.parts.items() if part != "context")

    @property
    def peak(self) -> int:
        return sum(self.parts.values())

    def facts(self) -> dict[str, Any]:
        """For plan.json."""
        return {"parts": self.parts, "allocated": self.allocated, "peak": self.peak, "moment": self.moment}


def saved_bytes(shape: Shape, setting: Setting) -> int:
    """Bytes that one layer's forward pass keeps for its backward pass, for each token of the row.

    The rotary tables, which all layers share, are not in it.
    """
    trained = setting.trained_linears
    sizes = {
        "hidden": shape.hidden,
        "q": shape.heads * shape.head_dim,
        "kv": shape.kv_heads * shape.head_dim,
        "intermediate": shape.intermediate,
        "heads": shape.heads,
        "norms": (4 if shape.post_norm else 2) + (shape.heads + shape.kv_heads if shape.qk_norm else 0),
        "ranks": setting.rank * len(trained) if setting.method == "lora" else 0,
        "dropped": 2 * shape.hidden / setting.dtype if shape.dropout else 0,
        "adapted": setting.adapters * shape.hidden,
        "inner": 2 * setting.adapters * setting.bottleneck,
        "prefixes": setting.prefix / setting.length * 2 * shape.kv_heads * shape.head_dim,
        "mask": setting.prefix + setting.length,
        "weights": setting.prefix * shape.heads,
        "scores": (setting.prefix + 1) * shape.heads,
    }
    total = 0.0
    for saved in shape.saved:
        if not _holds(saved, shape, setting, trained):
            continue
        kept = saved.compiled if setting.compiled else saved.eager
        # Gemma multiplies by its norms' weights before it leaves fp32.
        if shape.norm_fp32 and saved.what.endswith("normalised") and kept == _SAME:
            kept = _FP32
        total += sizes[saved.size] * {_NONE: 0, _SAME: setting.dtype, _FP32: 4}[kept]
    return math.ceil(total)


def _holds(saved: Saved, shape: Shape, setting: Setting, trained: tuple[str, ...]) -> bool:
    # The norms of q and k keep their inputs, which are the joint tensor: all but eager ones in bf16, which copy them.
    kept_anyway = shape.qk_norm and (setting.compiled or setting.dtype == 4)
    joint = setting.method == "lora" and {_Q, _K, _V} <= set(trained) and not shape.qkv_bias
    facts = {
        "norm_trains": setting.trains_weights or setting.method == "ln",
        **{kind: setting.method == kind for kind in ("ia3", "adapter")},
        "k_apart": not (setting.compiled and shape.qk_norm),
        "joined_prefix": setting.method == "prefix" and setting.device == "cuda",
        "looped_prefix": setting.method == "prefix" and setting.device == "cpu",
        "qk_norm": shape.qk_norm,
        "post_norm": shape.post_norm,
        "joint": joint and not kept_anyway,
    }
    linears = [word for word in saved.when if word in LINEARS]
    trains = not linears or any(word in trained for word in linears)
    return trains and all(facts[word] for word in saved.when if word not in LINEARS)


#: The parts of an estimate, in the order in which they are shown. backward: gradients of activations.
PARTS = (
    "weights",
    "masters",
    "moments",
    "accumulators",
    "gradients",
    "activations",
    "logits",
    "backward",
    "context",
)


def estimate(shape: Shape, setting: Setting) -> Memory:
    """The peak memory of training with this setting.

    Four moments may be the peak: the head at the end of the forward pass, the start of the backward pass (all layers'
    activations are still there), its end (all gradients are there), and their gathering in fp32, which the optimiser's
    step never exceeds.
    """
    states = setting.states
    always = {
        "weights": shape.held or shape.total * setting.dtype,
        "masters": shape.trainable * (states.master if setting.dtype < 4 else 0),
        "moments": shape.trainable * states.moments,
        "context": CONTEXT[setting.device],
    }
    moments = {name: always | parts for name, parts in _moments(shape, setting).items()}
    moment = max(moments, key=lambda name: sum(moments[name].values()))
    return Memory({part: moments[moment].get(part, 0) for part in PARTS}, moment)


def _moments(shape: Shape, setting: Setting) -> dict[str, dict[str, int]]:
    """What each moment that may be the peak adds to what is always there."""
    T, dtype = setting.row_tokens, setting.dtype
    depth = min(setting.trained_layers or shape.layers, shape.layers)
    layer = T * saved_bytes(shape, setting)
    # The final norm is never compiled: its fp32 input, and its result, of which the head takes the learnt positions.
    last = T * shape.hidden * (4 + dtype)
    kept = depth * (T * shape.hidden * dtype if setting.checkpointing else layer) + last
    again = layer if setting.checkpointing else 0
    backward = _backward(shape, setting)
    gradients = shape.trainable * dtype
    head_gradient = shape.vocabulary * shape.hidden * dtype if setting.method == "full" else 0
    # The sum over a step's rows lives from the first row's end on.
    summed = shape.trainable * setting.states.accumulator
    carried = summed if setting.rows > 1 else 0
    # bf16 gradients get a passing fp32 copy, but where one row makes a step and the kernel takes them as they are.
    copied = summed if dtype < 4 and (setting.rows > 1 or setting.device != "cuda") else 0
    return {
        "head": {"activations": kept, "logits": _logits(shape, setting, head_gradient), "accumulators": carried},
        "start of the backward pass": {
            "activations": kept + again,
            "gradients": head_gradient,
            "backward": backward,
            "accumulators": carried,
        },
        # A tied embedding's gradient comes in two parts, the head's and the input's, which meet at the end.
        "end of the backward pass": {
            "activations": layer,
            "gradients": gradients + head_gradient,
            "backward": backward,
            "accumulators": carried,
        },
        "gathering of gradients": {"gradients": gradients, "accumulators": carried + copied},
    }


def _logits(shape: Shape, setting: Setting, head_gradient: int) -> int:
    """The head over the learnt positions, a chunk at a time: logits, gradients of hidden states, of the weight."""
    chunk = max(1, CHUNK_LOGITS // shape.vocabulary)
    rows = min(chunk, setting.answers)
    several = setting.answers > chunk
    logits = rows * shape.vocabulary * LOGIT
    hidden = 2 * setting.answers * shape.hidden * setting.dtype
    return logits + hidden + head_gradient * (2 if several else 1)


def _backward(shape: Shape, setting: Setting) -> int:
    """What one layer's backward pass holds at a time: the gradients of gate, up and their product, or of q, k, v and
    the attention's output, beside those of the residual stream going in and coming out.
    """
    q, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    widest = max(3 * shape.intermediate, 2 * q + 2 * kv)
    return setting.row_tokens * setting.dtype * (widest + 2 * shape.hidden)
