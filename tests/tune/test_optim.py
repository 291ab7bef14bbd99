"""The optimiser against torch's own, and the schedule's shape."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy_training import Toy

from tune import optim
from tune.optim import SCHEDULES, Optimizer, schedule


def data(seed: int, rows: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(31, (rows,), generator=generator), torch.randint(31, (rows,), generator=generator)


def loss_of(model: Toy, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(model(ids).float(), targets, reduction="sum")


def bits(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def assert_equal(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert torch.equal(tensor, right[name]), name


def test_equals_torch_adamw_on_the_whole_batch() -> None:
    ours, theirs = Toy(), Toy()
    optimizer = Optimizer(ours, weight_decay=0.1, betas=(0.8, 0.95), eps=1e-6)
    trained = [p for p in theirs.parameters() if p.requires_grad]
    decayed, plain = [p for p in trained if p.ndim > 1], [p for p in trained if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}]
    reference = torch.optim.AdamW(groups, betas=(0.8, 0.95), eps=1e-6)
    for step in range(5):
        ids, targets = data(step)
        for part in (slice(0, 7), slice(7, 8), slice(8, 40)):
            (loss_of(ours, ids[part], targets[part]) / 40).backward()
            optimizer.collect()
        norm = optimizer.clip(0.5)
        optimizer.step(1e-2)
        (loss_of(theirs, ids, targets) / 40).backward()
        wanted = torch.nn.utils.clip_grad_norm_(trained, 0.5)
        for group in reference.param_groups:
            group["lr"] = 1e-2
        reference.step()
        reference.zero_grad()
        assert norm > 0.5, "the test wants clipping to happen"
        torch.testing.assert_close(norm, wanted, rtol=1e-5, atol=0)
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6, msg=name)


def test_one_pack_of_an_fp32_model_needs_no_copy() -> None:
    model = Toy()
    optimizer = Optimizer(model)
    loss_of(model, *data(0)).backward()
    gradients = [p.grad for p in optimizer.params]
    optimizer.collect()
    assert all(total is gradient for total, gradient in zip(optimizer.sums, gradients, strict=True))
    assert all(p.grad is None for p in model.parameters())


def test_a_dropped_pack_leaves_nothing() -> None:
    runs = []
    for fail in (False, True):
        model = Toy()
        optimizer = Optimizer(model)
        loss_of(model, *data(0)).backward()
        optimizer.collect()
        if fail:
            loss_of(model, *data(1)).backward()
            optimizer.drop()
        loss_of(model, *data(2)).backward()
        optimizer.collect()
        optimizer.clip(1.0)
        optimizer.step(0.1)
        runs.append(bits(model))
    assert_equal(*runs)


def test_masters_take_steps_that_bf16_cannot() -> None:
    model = Toy(dtype=torch.bfloat16)
    before = bits(model)
    optimizer = Optimizer(model)
    assert {m.dtype for m in optimizer.adamw.masters} == {torch.float32}
    # One step is a tenth of what a bf16 near 1 can hold; eighty of them are not.
    for step in range(80):
        for p in optimizer.params:
            p.grad = torch.ones_like(p)
        optimizer.collect()
        optimizer.step(4e-4)
        if step == 0:
            assert torch.equal(model.norm.weight, before["norm.weight"]), "the first step is too small for bf16"
    assert (before["norm.weight"] - model.norm.weight).float().mean().item() == pytest.approx(80 * 4e-4, rel=0.1)
    for p, master in zip(optimizer.params, optimizer.adamw.masters, strict=True):
        assert torch.equal(p, master.bfloat16())
    assert torch.equal(model.frozen.weight, before["frozen.weight"])


def test_bf16_gradients_add_up_in_fp32() -> None:
    model = Toy(dtype=torch.bfloat16)
    optimizer = Optimizer(model)
    # 256 + 1 is 256 in bf16.
    for value in (256.0, 1.0, 1.0, 1.0):
        for p in optimizer.params:
            p.grad = torch.full_like(p, value)
        optimizer.collect()
    assert all(total is not None and (total == 259.0).all() for total in optimizer.sums)
    count = sum(p.numel() for p in optimizer.params)
    assert optimizer.clip(1e9).item() == pytest.approx(259 * math.sqrt(count), rel=1e-6)


def test_clip_leaves_a_small_gradient_alone_and_scales_a_large_one() -> None:
    model = Toy()
    optimizer = Optimizer(model)
    for limit, wanted in ((1e6, None), (0.25, 0.25)):
        loss_of(model, *data(0)).backward()
        before = [p.grad.clone() for p in optimizer.params if p.grad is not None]
        optimizer.collect()
        norm = optimizer.clip(limit)
        assert optimizer.scale is not None
        after = torch.cat([total.flatten() for total in optimizer.sums if total is not None]) * optimizer.scale
        assert norm.item() == pytest.approx(torch.cat([g.flatten() for g in before]).norm().item(), rel=1e-6)
        if wanted is None:
            assert torch.equal(after, torch.cat([g.flatten() for g in before]))
        else:
            assert after.norm().item() == pytest.approx(wanted, rel=1e-4)
        optimizer.step(0.0)


def test_loraplus_and_decay_groups() -> None:
    class Layer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lora_A = torch.nn.ModuleDict({"default": torch.nn.Linear(4, 2, bias=False)})
            self.lora_B = torch.nn.ModuleDict({"default": torch.nn.Linear(2, 4, bias=False)})
            self.norm = torch.nn.LayerNorm(4)

    model = Layer()
    optimizer = Optimizer(model, weight_decay=0.1, loraplus=16.0)
    found = {
        name: (group["weight_decay"], group["ratio"])
        for group in optimizer.adamw.torch.param_groups
        for name, p in model.named_parameters()
        if any(p is q for q in group["params"])
    }
    assert found == {
        "lora_A.default.weight": (0.1, 1.0),
        "lora_B.default.weight": (0.1, 16.0),
        "norm.weight": (0.0, 1.0),
        "norm.bias": (0.0, 1.0),
    }
    before = bits(model)
    for p in optimizer.params:
        p.grad = torch.ones_like(p)
    optimizer.collect()
    optimizer.step(1e-3)
    moved = {name: (before[name] - p).abs().mean().item() for name, p in model.named_parameters()}
    assert moved["norm.bias"] == pytest.approx(1e-3, rel=1e-3)
    assert moved["lora_B.default.weight"] == pytest.approx(16e-3, rel=2e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_state_goes_out_and_comes_back(dtype: torch.dtype) -> None:
    def steps(model: Toy, optimizer: Optimizer, numbers: range) -> None:
        for number in numbers:
            loss_of(model, *data(number)).backward()
            optimizer.collect()
            optimizer.step(1e-3)

    straight, first, second = Toy(dtype=dtype), Toy(dtype=dtype), Toy(dtype=dtype, seed=9)
    steps(straight, Optimizer(straight), range(6))
    optimizer = Optimizer(first)
    steps(first, optimizer, range(3))
    # Cloned, as a file would hold it: the first optimiser may go on without disturbing the second.
    saved = {name: tensor.clone() for name, tensor in optimizer.state_dict().items()}
    steps(first, optimizer, range(3, 5))
    second.load_state_dict(Toy(dtype=dtype).state_dict())
    again = Optimizer(second)
    if dtype == torch.float32:  # no masters: the parameters stand for themselves
        fresh = Toy()
        steps(fresh, Optimizer(fresh), range(3))
        second.load_state_dict(fresh.state_dict())
    again.load_state_dict(saved)
    steps(second, again, range(3, 6))
    assert_equal(bits(straight), bits(second))


class Kernel:
    """What `tune.adamw.AdamW` does on a GPU, number for number and as strict about its gradients."""

    def __init__(self, params: Any, decays: Any, ratios: Any, *, betas: Any, eps: float) -> None:
        self.params, self.decays, self.ratios, self.betas, self.eps = params, decays, ratios, betas, eps
        self.masters = [p.detach().float().contiguous() for p in params]
        self.exp_avg = [torch.zeros_like(m) for m in self.masters]
        self.exp_avg_sq = [torch.zeros_like(m) for m in self.masters]
        self.seen: set[torch.dtype] = set()

    def step(self, grads: list[torch.Tensor], clip: torch.Tensor, lr: float, count: int) -> None:
        assert len(grads) == len(self.params) and all(g.is_contiguous() for g in grads)
        (kind,) = {g.dtype for g in grads}
        self.seen.add(kind)
        beta1, beta2 = self.betas
        for i, grad in enumerate(grads):
            g, p, m, v = grad.float() * clip, self.masters[i], self.exp_avg[i], self.exp_avg_sq[i]
            m += (g - m) * (1 - beta1)
            v.mul_(beta2).add_(g * g * (1 - beta2))
            p -= p * lr * self.ratios[i] * self.decays[i]
            p -= lr * self.ratios[i] / (1 - beta1**count) * m / (v.sqrt() / math.sqrt(1 - beta2**count) + self.eps)
            self.params[i].copy_(p)


def test_one_kernel_for_everything_makes_the_same_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The GPU's way and the plain one, taking turns over each other's state."""

    def steps(form: Any, numbers: range, state: Any = None) -> tuple[dict[str, torch.Tensor], Any]:
        monkeypatch.setattr(optim, "_form", lambda params: form)
        model = Toy(dtype=torch.bfloat16)
        optimizer = Optimizer(model, weight_decay=0.1, betas=(0.8, 0.95))
        if state:
            optimizer.load_state_dict(state)
        for number in numbers:
            ids, targets = data(number)
            # A step of one pack, then one of three.
            for part in (slice(0, 40),) if number % 2 else (slice(0, 7), slice(7, 8), slice(8, 40)):
                (loss_of(model, ids[part], targets[part]) / 40).backward()
                optimizer.collect()
            optimizer.clip(0.5)
            optimizer.step(1e-2)
        if form is Kernel:
            assert optimizer.adamw.seen == {torch.float32, torch.bfloat16}
        return optimizer.state_dict(), optimizer.weights()

    kernel, plain = optim._form(list(Toy().parameters())), optim.PlainAdamW
    assert kernel is plain, "these are on the CPU"
    wanted, weights = steps(plain, range(6))
    for first, second in ((Kernel, Kernel), (Kernel, plain), (plain, Kernel)):
        found, others = steps(second, range(3, 6), steps(first, range(3))[0])
        assert found.keys() == wanted.keys()
        for name, tensor in wanted.items():
            # bf16 rounding may fall to either side where the masters differ in their last bits.
            torch.testing.assert_close(found[name], tensor, rtol=2e-2, atol=2e-4, msg=name)
        for name, tensor in weights.items():
            torch.testing.assert_close(others[name], tensor, rtol=2e-2, atol=2e-3, msg=name)


