"""A resumed training is the uninterrupted one, bit for bit, wherever it was cut off."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from toy_training import TRAIN, VALID, Toy, metrics, toy_config, toy_loss, toy_nll, toy_tokens, toy_train

from tune import checkpoint
from tune.errors import UserError
from tune.loop import train

STEPS = 12
TESTS = Path(__file__).resolve().parents[1]


def assert_same_run(one: Path, other: Path) -> None:
    """The same lines of metrics, and the same bytes of weights, optimiser and random states at the end."""
    assert metrics(one) == metrics(other)
    a, b = (checkpoint.load(path / "checkpoints" / "last") for path in (one, other))
    assert a.state["rng"] == b.state["rng"]
    for left, right in ((a.weights, b.weights), (a.optimizer, b.optimizer)):
        assert left.keys() == right.keys() and left
        assert all(torch.equal(tensor, right[name]) for name, tensor in left.items())
    cursors = [saved.state["cursor"] for saved in (a, b)]
    assert all(cursor.pop("seconds") > 0 for cursor in cursors)
    assert cursors[0] == cursors[1]


def cut_off(straight: Path, out: Path, step: int, extra: str = "") -> None:
    """What a kill after `step` leaves: the checkpoints until then, and lines of metrics from beyond."""
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(straight, out, symlinks=True)
    for folder in (out / "checkpoints").glob("step-*"):
        if int(folder.name.removeprefix("step-")) > step:
            shutil.rmtree(folder)
    with (out / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write(extra)


@pytest.mark.parametrize(("dtype", "stops"), [(torch.float32, range(1, STEPS)), (torch.bfloat16, (1, 5, 8))])
def test_resume_at_any_step(tmp_path: Path, dtype: torch.dtype, stops: Sequence[int]) -> None:
    def run(out: Path, **options: Any) -> Any:
        model = Toy(dropout=0.3, dtype=dtype)
        return toy_train(out, model=model, save_every=1, eval_every=5, keep=STEPS, pack=40, options=options)

    straight = run(tmp_path / "straight")
    assert straight.steps == STEPS
    for step in stops:
        out = tmp_path / "resumed"
        cut_off(tmp_path / "straight", out, step, extra='{"step": 99, "loss"')
        torch.rand(step)  # wherever the random numbers stand
        # Frozen weights come with the base model, the trained ones from the checkpoint.
        result = run(out, resume=True)
        assert (result.steps, result.tokens, result.best_step) == (STEPS, straight.tokens, straight.best_step)
        assert_same_run(tmp_path / "straight", out)


def test_dropout_is_really_drawn(tmp_path: Path) -> None:
    """Without the random states the trajectory would be another one: the test above has teeth."""
    toy_train(tmp_path / "straight", save_every=1, keep=STEPS)
    cut_off(tmp_path / "straight", tmp_path / "resumed", 5)
    state = tmp_path / "resumed" / "checkpoints" / "step-00000005" / "state.json"
    value = json.loads(state.read_text(encoding="utf-8"))
    torch.manual_seed(123)
    value["rng"] = checkpoint.rng_state()
    state.write_text(json.dumps(value), encoding="utf-8")
    manifest = state.with_name("manifest.json")
    hashes = json.loads(manifest.read_text(encoding="utf-8")) | {"state.json": checkpoint._sha256(state)}
    manifest.write_text(json.dumps(hashes), encoding="utf-8")
    toy_train(tmp_path / "resumed", save_every=1, keep=STEPS, options={"resume": True})
    assert metrics(tmp_path / "straight") != metrics(tmp_path / "resumed")


def test_patience_and_best_survive(tmp_path: Path) -> None:
    losses = {2: 3.0, 4: 1.0, 6: 2.0, 8: 2.0, 10: 2.0, 12: 2.0}

    def run(out: Path, resume: bool = False) -> Any:
        at: list[int] = []

        def see(event: dict[str, Any]) -> None:
            at.append(event.get("step", 0))

        def nll_fn(*args: Any) -> Any:
            return np.array([losses[at[-1]]]), np.array([1])

        options = {"nll_fn": nll_fn, "report": see, "resume": resume}
        return toy_train(out, eval_every=2, save_every=1, patience=3, keep=STEPS, options=options)

    straight = run(tmp_path / "straight")
    assert (straight.steps, straight.best_step) == (10, 4)
    for step in (1, 3, 5, 7, 9):
        cut_off(tmp_path / "straight", tmp_path / "resumed", step)
        assert run(tmp_path / "resumed", resume=True).steps == 10
        assert_same_run(tmp_path / "straight", tmp_path / "resumed")


CHILD = """
import sys, time
sys.path.insert(0, {tests!r})
import torch
torch.set_num_threads(1)
from pathlib import Path
from toy_training import toy_loss, toy_train

out, stop, resume = Path(sys.argv[1]), int(sys.argv[2]), len(sys.argv) > 3
done = 0

def report(event):
    global done
    done = event["step"] if event["kind"] == "step" else done

def loss_fn(model, pack):
    loss = toy_loss(model, pack)
    if done == stop:
        print("in mid-step", flush=True)
        time.sleep(600)
    return loss

