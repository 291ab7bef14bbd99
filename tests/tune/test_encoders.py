"""Encoders and heads in packed rows: worth exactly what plain transformers says of their samples one by one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from peft import PeftModel
from rows_of_tokens import (
    ENCODERS,
    Labelled,
    labelled_tokens,
    lists_whole_blocks,
    random_tokens,
    small_classifier,
)

from tune.attention import FlexRows
from tune.encoders import family_of, layers_of
from tune.errors import UserError
from tune.memory import Setting, Shape, saved_bytes
from tune.methods import METHODS
from tune.objectives import (
    all_logits,
    answer_nll,
    class_weights,
    cut_at_samples,
    head_logits,
    head_loss,
    loss_of,
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
            if name.endswith(".up") or any(part in name for part in ("lora_B", "ia3_", "ln_tuning_")):
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model.train()


@pytest.mark.parametrize("method", EVERY)
@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert", "qwen3"])
def test_every_method_with_a_head_packs_as_peft_does_one_by_one(family: str, method: str) -> None:
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


def test_label_smoothing_and_class_weights_are_torchs_one_by_one() -> None:
    tokens, model = labelled_tokens([9, 4, 12, 7, 5], classes=3), small_classifier("bert").train()
    tokens.label_N[:] = [0, 2, 2, 2, 0]  # a class without samples too
    weight_C = class_weights(tokens.label_N)
    assert weight_C.tolist() == pytest.approx([5 / 4, 0, 5 / 6])
    assert weight_C[tokens.label_N.astype(int)].mean() == pytest.approx(1)
    wanted = one_by_one(model, tokens, label_smoothing=0.2, weight=weight_C)
    cut_at_samples(model)
    pack = build_pack(tokens, np.arange(5), 128)
    config = SimpleNamespace(class_weights="balanced", label_smoothing=0.2)
    assert loss_of(config, tokens)(model, pack).item() == pytest.approx(wanted.item(), rel=1e-6)  # pyright: ignore
    # Validation goes by the plain loss.
    nll_N, count_N = answer_nll(model, tokens, 128)
    assert nll_N.sum() == pytest.approx(one_by_one(model, tokens).item(), rel=1e-5) and count_N.tolist() == [1] * 5


def test_scores_are_learnt_by_their_squared_error() -> None:
    tokens, model = labelled_tokens(LENGTHS, classes=0), small_classifier("roberta", classes=0)
    wanted = one_by_one(model, tokens)
    cut_at_samples(model)
    assert head_loss(model, build_pack(tokens, np.arange(6), 128)).item() == pytest.approx(wanted.item(), rel=1e-6)


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_attention_ends_at_the_sample_and_the_window(family: str) -> None:
    """A changed token moves its own sample alone; in ModernBERT's first layer nothing beyond half a window."""
    model = small_classifier(family).eval()
    cut_at_samples(model)
    tokens, at = labelled_tokens(LENGTHS), 20
    before = head_logits(model, build_pack(tokens, np.arange(6), 128)).detach()
    seen: list[torch.Tensor] = []
    layers_of(model)[1].register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()[0]))
    head_logits(model, build_pack(tokens, np.arange(6), 128))
    tokens.pieces[2][0][at] = (tokens.pieces[2][0][at] + 7) % 90 + 3
    pack = build_pack(tokens, np.arange(6), 128)
    after = head_logits(model, pack).detach()
    same = [bool(torch.equal(a, b)) for a, b in zip(before, after, strict=True)]
    assert same == [True, True, False, True, True, True]
    moved = (seen[0] != seen[1]).any(dim=1).nonzero()[:, 0] - pack.bounds[2]
    window = 4 if family == "modernbert" else 1000  # half of 8, to each side
    assert moved.tolist() == [i for i in range(30) if abs(i - at) <= window]


def test_modernbert_pools_the_mean_where_its_configuration_says_so() -> None:
    tokens, model = labelled_tokens(LENGTHS), small_classifier("modernbert", classifier_pooling="mean").eval()
    wanted = torch.stack([alone(model, tokens, sample) for sample in range(6)])
    cut_at_samples(model)
    torch.testing.assert_close(torch.from_numpy(all_logits(model, tokens, 64)).float(), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("window", [None, 40, 300])
def test_the_block_mask_that_looks_both_ways_is_the_mask(window: int | None) -> None:
    pack = build_pack(random_tokens([100, 3, 60, 2, 21, 9, 530, 7]), np.arange(8), 768)
    rows = FlexRows(768, (window,) if window else (), torch.device("cpu"), causal=False).load(pack)
    mask, at = rows.masks[window], torch.arange(768)
    whole = pack.start_T[None] == pack.start_T[:, None]
    if window:
        whole &= (at[None] - at[:, None]).abs() < window
    assert torch.equal(mask.block_mask.mask_mod(0, 0, at[:, None], at[None]), whole)
    assert lists_whole_blocks(mask, whole) == (window != 40)


@pytest.mark.parametrize("method", ["lora", "p_tuning_v2", "prompt", "adapter", "ln"])
@pytest.mark.parametrize("family", ["bert", "qwen3"])
def test_what_is_saved_loads_and_the_rest_is_untouched(family: str, method: str, tmp_path: Path) -> None:
    """By plain PEFT (our own adapters by their method): the head is saved too; frozen weights are bit by bit as they
    were after a step."""
    tokens, model = labelled_tokens(LENGTHS), prepared(family, method)
    frozen = {name: p.clone() for name, p in model.named_parameters() if not p.requires_grad}
    cut_at_samples(model)
    virtual = virtual_of(unwrapped(model))
    tokens.virtual = virtual.places if virtual else 0
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    head_loss(model, build_pack(tokens, np.arange(6), 256)).backward()
    optimizer.step()
    assert all(torch.equal(dict(model.named_parameters())[name], p) for name, p in frozen.items())
    wanted = all_logits(model.eval(), tokens, 256)
    METHODS[method].save(model, tmp_path)
    base = small_classifier(family)
    loaded = METHODS[method].load(base, tmp_path) if method == "adapter" else PeftModel.from_pretrained(base, tmp_path)
    found = torch.stack([alone(loaded.eval(), tokens, sample) for sample in range(6)])
    torch.testing.assert_close(found, torch.from_numpy(wanted).float(), rtol=1e-4, atol=1e-5)
