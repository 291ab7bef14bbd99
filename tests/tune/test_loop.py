"""The loop: what it writes, what it stops at, and that packing, splitting and preparing ahead change nothing."""

from __future__ import annotations

import json
import math
import os
import signal
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_training import TRAIN, VALID, Toy, metrics, toy_loss, toy_nll, toy_train

from tune.errors import UserError
from tune.loop import _Training
from tune.optim import Optimizer
from tune.pack import Pack, step_samples
from tune.step import Stepper
from tune.watch import DIVERGED_STEPS, Watch, chance_loss

STEPS = 12  # three epochs of four steps


def steps_of(out: Path) -> list[dict[str, Any]]:
    return [line for line in metrics(out) if "kind" not in line]


def evals_of(out: Path) -> list[dict[str, Any]]:
    return [line for line in metrics(out) if line.get("kind") == "eval"]


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_it_learns_and_writes_down_every_step(tmp_path: Path) -> None:
    result = toy_train(tmp_path, model=Toy())
    lines = steps_of(tmp_path)
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    assert lines[-1]["loss"] < 0.7 * lines[0]["loss"]
    assert [line["epoch"] for line in lines[3::4]] == [1, 2, 3]
    assert result.steps == STEPS and result.oom_splits == 0
    assert result.tokens == sum(line["tokens"] for line in lines) == 3 * int(TRAIN.lengths.sum())
    assert sum(line["answers"] for line in lines) == 3 * int(TRAIN.learn_L.sum())
    assert result.loss == lines[-1]["loss"]
    assert result.tokens_per_second > 0 and result.peak_memory > 1 << 20
    assert [line["step"] for line in evals_of(tmp_path)] == [4, 8, 12]
    assert result.best_loss == min(line["answer_loss"] for line in evals_of(tmp_path))


def test_loss_and_learning_rate_by_hand(tmp_path: Path) -> None:
    """The first line is the mean over the step's answer tokens before the update; lr follows the schedule."""
    model = Toy()
    toy_train(tmp_path, model=model, schedule="linear")
    nll_N, count_N = toy_nll(Toy(), TRAIN, 64, step_samples(len(TRAIN), 8, 0, 0)[0])
    first = steps_of(tmp_path)[0]
    assert first["loss"] == pytest.approx(nll_N.sum() / count_N.sum(), rel=1e-6)
    assert first["answers"] == count_N.sum()
    rates = [line["lr"] / 0.02 for line in steps_of(tmp_path)]
    assert rates == pytest.approx([0.5, 1.0, *(1 - done / 10 for done in range(10))])
    nll_N, count_N = toy_nll(model, VALID, 64, range(len(VALID)))
    assert evals_of(tmp_path)[-1]["answer_loss"] == pytest.approx(nll_N.sum() / count_N.sum(), rel=1e-6)


@pytest.mark.parametrize("pack", [20, 33, 4096])
def test_one_pack_or_many_make_the_same_steps(tmp_path: Path, pack: int) -> None:
    ours, theirs = Toy(), Toy()
    toy_train(tmp_path / "a", model=ours, pack=64)
    toy_train(tmp_path / "b", model=theirs, pack=pack)
    torch.testing.assert_close(weights(ours), weights(theirs), rtol=1e-4, atol=1e-5)
    for a, b in zip(steps_of(tmp_path / "a"), steps_of(tmp_path / "b"), strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-4)


def test_same_seed_same_losses_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        model = Toy(dropout=0.3)
        torch.manual_seed(ord(name))  # whatever was drawn before doesn't count
        toy_train(tmp_path / name, model=model, seed=seed)
    assert metrics(tmp_path / "a") == metrics(tmp_path / "b")
    assert steps_of(tmp_path / "a")[0] != steps_of(tmp_path / "c")[0]


def test_frozen_parameters_are_bit_unchanged(tmp_path: Path) -> None:
    model = Toy()
    before = model.frozen.weight.clone()
    toy_train(tmp_path, model=model)
    assert torch.equal(model.frozen.weight, before)


