"""The memory estimate against measurements, and its table of saved tensors against what autograd really saves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rows_of_tokens import random_tokens

from jingtiao.memory import free_memory
from tune.config import resolve
from tune.device import GIB, Device, size
from tune.memory import (
    CHUNK_LOGITS,
    LINEARS,
    PARTS,
    Setting,
    Shape,
    estimate,
    saved_bytes,
)
from tune.methods import METHODS
from tune.objectives import cut_at_samples, hidden_states, unwrapped
from tune.pack import build_pack


def qwen3(hidden: int, layers: int, intermediate: int, heads: int, tied: bool, rank: int = 0) -> Shape:
    """A Qwen3 shape with its parameters counted by hand; with a rank, LoRA on all linears, else full training."""
    q, kv = heads * 128, 8 * 128
    sizes = [(hidden, q), (hidden, kv), (hidden, kv), (q, hidden), *[(hidden, intermediate)] * 3]
    block = sum(a * b for a, b in sizes) + 2 * hidden + 2 * 128
    total = layers * block + 151936 * hidden * (1 if tied else 2) + hidden
    adapters = layers * rank * sum(a + b for a, b in sizes)
    return Shape(
        hidden=hidden,
        layers=layers,
        intermediate=intermediate,
        heads=heads,
        kv_heads=8,
        head_dim=128,
        vocabulary=151936,
        total=total + adapters,
        trainable=adapters or total,
        qk_norm=True,
    )


SMALL = (1024, 28, 3072, 16, True)  # Qwen3-0.6B
MIDDLE = (2048, 28, 6144, 16, True)  # Qwen3-1.7B
LARGE = (4096, 36, 12288, 32, False)  # Qwen3-8B

#: Measured on one H100 by benchmarks/tune_speed.py: shape, method, tokens a row, GiB allocated at the peak.
#: One row a step; 4 % of the tokens learnt.
MEASURED = [
    (SMALL, "lora", 32768, 41.8),
    (SMALL, "full", 32768, 48.2),
    (MIDDLE, "lora", 16384, 35.1),
    (MIDDLE, "full", 16384, 54.6),
    (LARGE, "lora", 8192, 54.4),
]


@pytest.mark.parametrize(("shape", "method", "tokens", "gib"), MEASURED)
def test_close_to_what_was_measured(shape: Any, method: str, tokens: int, gib: float) -> None:
    setting = Setting(tokens, tokens * 4 // 100, method, compiled=True)
    found = estimate(qwen3(*shape, rank=16 if method == "lora" else 0), setting)
    assert found.allocated / GIB == pytest.approx(gib, rel=0.02)


def test_parameters_of_the_shapes() -> None:
    """The counts that Qwen publishes: 0.6B, 1.7B and 8.2B, of which 0.44B, 1.4B and 6.95B are not embeddings."""
    assert qwen3(*SMALL).total == 596_049_920
    assert qwen3(*MIDDLE).total == 1_720_574_976
    assert qwen3(*LARGE).total == 8_190_735_360


FAMILY = {"qwen3": "Qwen3", "qwen2": "Qwen2", "llama": "Llama", "gemma3_text": "Gemma3Text"}
SIZES = {
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 97,
    "max_position_embeddings": 1024,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def prepared(family: str, method: str, dtype: torch.dtype, targets: Any = "all-linear") -> Any:
    import transformers

    model = getattr(transformers, f"{FAMILY[family].removesuffix('Text')}ForCausalLM")(
        getattr(transformers, f"{FAMILY[family]}Config")(**SIZES)
    ).to(dtype)
    settings = SimpleNamespace(
        r=4, alpha=8, dropout=0.0, targets=targets, rslora=False, dora=False, init=True, layers=1
    )
    model = METHODS[method].prepare(model, settings)
    cut_at_samples(model)
    return model.train()


def saved_in_a_layer(model: Any, row_tokens: int) -> int:
    """Bytes that the second layer hands to autograd: each storage once, without parameters and the rotary table."""
    layer = unwrapped(model).get_decoder().layers[1]
    apart = {p.untyped_storage().data_ptr() for p in model.parameters()}
    storages: dict[int, torch.UntypedStorage] = {}
    inside = False

    def enter(module: Any, args: Any, kwargs: Any) -> None:
        nonlocal inside
        inside = True
        apart.update(x.untyped_storage().data_ptr() for x in kwargs["position_embeddings"])

    def leave(*args: Any) -> None:
        nonlocal inside
        inside = False

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if inside and storage.data_ptr() not in apart:
            storages[storage.data_ptr()] = storage
        return tensor

    layer.register_forward_pre_hook(enter, with_kwargs=True)
    layer.register_forward_hook(leave)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        if unwrapped(model).config._attn_implementation == "sdpa":
            model(input_ids=torch.randint(3, 97, (1, row_tokens)), use_cache=False)
        else:
            samples = random_tokens([32] * (row_tokens // 32))
            hidden_states(model, build_pack(samples, np.arange(len(samples)), row_tokens))
    return sum(storage.nbytes() for storage in storages.values())


def saved_a_token(make: Callable[[], Any]) -> float:
    """Two lengths, so that what doesn't grow with the row drops out."""
    return (saved_in_a_layer(make(), 512) - saved_in_a_layer(make(), 256)) / 256


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("family", FAMILY)
def test_the_table_is_what_autograd_saves(family: str, method: str, dtype: torch.dtype) -> None:
    """In eager mode, to the byte."""
    model = prepared(family, method, dtype)
    shape = Shape.of(model.config, total=1, trainable=1)
    setting = Setting(256, 1, method, dtype=dtype.itemsize, device="cpu", rank=4)
    assert saved_a_token(lambda: prepared(family, method, dtype)) == saved_bytes(shape, setting)


