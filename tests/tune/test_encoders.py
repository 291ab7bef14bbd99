"""Encoders and heads in packed rows: worth exactly what plain transformers says of their samples one by one."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from rows_of_tokens import ENCODERS, Labelled, labelled_tokens, small_classifier

from tune.encoders import family_of, layers_of
from tune.errors import UserError
from tune.memory import Setting, Shape, saved_bytes
from tune.methods import METHODS
from tune.objectives import (
    cut_at_samples,
    head_loss,
    unwrapped,
)
from tune.pack import build_pack
from tune.virtual import virtual_of

DECODERS = ["qwen3", "gemma3"]
LENGTHS = [12, 3, 30, 2, 21, 9]


def alone(model: Any, tokens: Labelled, sample: int) -> torch.Tensor:
    """A sample's logits by plain transformers."""
    ids = torch.from_numpy(tokens.pieces[sample][0]).long()[None]
    inputs: dict[str, Any] = {"input_ids": ids}
    family = family_of(unwrapped(model))
    if family and family.types:
        inputs["token_type_ids"] = (torch.arange(ids.shape[1]) >= int(tokens.second_N[sample])).long()[None]
    return model(**inputs).logits[0].float()


def one_by_one(model: Any, tokens: Labelled, **options: Any) -> torch.Tensor:
    """The summed loss of the samples' labels, by torch."""
    total = torch.zeros(())
    for sample, label in enumerate(tokens.label_N):
        logits = alone(model, tokens, sample)
        if len(logits) == 1:
            total = total + (logits[0] - label) ** 2
        else:
            total = total + F.cross_entropy(logits, torch.tensor(int(label)), reduction="sum", **options)
    return total


def gradients(model: Any) -> dict[str, torch.Tensor]:
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


def assert_near(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    largest = max(float(gradient.norm()) for gradient in wanted.values())
    for name, gradient in wanted.items():
        # The bias of keys adds the same to all scores of a query, and so moves nothing: its gradient is rounding.
        zero = name.endswith("key.bias") or gradient.norm() == 0
        allowed = 1e-6 * largest if zero else 1e-5 * float(gradient.norm())
        assert (found[name] - gradient).norm() <= allowed, name


@pytest.mark.parametrize("family", [*ENCODERS, *DECODERS])
def test_packed_equals_plain_transformers_one_by_one(family: str) -> None:
    tokens = labelled_tokens(LENGTHS)
    model = small_classifier(family).train()
    wanted_loss = one_by_one(model, tokens)
    wanted_loss.backward()
    wanted = gradients(model)
    assert any("score" in name or "classifier" in name for name in wanted)
    cut_at_samples(model)
    pack = build_pack(tokens, np.arange(len(tokens)), 256)
    for checkpointed in (False, True):
        if checkpointed:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        loss = head_loss(model, pack)
        loss.backward()
        assert abs(loss.item() / wanted_loss.item() - 1) < 1e-6
        assert_near(gradients(model), wanted)


SETTINGS: dict[str, Any] = {
    "r": 4,
    "alpha": 8,
    "dropout": 0.0,
    "targets": "all-linear",
    "rslora": False,
    "dora": False,
}
SETTINGS |= {"loraplus": None, "init": True, "layers": 1, "virtual_tokens": 5, "encoder_hidden": 16, "encoder": "mlp"}
SETTINGS |= {"prompt_init": "vocabulary", "prompt_text": None, "bottleneck": 8, "placement": "houlsby"}
EVERY = ["lora", "dora", "full", "freeze", "prefix", "p_tuning_v2", "prompt", "p_tuning", "adapter", "ia3", "ln"]
UNFIT = {("modernbert", "prefix"), ("modernbert", "p_tuning_v2"), ("modernbert", "ia3")}


def prepared(family: str, method: str) -> Any:
    """A classifier as a method trains it, moved a little where it would begin at nothing."""
    config = SimpleNamespace(method=method, **SETTINGS)
    config.dora = method == "dora"
    model = METHODS[method].prepare(small_classifier(family), config)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if any(part in name for part in ("lora_B", ".up", "ia3_", "ln_tuning_")):
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model.train()


@pytest.mark.parametrize("method", EVERY)
@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert", "qwen3"])
def test_every_method_with_a_head_packs_as_peft_does_one_by_one(family: str, method: str, tmp_path: Any) -> None:
    if (family, method) in UNFIT:
        with pytest.raises(
            UserError, match=f"method {method}: can't work with modernbert models: .*; take method lora"
        ):
            prepared(family, method)
        return
    tokens, model = labelled_tokens(LENGTHS), prepared(family, method)
    assert any("classifier" in n or "score" in n for n, p in model.named_parameters() if p.requires_grad)
    wanted_loss = one_by_one(model, tokens)
    wanted_loss.backward()
    wanted = gradients(model)
    cut_at_samples(model)
    virtual = virtual_of(unwrapped(model))
    tokens.virtual = virtual.places if virtual else 0
    pack = build_pack(tokens, np.arange(len(tokens)), 256)
    loss = head_loss(model, pack)
    loss.backward()
    assert abs(loss.item() / wanted_loss.item() - 1) < 1e-6
    assert_near(gradients(model), wanted)
    unwrapped(model).gradient_checkpointing_enable({"use_reentrant": False})
    head_loss(model, pack).backward()
    assert_near(gradients(model), wanted)


@pytest.mark.parametrize("method", ["full", "lora", "ia3", "adapter", "p_tuning_v2", "ln"])
@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_the_plan_counts_what_autograd_keeps_of_a_layer(family: str, method: str) -> None:
    if (family, method) in UNFIT:
        return
    tokens, model = labelled_tokens([32] * 8), prepared(family, method)
    cut_at_samples(model)
    core = unwrapped(model)
    layer, held, inside = layers_of(core)[1], dict[int, int](), [False]
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        place = tensor.untyped_storage().data_ptr()
        if inside[0] and place not in weights:
            held[place] = tensor.untyped_storage().nbytes()
        return tensor

    layer.register_forward_pre_hook(lambda *_: inside.__setitem__(0, True))
    layer.register_forward_hook(lambda *_: inside.__setitem__(0, False))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        head_loss(model, build_pack(tokens, np.arange(8), 256))
    shape = Shape.of(core.config, total=1, trainable=1)
    kinds = {"lora": "lora", "p_tuning_v2": "prefix"}
    setting = Setting(256, 8, kinds.get(method, method), dtype=4, device="cpu", rank=4, bottleneck=8, prefix=5)
    planned = 256 * saved_bytes(shape, replace(setting, length=32.0))
    # ModernBERT's window makes a mask for each sample, which the plan leaves out, as a decoder's.
    assert planned / sum(held.values()) == pytest.approx(1, abs=0.15 if method == "p_tuning_v2" else 0.08)