@pytest.mark.parametrize(("changes", "wanted"), [({"steps": 3}, 3), ({"steps": 14}, 14), ({"epochs": 0.5}, 2)])
def test_number_of_steps(tmp_path: Path, changes: dict[str, Any], wanted: int) -> None:
    assert toy_train(tmp_path, **changes).steps == wanted
    # The last step of an epoch has what is left: 30 samples are 8 + 8 + 8 + 6.
    order = [samples for epoch in range(4) for samples in step_samples(len(TRAIN), 8, 0, epoch)]
    tokens = [int(TRAIN.lengths[samples].sum()) for samples in order[:wanted]]
    assert [line["tokens"] for line in steps_of(tmp_path)] == tokens


# Memory


def out_of_memory_above(limit: int, when: str) -> tuple[Any, list[int]]:
    """A loss that runs out of memory for packs of more real tokens than `limit`, before or after half a backward."""
    seen: list[int] = []

    def loss_fn(model: Any, pack: Pack) -> torch.Tensor:
        loss = toy_loss(model, pack)
        if pack.tokens > limit:
            if when == "backward":
                (3 * loss).backward()  # leaves gradients behind, wrong ones
            raise torch.OutOfMemoryError("simulated")
        seen.append(pack.tokens)
        return loss

    return loss_fn, seen


@pytest.mark.parametrize("when", ["forward", "backward"])
@pytest.mark.parametrize("limit", [70, 20])
def test_running_out_of_memory_changes_nothing(tmp_path: Path, limit: int, when: str) -> None:
    plain, split = Toy(), Toy()
    toy_train(tmp_path / "plain", model=plain, pack=256)
    loss_fn, seen = out_of_memory_above(limit, when)
    events: list[dict[str, Any]] = []
    options = {"loss_fn": loss_fn, "report": events.append}
    result = toy_train(tmp_path / "split", model=split, pack=256, options=options)
    assert max(seen) <= limit and sum(seen) == result.tokens
    torch.testing.assert_close(weights(plain), weights(split), rtol=1e-4, atol=1e-5)
    a, b = steps_of(tmp_path / "plain"), steps_of(tmp_path / "split")
    assert [line["loss"] for line in a] == pytest.approx([line["loss"] for line in b], rel=1e-5)
    assert [line["grad_norm"] for line in a] == pytest.approx([line["grad_norm"] for line in b], rel=1e-4)
    assert result.oom_splits == sum(line.get("oom_splits", 0) for line in b) > 0
    said = [note for note in result.notes if "memory ran out" in note]
    assert len(said) == 1 and {"kind": "note", "text": said[0]} in events


def test_a_sample_alone_too_large_says_what_to_change(tmp_path: Path) -> None:
    loss_fn, _ = out_of_memory_above(10, "forward")
    with pytest.raises(UserError, match=r"one sample of \d+ tokens .* max_length") as caught:
        toy_train(tmp_path, options={"loss_fn": loss_fn})
    assert len(caught.value.messages) == 1