#: Each kind of method beside LoRA and whole weights, and what of its settings the table depends on.
KINDS = [
    ("prefix", (), {"prefix": 5, "length": 32.0}),
    ("prompt", (), {}),
    ("adapter", (), {"bottleneck": 6}),
    ("adapter", ("placement=pfeiffer",), {"bottleneck": 6, "adapters": 1}),
    ("ia3", (), {}),
    ("ln", (), {}),
]


def of_kind(family: str, method: str, sets: tuple[str, ...], dtype: torch.dtype) -> Any:
    import transformers

    config = getattr(transformers, f"{FAMILY[family]}Config")(**SIZES)
    model = getattr(transformers, f"{FAMILY[family].removesuffix('Text')}ForCausalLM")(config).to(dtype)
    settings = resolve(None, model="m", method=method, sets=["virtual_tokens=5", "bottleneck=6", *sets])
    model = METHODS[method].prepare(model, settings)
    cut_at_samples(model)
    return model.train()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize(("method", "sets", "facts"), KINDS)
@pytest.mark.parametrize("family", ["qwen3", "gemma3_text"])
def test_the_table_knows_every_kind_of_method(
    family: str, method: str, sets: tuple[str, ...], facts: dict[str, Any], dtype: torch.dtype
) -> None:
    shape = Shape.of(unwrapped(of_kind(family, method, sets, dtype)).config, total=1, trainable=1)
    setting = Setting(256, 1, METHODS[method].kind, dtype=dtype.itemsize, device="cpu", **facts)
    assert saved_a_token(lambda: of_kind(family, method, sets, dtype)) == saved_bytes(shape, setting)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "sets", "facts"), [kind for kind in KINDS if kind[0] not in ("prefix", "prompt")])
@pytest.mark.parametrize("family", ["qwen3", "llama", "gemma3_text"])
def test_the_partitioner_keeps_what_the_table_says_of_every_kind(
    family: str, method: str, sets: tuple[str, ...], facts: dict[str, Any]
) -> None:
    """Virtual tokens are nothing that a layer keeps."""

    def make() -> Any:
        torch._dynamo.reset()
        model = of_kind(family, method, sets, torch.bfloat16)
        unwrapped(model).set_attn_implementation("sdpa")
        layer = unwrapped(model).get_decoder().layers[1]
        layer.forward = torch.compile(layer.forward, backend="aot_eager_decomp_partition", dynamic=False)
        return model

    shape = Shape.of(unwrapped(of_kind(family, method, sets, torch.bfloat16)).config, total=1, trainable=1)
    assert saved_a_token(make) == saved_bytes(shape, Setting(256, 1, METHODS[method].kind, compiled=True, **facts))


def test_only_inputs_of_linears_that_train_are_saved() -> None:
    targets = ["q_proj", "v_proj"]
    model = prepared("llama", "lora", torch.bfloat16, targets)
    shape = Shape.of(model.config, total=1, trainable=1)
    setting = Setting(256, 1, "lora", device="cpu", rank=4, targets=tuple(targets))
    found = saved_a_token(lambda: prepared("llama", "lora", torch.bfloat16, targets))
    assert found == saved_bytes(shape, setting) < saved_bytes(shape, replace(setting, targets=LINEARS))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("family", ["qwen3", "llama", "gemma3_text"])
def test_the_table_is_what_the_partitioner_keeps(family: str, method: str) -> None:
    """Through the min-cut partitioner that inductor uses, with attention as one product over the whole row: its result
    is o_proj's input as it is, so it is there once."""

    def make() -> Any:
        model = prepared(family, method, torch.bfloat16)
        unwrapped(model).set_attn_implementation("sdpa")
        layer = unwrapped(model).get_decoder().layers[1]
        layer.forward = torch.compile(layer.forward, backend="aot_eager_decomp_partition", dynamic=False)
        return model

    shape = Shape.of(prepared(family, method, torch.bfloat16).config, total=1, trainable=1)
    table = saved_bytes(shape, Setting(256, 1, method, compiled=True, rank=4))
    assert saved_a_token(make) == table