def test_a_parameter_without_gradient_stays() -> None:
    model = Toy()
    before = bits(model)
    optimizer = Optimizer(model)
    model.head.weight.grad = torch.ones_like(model.head.weight)
    optimizer.collect()
    optimizer.clip(1.0)
    optimizer.step(0.1)
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {"head.weight"}


@given(st.sampled_from(sorted(SCHEDULES)), st.integers(1, 400), st.floats(0, 0.99))
def test_schedule_rises_then_falls(name: str, steps: int, warmup: float) -> None:
    factors = [schedule(name, step, steps, warmup) for step in range(steps + 1)]
    assert all(0 <= factor <= 1 for factor in factors)
    assert all(factor > 0 for factor in factors[:-1]), "a step that moves nothing is wasted"
    top = factors.index(max(factors))
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)
    assert max(factors) == 1
    assert factors[-1] == (1 if name == "constant" else 0)


def test_schedule_by_hand() -> None:
    assert [schedule("linear", step, 10, 0.2) for step in range(4)] == [0.5, 1.0, 1.0, 0.875]
    assert schedule("cosine", 55, 100, 0.1) == pytest.approx(0.5)
    assert schedule("linear", 0, 100, 0.07) == pytest.approx(1 / 7)
    assert schedule("constant", 99, 100, 0.03) == 1.0