@settings(max_examples=50)
@given(st.integers(1, 20), st.integers(0, 10**6), st.sampled_from([256, 384, 1024]))
def test_splitting_keeps_samples_and_shortens_rows(samples: int, seed: int, row_tokens: int) -> None:
    from toy_training import toy_tokens

    from tune.pack import build_pack

    tokens = toy_tokens(samples, seed, longest=row_tokens // samples)
    stepper = Stepper(None, tokens, Optimizer(Toy()), toy_loss)
    pack = build_pack(tokens, np.arange(samples), row_tokens)
    todo, whole = [pack], []
    while todo:
        pack = todo.pop(0)
        try:
            halves = stepper._split(pack)
        except UserError:
            whole.append(pack)
            assert len(pack.samples) == 1 and pack.row_tokens < pack.tokens + 128
            continue
        assert len(halves) in (1, 2)
        assert all(half.row_tokens <= pack.row_tokens for half in halves)
        assert all(len(half.samples) < len(pack.samples) or half.row_tokens < pack.row_tokens for half in halves)
        todo = halves + todo
    assert [int(pack.samples[0]) for pack in whole] == list(range(samples))
    assert sum(pack.answers for pack in whole) == int(tokens.learn_L.sum())


def test_validation_out_of_memory_takes_shorter_rows(tmp_path: Path) -> None:
    tried = []

    def nll_fn(model: Any, tokens: Any, row_tokens: int, samples: Any) -> Any:
        tried.append(row_tokens)
        if row_tokens > 128:
            raise torch.OutOfMemoryError("simulated")
        return toy_nll(model, tokens, row_tokens, samples)

    toy_train(tmp_path, pack=512, steps=2, options={"nll_fn": nll_fn})
    assert tried == [512, 256, 128]


# What stops it


def broken_from(step: int, how: str) -> Any:
    """A loss that is NaN (or has an infinite gradient) from a step on; one pack a step."""
    calls = iter(range(1, 10**6))

    def loss_fn(model: Any, pack: Pack) -> torch.Tensor:
        loss = toy_loss(model, pack)
        if next(calls) < step:
            return loss
        if how == "loss":
            return loss * math.nan
        loss.register_hook(lambda gradient: gradient * math.inf)
        return loss

    return loss_fn


@pytest.mark.parametrize("how", ["loss", "gradient"])
def test_nan_stops_before_a_checkpoint_is_written(tmp_path: Path, how: str) -> None:
    with pytest.raises(UserError) as caught:
        toy_train(tmp_path, pack=1024, save_every=2, options={"loss_fn": broken_from(6, how)})
    assert len(caught.value.messages) == 1
    for part in (f"step 6: the {how}", "step-00000004", "lr (it is 0.02)"):
        assert part in caught.value.messages[0]
    assert (tmp_path / "checkpoints" / "last").resolve().name == "step-00000004"
    # metrics.jsonl stays JSON, the broken step included.
    lines = [
        json.loads(line, parse_constant=pytest.fail) for line in (tmp_path / "metrics.jsonl").open(encoding="utf-8")
    ]
    assert lines[-1]["step"] == 6 and lines[-1]["grad_norm"] is None
    assert (lines[-1]["loss"] is None) == (how == "loss")


def test_numbers_that_come_late_as_from_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read one step late, they are written in the same order, and still before any checkpoint."""
    toy_train(tmp_path / "at once", save_every=5)
    behind: list[int] = []
    settle = _Training._settle

    def late(self: _Training, *, wait: bool | None = None) -> None:
        settle(self, wait=wait is None)  # the loop says after each step whether it may wait; elsewhere it must
        behind.append(len(self.pending))

    monkeypatch.setattr(_Training, "_settle", late)
    toy_train(tmp_path / "late", save_every=5)
    assert set(behind) == {0, 1}
    assert metrics(tmp_path / "late") == metrics(tmp_path / "at once")
    with pytest.raises(UserError, match="step 6: the loss is nan"):
        toy_train(tmp_path / "nan", pack=1024, save_every=1, valid=None, options={"loss_fn": broken_from(6, "loss")})
    assert (tmp_path / "nan" / "checkpoints" / "last").resolve().name == "step-00000005"


def test_nan_in_the_first_step(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="step 1: the loss is nan: stopped; there was no checkpoint yet"):
        toy_train(tmp_path, pack=1024, options={"loss_fn": broken_from(1, "loss")})


def test_divergence_is_found(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the loss diverged"):
        toy_train(tmp_path, model=Toy(), lr=30.0, warmup=0.5, steps=80, schedule="constant")


def alarm(losses: list[float], chance: float = math.log(1000)) -> int | None:
    watch = Watch()
    for step, loss in enumerate(losses):
        if watch.see(loss, 1.0, chance):
            return step
    return None


def test_the_watch_has_no_false_alarms() -> None:
    falling = [7 * 0.9**step for step in range(40)]
    assert alarm(falling) is None
    assert alarm([*falling, 1e6, *falling]) is None, "one wild batch"
    assert alarm([*falling, *[6.0] * 100]) is None, "bad, but better than guessing"
    assert alarm([12.0] * 100) is None, "never came down: slow, not diverged"
    assert alarm([*([0.05, 0.9] * 100)]) is None, "small and noisy"
    assert alarm([*falling, *[9.0] * 100]) == 40 + DIVERGED_STEPS - 1
    assert alarm([*falling, *[9.0] * 100], chance=math.inf) is None


def test_chance_loss() -> None:
    assert chance_loss(Toy()) == pytest.approx(math.log(31))
    text = SimpleNamespace(get_text_config=lambda: SimpleNamespace(vocab_size=7))
    assert chance_loss(SimpleNamespace(config=text)) == pytest.approx(math.log(7))
    assert chance_loss(torch.nn.Linear(1, 1)) == math.inf


def test_ctrl_c_finishes_the_step_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []

    def press(event: dict[str, Any]) -> None:
        events.append(event)
        if event["kind"] == "step" and event["step"] == 5:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match=r"after step 6 of 12; --resume"):
        toy_train(tmp_path, options={"report": press})
    assert signal.getsignal(signal.SIGINT) is before
    assert (tmp_path / "checkpoints" / "last").resolve().name == "step-00000006"
    assert events[-1]["kind"] == "checkpoint" and events[-1]["step"] == 6
    toy_train(tmp_path, options={"resume": True})
    toy_train(tmp_path.with_name("straight"))
    assert steps_of(tmp_path) == steps_of(tmp_path.with_name("straight"))


def test_the_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    def loss_fn(model: Any, pack: Pack) -> torch.Tensor:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("still here")

    with pytest.raises(KeyboardInterrupt, match="mid-step"):
        toy_train(tmp_path, options={"loss_fn": loss_fn})


def test_it_trains_outside_the_main_thread_too(tmp_path: Path) -> None:
    done: list[Any] = []
    thread = threading.Thread(target=lambda: done.append(toy_train(tmp_path, steps=2)))
    thread.start()
    thread.join()
    assert done[0].steps == 2


# Validation


def scripted(losses: list[float]) -> Any:
    """Validation losses by the book."""
    coming = iter(losses)
    return lambda model, tokens, row_tokens, samples: (np.array([next(coming)]), np.array([1]))


def test_the_best_weights_are_kept_and_patience_ends_it(tmp_path: Path) -> None:
    model, seen = Toy(), {}

    def remember(event: dict[str, Any]) -> None:
        if event["kind"] == "eval":
            seen[event["step"]] = weights(model)

    options = {"nll_fn": scripted([3.0, 2.0, 2.5, 2.0, 9.0]), "report": remember}
    result = toy_train(tmp_path, model=model, eval_every=2, patience=2, options=options)
    assert (result.steps, result.best_step, result.best_loss) == (8, 4, 2.0)
    assert torch.equal(weights(model), seen[4]) and not torch.equal(seen[4], seen[8])
    assert (tmp_path / "checkpoints" / "best").resolve().name == "step-00000004"
    assert (tmp_path / "checkpoints" / "last").resolve().name == "step-00000008"
    assert any("stopped at step 8" in note for note in result.notes)
    assert any("weights of step 4" in note for note in result.notes)


def test_without_validation_the_last_is_the_best(tmp_path: Path) -> None:
    result = toy_train(tmp_path, valid=None)
    assert result.best_step == STEPS and result.best_loss is None
    assert (tmp_path / "checkpoints" / "best").resolve().name == f"step-{STEPS:08d}"
    assert any("no validation" in note for note in result.notes)
    assert evals_of(tmp_path) == []


def test_checkpoints_kept(tmp_path: Path) -> None:
    options = {"nll_fn": scripted([1.0, *[2.0] * 20])}
    toy_train(tmp_path, save_every=1, eval_every=3, keep=2, options=options)
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["best", "last", "step-00000003", "step-00000011", "step-00000012"]


def test_eval_limit_and_how_often(tmp_path: Path) -> None:
    asked: list[int] = []

    def nll_fn(model: Any, tokens: Any, row_tokens: int, samples: Any) -> Any:
        assert model.training
        asked.append(len(list(samples)))
        return toy_nll(model, tokens, row_tokens, samples)

    toy_train(tmp_path, epochs=60.0, eval_limit=5, options={"nll_fn": nll_fn})
    # 60 epochs: once in six of them.
    assert asked == [5] * 10


def test_an_out_with_checkpoints_is_not_overwritten(tmp_path: Path) -> None:
    toy_train(tmp_path, steps=1)
    with pytest.raises(UserError, match="--resume"):
        toy_train(tmp_path, steps=1)


def test_settings_must_be_resolved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="resolve"):
        toy_train(tmp_path, lr=None)
