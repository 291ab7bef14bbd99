"""The plan against independent recounts, and what it chooses when memory is short."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tune import plan as planning
from tune import survey
from tune.config import Config
from tune.data import Tokens
from tune.device import GIB, Device
from tune.errors import UserError
from tune.memory import LINEARS, Setting, Shape, estimate
from tune.pack import step_samples
from tune.plan import Plan, count_steps, make_plan, timed
from tune.plan_table import print_plan
from tune.survey import choose_row_tokens, survey_rows
from tune.timing import Probe, duration, probe

H100 = Device("cuda", "NVIDIA H100", 80 * GIB, 2)
CPU = Device("cpu", "CPU", 8 * GIB, 4)
#: Qwen3-1.7B with LoRA of rank 16.
SHAPE = Shape(2048, 28, 6144, 16, 8, 128, 151936, total=1_738_007_552, trainable=17_432_576, qk_norm=True)
TINY = Shape(256, 4, 768, 4, 2, 64, 2000, total=3_500_000, trainable=3_500_000, qk_norm=True)


def tokens_of(lengths: Any, learnt: Any = 3, **counts: int) -> Tokens:
    """Samples whose last `learnt` tokens are learnt."""
    lengths = np.asarray(lengths, dtype=np.int64)
    learnt = np.broadcast_to(learnt, lengths.shape)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    learn_L = np.zeros(offsets[-1], dtype=np.uint8)
    for end, n in zip(offsets[1:], learnt, strict=True):
        learn_L[end - n : end] = 1
    n = len(lengths)
    ids_L = np.zeros(len(learn_L), dtype=np.int32)
    return Tokens(ids_L, learn_L, offsets, (lengths - learnt).astype(np.int32), np.arange(n), counts, "key")


def corpus(n: int, mean: float = 62, spread: float = 15, seed: int = 0) -> Tokens:
    lengths = np.random.default_rng(seed).normal(mean, spread, n).clip(10, None).astype(np.int64)
    return tokens_of(lengths, read=n + 7, dropped=4, unlabelled=3, truncated=2)


def config(**changes: Any) -> Config:
    return Config(**{"model": "qwen", "method": "lora", **changes})


def plan(tokens: Tokens | dict[str, Tokens], **options: Any) -> Plan:
    parts = tokens if isinstance(tokens, dict) else {"train": tokens}
    shape, device = options.pop("shape", SHAPE), options.pop("device", H100)
    limits = {key: options.pop(key) for key in ("memory", "attention") if key in options}
    return make_plan("lcqmc", parts, shape, config(**options), device, **limits)


@settings(max_examples=30)
@given(
    lengths=st.lists(st.integers(4, 90), min_size=1, max_size=120),
    batch=st.integers(1, 40),
    epochs=st.sampled_from([0.5, 1.0, 2.4]),
    seed=st.integers(0, 3),
)
def test_counts_are_those_of_a_recount(lengths: list[int], batch: int, epochs: float, seed: int) -> None:
    learnt = np.random.default_rng(seed).integers(1, np.array(lengths))
    found = plan(tokens_of(lengths, learnt), batch=batch, epochs=epochs, seed=seed, pack=128)
    steps = [step for epoch in range(3) for step in step_samples(len(lengths), batch, seed, epoch)]
    steps = steps[: math.ceil(round(epochs * math.ceil(len(lengths) / batch), 6))]
    rows: list[list[int]] = []
    most = 0
    for step in steps:
        first = len(rows)
        rows.append([])
        for sample in step.tolist():
            if sum(lengths[i] for i in rows[-1]) + lengths[sample] > 128:
                rows.append([])
            rows[-1].append(sample)
        most = max(most, len(rows) - first)
    assert (found.packs, found.steps, found.most_packs) == (len(rows), len(steps), most)
    assert found.fill == pytest.approx(sum(lengths[i] for row in rows for i in row) / (128 * len(rows)), abs=1e-4)
    assert found.packs_per_step == pytest.approx(len(rows) / len(steps), abs=1e-3)
    assert (found.samples, found.tokens, found.longest) == (len(lengths), sum(lengths), max(lengths))
    assert found.answer_tokens == learnt.sum()
    answers = max(sum(int(learnt[i]) for i in row) for row in rows)
    assert survey_rows(tokens_of(lengths, learnt), config(batch=batch, seed=seed), 128, len(steps)).answers == answers


def test_learnt_tokens_are_counted_beyond_a_byte() -> None:
    """learn_L is uint8; a sample may teach more tokens than that holds."""
    assert survey_rows(tokens_of([700], 600), config(), 1024, 1).answers == 600


def test_counts_beyond_the_kept_samples_come_from_tokenising() -> None:
    found = plan({"train": corpus(500), "validation": corpus(40)})
    assert (found.dropped, found.unlabelled, found.truncated) == (4, 3, 2)
    assert found.splits["validation"] == {"samples": 40, "read": 47, "dropped": 4, "unlabelled": 3, "truncated": 2}


@pytest.mark.parametrize(
    ("samples", "changes", "steps"),
    [
        (640, {"epochs": 3.0}, 30),
        (641, {"epochs": 3.0}, 33),
        (640, {"epochs": 0.1}, 1),
        (1920, {"epochs": 0.1}, 3),  # 0.1 * 30 is a hair above 3
        (640, {"epochs": 0.01}, 1),
        (640, {"epochs": 3.0, "steps": 7}, 7),
        (5, {"epochs": 2.0}, 2),
    ],
)
def test_steps(samples: int, changes: dict[str, Any], steps: int) -> None:
    assert count_steps(samples, config(**changes)) == steps
    assert plan(corpus(samples), **changes).steps == steps


def test_warm_up_is_what_the_schedule_does() -> None:
    from tune.optim import schedule

    for steps, warmup in ((100, 0.07), (100, 0.03), (7, 0.2), (50, 0.0)):
        rising = plan(corpus(64), steps=steps, warmup=warmup).warmup_steps
        factors = [schedule("constant", step, steps, warmup) for step in range(steps)]
        assert sum(factor < 1 for factor in factors) == max(0, rising - 1)


@given(
    lengths=st.lists(st.integers(2, 3000), min_size=1, max_size=60),
    batch=st.integers(1, 300),
    most=st.sampled_from([1024, 4096, 32768]),
)
def test_a_row_is_whole_blocks_and_holds_any_sample(lengths: list[int], batch: int, most: int) -> None:
    row = choose_row_tokens(np.array(lengths), batch, most, max(lengths))
    assert row % 128 == 0 and row >= max(lengths)
    if 4 * max(lengths) <= most:
        assert row <= most


DISTRIBUTIONS = {
    "short": lambda rng: rng.normal(62, 15, 20_000).clip(20, 200),
    "uniform": lambda rng: rng.uniform(40, 400, 20_000),
    "skewed": lambda rng: rng.lognormal(math.log(110), 0.5, 20_000).clip(10, 1024),
}


@pytest.mark.parametrize(("batch", "fill"), [(64, 0.82), (256, 0.89), (1024, 0.94)])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_rows_are_full_and_steps_rarely_need_one_more(name: str, batch: int, fill: float) -> None:
    """The more samples a step has, the less its length varies."""
    lengths_N = DISTRIBUTIONS[name](np.random.default_rng(0)).astype(np.int64)
    tokens = tokens_of(lengths_N)
    for most in (32768, 8192):
        row = choose_row_tokens(lengths_N, batch, most, int(lengths_N.max()))
        assert row <= most
        found = survey_rows(tokens, config(batch=batch), row, 20_000 // batch)
        assert found.fill >= fill


def test_a_long_run_is_counted_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = corpus(2000)
    whole = plan(tokens, epochs=10.0)
    monkeypatch.setattr(survey, "COUNTED", 4000)
    part = plan(tokens, epochs=10.0)
    assert part.packs == pytest.approx(whole.packs, rel=0.02)
    assert whole.notes == () and "packs counted over 64 of 320 steps" in part.notes[0]


def test_a_pack_that_is_asked_for_is_taken_or_refused() -> None:
    tokens = {"train": tokens_of([50] * 64), "test": tokens_of([300, 20])}
    assert plan(tokens, pack=384).pack == 384
    with pytest.raises(
        UserError, match=r"pack: 256 .* test has a sample of 300; give pack=384, or a max_length of at m"
    ):
        plan(tokens, pack=256)
    with pytest.raises(UserError, match=r"whole blocks of 128 tokens; give pack=512"):
        plan(tokens, pack=400)
    assert plan(tokens, pack=400, device=CPU, shape=TINY).pack == 400


@pytest.mark.parametrize("tokens", [{}, {"train": tokens_of([])}, {"validation": tokens_of([9])}])
def test_nothing_to_learn_from(tokens: dict[str, Tokens]) -> None:
    with pytest.raises(UserError, match="run lcqmc: no sample of its train split"):
        plan(tokens)


BIG = {"batch": 1024, "compile": "on"}  # 63,000 tokens a step


def test_rows_shrink_before_checkpointing_and_then_again() -> None:
    tokens = corpus(4096)
    found = {gib: plan(tokens, memory=gib * GIB, **BIG) for gib in (100, 60, 30, 12, 8)}
    assert [found[gib].checkpointing for gib in found] == [False, False, False, True, True]
    packs = [found[gib].pack for gib in found]
    assert packs[0] > packs[1] > packs[2] > 7000 and packs[3] > packs[2] and packs[4] < packs[3]
    assert found[100].checkpointing_why == "everything fits" and found[100].notes == ()
    assert f"packs of {packs[2]:,} tokens, not {packs[0]:,}, to stay within memory" in found[30].notes
    assert "without it, packs of" in found[12].checkpointing_why
    for gib, one in found.items():
        assert one.memory["peak"] <= one.memory["limit"] == int(0.85 * gib * GIB)
        assert sum(one.memory["parts"].values()) == one.memory["peak"]


def test_what_was_asked_for_is_kept() -> None:
    tokens = corpus(4096)
    assert plan(tokens, checkpointing="on", **BIG).checkpointing
    small = plan(tokens, checkpointing="off", memory=9 * GIB, **BIG)
    assert not small.checkpointing and small.pack < 4000 and small.checkpointing_why == "as asked for"
    fixed = plan(tokens, pack=16384, memory=12 * GIB, **BIG)
    assert fixed.pack == 16384 and fixed.checkpointing
    with pytest.raises(UserError):
        plan(tokens, pack=16384, checkpointing="off", memory=12 * GIB, **BIG)


def test_too_little_memory_is_one_error_that_says_what_to_do() -> None:
    with pytest.raises(UserError) as error:
        plan(corpus(640), memory=3 * GIB)
    (message,) = error.value.messages
    assert message.startswith("too little memory for the plan: it needs 4.")
    assert "weights 3.2 GiB" in message and "may use 2.5 GiB (85% of --memory)" in message and "max_length" in message
    with pytest.raises(UserError, match=r"85% of NVIDIA T4"):
        plan(corpus(640), device=Device("cuda", "NVIDIA T4", 3 * GIB, 2))


def test_the_estimate_is_of_what_was_planned() -> None:
    """The plan hands on the rows' learnt tokens, number, length, the method's targets and layers."""
    tokens = corpus(640)
    found = plan(tokens, batch=64, pack=1024, targets=["self_attn.q_proj", "v_proj"], r=8, compile="on")
    rows = survey_rows(tokens, config(batch=64), 1024, found.steps)
    wanted = Setting(1024, rows.answers, "lora", rows=rows.most, compiled=True, rank=8, targets=("q_proj", "v_proj"))
    assert rows.most > 1 and found.memory["parts"] == estimate(SHAPE, wanted).parts
    frozen = plan(tokens, method="freeze", layers=3, pack=4608, compile="off")
    rows = survey_rows(tokens, config(), 4608, frozen.steps)
    wanted = Setting(4608, rows.answers, "freeze", rows=rows.most, targets=LINEARS, trained_layers=3)
    assert frozen.memory["parts"] == estimate(SHAPE, wanted).parts


def test_compiling_is_for_long_runs_on_a_gpu() -> None:
    tokens = corpus(4000)
    long, short = plan(tokens, epochs=100.0), plan(tokens, epochs=1.0)
    assert long.compile and not short.compile
    # 100 epochs of 4,000 samples of 62 tokens, LoRA: 4 operations a weight and token, 1.41e9 weights.
    seconds = 100 * int(tokens.lengths.sum()) * 4 * 1.409e9 / planning.EAGER_FLOPS
    assert long.compile_why == f"the run would last about {duration(seconds)} without it"
    assert not plan(tokens, epochs=100.0, device=CPU, shape=TINY).compile
    assert plan(tokens, compile="on").compile and not plan(tokens, epochs=100.0, compile="off").compile


def test_what_the_estimate_leaves_out_is_said() -> None:
    assert any("DoRA" in note for note in plan(corpus(64), dora=True).notes)
    assert any("dropout" in note for note in plan(corpus(64), dropout=0.1).notes)
    assert plan(corpus(64), shape=replace(SHAPE, notes=("about experts",))).notes == ("about experts",)


def test_the_plan_is_pure_and_goes_into_a_file(tmp_path: Path) -> None:
    one, two = (plan(corpus(900), attention="flex", seed=3) for _ in range(2))
    assert one == two
    one.write(tmp_path)
    read = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    for key in ("samples", "tokens", "dropped", "truncated", "packs", "steps", "parameters", "memory", "seconds"):
        assert key in read
    assert read["parameters"] == {"total": SHAPE.total, "trainable": SHAPE.trainable}
    assert read["notes"] == [] and read["attention"] == "flex" and read["seconds"] is None


def test_seconds_come_from_a_probe() -> None:
    ticks = iter([0, 30, 30, 32, 32, 33, 33, 35])
    calls: list[int] = []
    measured = probe(lambda: calls.append(1), rows=3, clock=lambda: next(ticks))
    assert measured == Probe(row=2, start=28) and len(calls) == 4
    compiled = timed(plan(corpus(900), compile="on"), measured)
    assert compiled.seconds == 2 * compiled.packs and compiled.compile_seconds == 28
    assert timed(plan(corpus(900), compile="off"), measured).compile_seconds is None


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (99, "99 s"), (150, "2 min"), (5940, "99 min"), (7500, "2 h 05 min")]
)
def test_duration(seconds: float, words: str) -> None:
    assert duration(seconds) == words


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_the_table(stream: type[io.StringIO], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    tokens = {"train": corpus(900), "validation": corpus(50)}
    found = timed(plan(tokens, compile="on", dora=True, model="[my]/qwen"), Probe(0.5, 20.0))
    out = stream()
    print_plan(found, out)
    text = out.getvalue()
    for words in (
        "[my]/qwen, method lora, on NVIDIA H100",
        "900, 2 of them shortened, 4 dropped as too long, 3 without a label",
        "50 samples",
        "17,432,576 of 1,738,007,552 trainable (1.00%)",
        "off: everything fits",
        "on: as asked for",
        f"of {found.pack:,} tokens",
        f"about {duration(found.packs * 0.5)} of training, and 20 s to compile",
        "note: the memory estimate is of plain LoRA",
    ):
        assert words in text, words
    assert "  weights" in text and "masters" in text