toy_train(out, save_every=2, options={{"loss_fn": loss_fn, "report": report, "resume": resume}})
"""


def test_sigkill_in_mid_step(tmp_path: Path) -> None:
    """A real process, really killed, twice: between checkpoints, and right after one."""
    out = tmp_path / "killed"

    def child(stop: int, *more: str) -> subprocess.Popen[str]:
        script = CHILD.format(tests=str(TESTS))
        command = [sys.executable, "-c", script, str(out), str(stop), *more]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=TESTS.parent)

    for stop, more in ((5, ()), (8, ("resume",))):
        with child(stop, *more) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "in mid-step\n"
            process.send_signal(signal.SIGKILL)
            assert process.wait(timeout=60) == -signal.SIGKILL
        assert metrics(out)[-1]["step"] == stop
        newest = checkpoint.newest(out / "checkpoints")
        assert newest is not None and newest.name == checkpoint.step_name(stop - stop % 2)
    toy_train(out, save_every=2, options={"resume": True})
    toy_train(tmp_path / "straight", save_every=2)
    assert_same_run(tmp_path / "straight", out)


def test_a_packed_model_with_lora_and_dropout_resumes_too(tmp_path: Path) -> None:
    from rows_of_tokens import VOCABULARY as WORDS
    from rows_of_tokens import small_model

    from tune.methods import METHODS
    from tune.objectives import cut_at_samples

    assert WORDS > 31  # the toy's tokens are words of this model too
    config = toy_config(
        method="lora", r=4, dropout=0.2, lr=0.01, steps=6, save_every=1, keep=9, eval_every=4, loraplus=4.0, batch=6
    )

    def run(out: Path, resume: bool = False) -> torch.nn.Module:
        model = METHODS["lora"].prepare(small_model("qwen3"), config)
        cut_at_samples(model)
        train(model, TRAIN, VALID, config, out, SimpleNamespace(pack=64, steps=6), resume=resume)
        return model

    whole = run(tmp_path / "straight")
    for step in (1, 4):
        cut_off(tmp_path / "straight", tmp_path / "resumed", step)
        again = run(tmp_path / "resumed", resume=True)
        assert_same_run(tmp_path / "straight", tmp_path / "resumed")
        for (name, p), q in zip(whole.named_parameters(), again.parameters(), strict=True):
            assert torch.equal(p, q), name


# What is refused


def refuse(out: Path, **changes: Any) -> str:
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(UserError) as caught:
        toy_train(out, options={"resume": True}, **changes)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before, "nothing is lost"
    (message,) = caught.value.messages
    return message


def test_nothing_to_resume(tmp_path: Path) -> None:
    assert "nothing to resume" in refuse(tmp_path)
    (tmp_path / "checkpoints" / ".step-00000001").mkdir(parents=True)  # a kill in the first checkpoint
    assert "nothing to resume" in refuse(tmp_path)


def test_other_settings_are_named(tmp_path: Path) -> None:
    toy_train(tmp_path, save_every=3, steps=6)
    message = refuse(tmp_path, save_every=3, steps=6, lr=0.5, betas=(0.5, 0.9))
    assert "lr 0.02 → 0.5" in message and "betas [0.9, 0.999] → [0.5, 0.9]" in message and "seed" not in message
    assert "data" in refuse_data(tmp_path)
    # What moves no weight may change.
    cut_off(tmp_path, tmp_path.with_name("free"), 4)
    result = toy_train(tmp_path.with_name("free"), save_every=1, keep=7, steps=6, options={"resume": True})
    assert result.steps == 6
    assert metrics(tmp_path.with_name("free")) == metrics(tmp_path)


def refuse_data(out: Path) -> str:
    config = toy_config(save_every=3, steps=6)
    plan = SimpleNamespace(pack=64, steps=6)
    with pytest.raises(UserError) as caught:
        train(Toy(), toy_tokens(30, 7), VALID, config, out, plan, loss_fn=toy_loss, nll_fn=toy_nll, resume=True)
    return caught.value.messages[0]


def test_a_finished_tuning(tmp_path: Path) -> None:
    model, again = Toy(dropout=0.2), Toy(dropout=0.2, seed=1)
    toy_train(tmp_path, model=model)
    # Killed after the last step, before the result was saved: --resume gives the weights once more.
    result = toy_train(tmp_path, model=again, options={"resume": True})
    assert result.steps == STEPS and result.loss is not None
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), again.parameters(), strict=True))
    (tmp_path / "adapter").mkdir()
    assert "finished" in refuse(tmp_path)


def test_a_corrupt_checkpoint_and_its_cure(tmp_path: Path) -> None:
    toy_train(tmp_path / "straight", save_every=3, keep=9)
    cut_off(tmp_path / "straight", tmp_path / "resumed", 9)
    newest = checkpoint.newest(tmp_path / "resumed" / "checkpoints")
    assert newest is not None and newest.name == "step-00000009"
    with (newest / "optimizer.safetensors").open("ab") as file:
        file.write(b"x")
    message = refuse(tmp_path / "resumed", save_every=3, keep=9)
    assert message.startswith("corrupt checkpoint") and "goes on from step-00000008" in message
    shutil.rmtree(newest)
    toy_train(tmp_path / "resumed", save_every=3, keep=9, options={"resume": True})
    assert_same_run(tmp_path / "straight", tmp_path / "resumed")