SETTINGS = st.builds(
    Setting,
    row_tokens=st.integers(1, 256).map(lambda blocks: 128 * blocks),
    answers=st.integers(1, 4000),
    method=st.sampled_from(["lora", "full", "freeze"]),
    rows=st.integers(1, 3),
    dtype=st.sampled_from([2, 4]),
    compiled=st.booleans(),
    checkpointing=st.booleans(),
)


@given(SETTINGS)
def test_more_of_anything_takes_no_less(setting: Setting) -> None:
    shape = qwen3(*SMALL, rank=16 if setting.method == "lora" else 0)
    base = estimate(shape, setting)
    assert tuple(base.parts) == PARTS and min(base.parts.values()) >= 0
    assert base.peak == sum(base.parts.values()) == base.allocated + base.parts["context"]
    for change in (
        {"row_tokens": setting.row_tokens + 128},
        {"answers": setting.answers + 500},
        {"rows": setting.rows + 1},
        {"compiled": False},
        {"checkpointing": False},
    ):
        assert estimate(shape, replace(setting, **change)).peak >= base.peak, change
    assert estimate(replace(shape, layers=29), setting).peak >= base.peak


def test_checkpointing_keeps_layer_inputs_and_one_layer() -> None:
    shape = qwen3(*MIDDLE, rank=16)
    plain = Setting(16384, 100, "lora", compiled=True)
    checkpointed = estimate(shape, replace(plain, checkpointing=True))
    inputs = 28 * 16384 * 2048 * 2
    final_norm = 16384 * 2048 * 6
    one = 16384 * saved_bytes(shape, plain)
    assert checkpointed.moment == "start of the backward pass"
    assert checkpointed.parts["activations"] == inputs + final_norm + one
    assert checkpointed.peak < estimate(shape, plain).peak / 2


def test_full_training_is_at_its_most_where_fp32_states_meet_gradients() -> None:
    """Short rows: 2 bytes a parameter of weights, 4 masters, 8 moments, 2 gradients; with a second row their fp32
    sum, and 4 more to add to it. The kernel of a GPU takes the gradients of a single row as they are."""
    shape = qwen3(*SMALL)
    one = estimate(shape, Setting(128, 1, "full"))
    assert one.moment == "end of the backward pass" and 16 * shape.total < one.allocated < 17 * shape.total
    assert estimate(shape, Setting(128, 1, "full", rows=2)).allocated == 24 * shape.total
    assert estimate(shape, Setting(128, 1, "full", device="cpu")).allocated == 20 * shape.total


def test_frozen_layers_keep_nothing() -> None:
    shape = replace(qwen3(*SMALL), trainable=10**6)
    last = estimate(shape, Setting(32768, 100, "freeze", trained_layers=2)).parts["activations"]
    most = estimate(shape, Setting(32768, 100, "freeze", trained_layers=28)).parts["activations"]
    assert (most - last) == 26 * 32768 * saved_bytes(shape, Setting(32768, 100, "freeze"))


def test_logits_come_in_chunks() -> None:
    from tune import heads

    assert CHUNK_LOGITS == heads.CHUNK_LOGITS
    shape = qwen3(*SMALL, rank=16)
    most = CHUNK_LOGITS // shape.vocabulary
    at = {
        n: estimate(shape, Setting(16384, n, "lora", compiled=True)).parts["logits"]
        for n in (most, most + 1, 4 * most)
    }
    assert at[most] < at[most + 1] < 1.8 * at[most]
    assert at[4 * most] - at[most + 1] == 2 * (3 * most - 1) * shape.hidden * 2


def test_shape_of_a_config_with_a_text_part_and_without_head_dim() -> None:
    import transformers

    llama = transformers.LlamaConfig(hidden_size=64, num_attention_heads=4, num_key_value_heads=2, head_dim=None)
    shape = Shape.of(llama, total=5, trainable=3)
    assert (shape.head_dim, shape.kv_heads, shape.qk_norm, shape.notes) == (16, 2, False, ())
    gemma = transformers.Gemma3Config(text_config={"hidden_size": 32, "num_hidden_layers": 2})
    shape = Shape.of(gemma, total=5, trainable=3)
    assert (shape.hidden, shape.layers, shape.qk_norm, shape.post_norm) == (32, 2, True, True)
    assert "logits" in Shape.of(transformers.Gemma2Config(), total=1, trainable=1).notes[0]
    assert "experts" in Shape.of(transformers.Qwen3MoeConfig(), total=1, trainable=1).notes[0]


def test_the_machine() -> None:
    here = Device.of(torch.device("cpu"), torch.float32)
    assert here.type == "cpu" and here.dtype == 4
    assert 2**26 < free_memory() < 2**46
    assert size(1.25 * GIB) == "1.2 GiB" and size(GIB // 2) == "512 MiB"
