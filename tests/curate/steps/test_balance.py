"""balance: frequent labels thinned to a multiple of the rarest, by hash."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from contract import check_run
from helpers import curate, manifest, recipe_file, rejects, samples
from hypothesis import given
from hypothesis import strategies as st
from rows import context, frame, key_table, said

from curate.recipefile import load_recipe
from curate.resources import recipe_path
from curate.steps import balance
from curate.steps.balance import Options
from curate.types import UserError

LABELS = {"a": "甲", "b": "乙", "c": "丙", "d": "丁"}


def gone(labels: list[str | None], splits: list[str], seed: int = 0, **options: Any) -> set[int]:
    ctx, chosen = context("classification", LABELS, seed), Options.model_validate(options)
    rows = frame("classification", *({"text": f"文{n}", "label": label} for n, label in enumerate(labels)))
    verdicts = said(balance.judge(key_table(rows, splits, balance, chosen, ctx), chosen, ctx))
    assert all(verdict[1:] == ("reject", "over_ratio", None) for verdict in verdicts)
    return {rid for rid, *_ in verdicts}


@given(st.lists(st.sampled_from("aaaabbc"), max_size=60), st.sampled_from([1.0, 1.5, 2.0, 3.7]))
def test_every_label_keeps_what_the_ratio_allows(labels: list[str], ratio: float) -> None:
    before = Counter(labels)
    away = gone([*labels, "d", None], ["train"] * len(labels) + ["test", "test"], ratio=ratio)
    most = min(before.values(), default=0) * ratio
    after = Counter(label for rid, label in enumerate(labels) if rid not in away)
    assert after == {label: min(n, int(most + 1e-9)) for label, n in before.items()}
    assert not away & {len(labels), len(labels) + 1}, "evaluation rows stay"


def test_ratios_are_taken_as_written() -> None:
    labels = ["a"] * 100 + ["b"] * 500
    assert len(gone(labels, ["train"] * 600, ratio=1.15)) == 500 - 115


def test_chance_decides_and_the_seed_decides_chance() -> None:
    labels = ["a"] * 10 + ["b"] * 90
    away = gone(labels, ["train"] * 100)
    assert len(away) == 80 and away != set(range(20, 100))
    assert gone(labels, ["train"] * 100, seed=1) != away
    # A larger ratio keeps what a smaller one kept.
    assert gone(labels, ["train"] * 100, ratio=3) < away


def test_a_run(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    rows = "".join(f"文{n}\t{int(n % 10 == 0)}\n" for n in range(50))
    for split in ("train", "validation"):
        (source / f"{split}.tsv").write_text(f"text\tlabel\n{rows}", encoding="utf-8")
    recipe = recipe_file(tmp_path / "recipe", "classification", ["normalise", {"balance": {"ratio": 2}}])
    run = curate(recipe, tmp_path / "run", source).path
    assert check_run(run) == []
    assert Counter(row["meta"]["label"] for row in samples(run, "train")) == {"1": 5, "0": 10}
    assert len(samples(run, "validation")) == 50
    said_of = {entry["split"]: entry["reasons"] for entry in manifest(run)["steps"] if entry["step"] == "balance"}
    assert said_of == {"train": {"over_ratio": 35}, "validation": {"over_ratio": 0}}
    assert all((row["fields"], row["kept_id"], row["step"]) == (None, None, "balance") for row in rejects(run))
    assert "没有抽中" not in (text := (run / "README.md").read_text("utf-8")) and "标签太常见" in text


def test_real_domains(corpora: Path, tmp_path: Path) -> None:
    """Thirty domains of a real corpus, the commonest many times the rarest: thinned, and then a part drawn of each."""
    text = recipe_path("ecdt").read_text(encoding="utf-8").replace("  - split: {validation: 0.1}", "  - balance\n#")
    text = text.replace("  - segment: {as: meta}\n", "")
    source = corpora / "ecdt" / "smp2019_nlu_train.json"
    counts = []
    for n, more in enumerate(("ratio: 1.0e+6", "ratio: 3", "ratio: 3}\n  - sample: {rows: 300, per: label")):
        path = tmp_path / f"own{n}.yaml"
        path.write_text(text.replace("  - balance\n", f"  - balance: {{{more}}}\n"), encoding="utf-8")
        run = curate(path, tmp_path / f"run{n}", source).path
        assert check_run(run) == []
        counts.append(Counter(row["meta"]["label"] for row in samples(run, "train")))
    every, balanced, part = counts
    rarest = min(every.values())
    assert max(every.values()) > 10 * rarest
    assert balanced == {label: min(n, 3 * rarest) for label, n in every.items()}
    assert part.total() == min(300, balanced.total())
    for label, n in balanced.items():
        assert abs(part[label] - n * part.total() / balanced.total()) < 1


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("dialogue", None, "'balance' needs labels; task dialogue has none"),
        ("pair", {"ratio": 0.5}, "ratio: "),
        ("pair", {"to": 5}, "step balance has no option 'to'"),
        ("pair", {"ratio": "2"}, "ratio: "),
    ],
)
def test_wrong_recipes(task: str, options: Any, message: str, tmp_path: Path) -> None:
    step = "balance" if options is None else {"balance": options}
    with pytest.raises(UserError) as error:
        load_recipe(recipe_file(tmp_path, task, [step]))
    assert len(error.value.messages) == 1 and message in error.value.messages[0]
