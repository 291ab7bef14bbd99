"""The model card, the curve and the table at the end: all from the folder's files, all true, none of the corpus."""

from __future__ import annotations

import io
import itertools
import json
import math
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from tuned_by_hand import make_tuning

from tune.curve import draw_curve, log_ticks, running_mean, thin, ticks
from tune.errors import UserError
from tune.lock import read_lock, write_lock
from tune.model_card import MEANINGS
from tune.report import print_summary, report, summary
from tune.results import append_samples, read_eval, read_lines
from tune.tables import show_figure, text_table

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


@pytest.fixture(scope="module")
def tuning(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tunings") / "pair-tiny-full"
    make_tuning(GOLDEN / "pair", folder, "full")
    assert report(folder) == []
    return folder


def card_of(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


def front_matter(card: str) -> dict:
    assert card.startswith("---\n")
    return dict(YAML(typ="safe").load(card.split("---\n")[1]))


def test_front_matter_for_the_hub(tuning):
    assert front_matter(card_of(tuning)) == {
        "language": ["zh"],
        "license": "apache-2.0",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["jingtiao", "full", "pair"],
    }


def test_the_card_has_every_figure(tuning):
    card, found = card_of(tuning), read_eval(tuning)
    for split in ("validation", "test"):
        assert f"`{split}`，n = {found['tuned'][split]['n']}" in card
        for name, figure in found["tuned"][split].items():
            if isinstance(figure, dict):
                assert show_figure(name, figure) in card, name
                assert f"- `{name}`: " in card
    (line,) = [line for line in card.split("\n") if line.startswith("| `answer_loss` |")][:1]
    base, tuned = (found[model]["validation"]["answer_loss"] for model in ("base", "tuned"))
    assert line == f"| `answer_loss` | {show_figure('answer_loss', base)} | {show_figure('answer_loss', tuned)} |"


def test_the_card_says_where_it_comes_from_and_what_it_is_worth(tuning):
    card = card_of(tuning)
    manifest = json.loads((GOLDEN / "pair" / "manifest.json").read_text(encoding="utf-8"))
    for known in (manifest["fingerprint"][:16], manifest["recipe"]["sha256"][:16], manifest["recipe"]["version"]):
        assert known in card
    assert "`tiny` shows the machinery, not quality" in card
    assert "train 16, validation 6, test 4" in card
    assert "trained parameters 1,000 / 3,000,000" in card
    assert "<|im_start|>user\n…<|im_end|>\n<|im_start|>assistant\n" in card
    assert "lr: 0.002" in card and "\nr: " not in card, "settings of the method, not those of others"
    assert "transformers serve model" in card and "vllm serve model" in card


def test_the_card_holds_no_text_of_the_corpus_and_no_path(tuning):
    text = card_of(tuning) + (tuning / "curve.svg").read_text(encoding="utf-8")
    assert str(tuning.parent) not in text and str(GOLDEN) not in text
    for row in read_lines(tuning / "predictions.jsonl"):
        assert row["prompt"] not in text
    for sample in map(json.loads, (GOLDEN / "pair" / "train.jsonl").read_text(encoding="utf-8").splitlines()):
        assert sample["meta"]["fields"]["a"] not in text


def test_tables_of_the_card_are_whole(tuning):
    lines = card_of(tuning).split("\n")
    rows = [line for line in lines if line.startswith("|")]
    assert rows and {line.count("|") for line in rows} == {4}
    assert sum(line.startswith("```") for line in lines) % 2 == 0
    assert "\n\n\n" not in card_of(tuning)


def test_drawing_twice_gives_the_same_bytes(tuning):
    before = {path.name: path.read_bytes() for path in tuning.iterdir() if path.is_file()}
    report(tuning)
    assert {path.name: path.read_bytes() for path in tuning.iterdir() if path.is_file()} == before


def code_blocks(card: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)\n```", card, flags=re.DOTALL)


def test_the_code_that_loads_it_runs(tuning, monkeypatch, capsys):
    (code,) = code_blocks(card_of(tuning), "python")
    monkeypatch.chdir(tuning)
    exec(compile(code, "card", "exec"), {})
    assert capsys.readouterr().out.strip()


def test_an_adapter_of_a_model_from_the_hub(tmp_path):
    folder = tmp_path / "tuning"
    make_tuning(GOLDEN / "mrc", folder, "lora", evaluated=False)
    lock = read_lock(folder)
    write_lock(lock.config.model_copy(update={"model": "Qwen/Qwen3-0.6B"}), folder, lock.hashes)
    assert report(folder) == ["the tuning was not evaluated: its card has no results"]
    card = card_of(folder)
    assert front_matter(card)["base_model"] == "Qwen/Qwen3-0.6B"
    assert front_matter(card)["base_model_relation"] == "adapter"
    assert front_matter(card)["library_name"] == "peft"
    assert 'PeftModel.from_pretrained(base, "adapter")' in card
    assert "vllm serve Qwen/Qwen3-0.6B --enable-lora --max-lora-rank 16 --lora-modules tuned=adapter" in card
    assert "Not evaluated." in card and "machinery" not in card
    assert "\nr: 16" in card and "alpha: 32" in card


def test_a_base_in_a_folder_goes_by_its_name(tuning, tmp_path):
    folder = Path(shutil.copytree(tuning, tmp_path / "tuning"))
    lock = read_lock(folder)
    write_lock(lock.config.model_copy(update={"model": str(tmp_path / "models" / "Qwen3-0.6B")}), folder, lock.hashes)
    report(folder)
    card = card_of(folder)
    assert str(tmp_path) not in card and "Base model: `Qwen3-0.6B`" in card
    assert "base_model" not in front_matter(card)


def test_a_run_that_is_gone(tuning, tmp_path):
    folder = Path(shutil.copytree(tuning, tmp_path / "tuning"))
    local = json.loads((folder / "local.json").read_text(encoding="utf-8")) | {"run": str(tmp_path / "gone")}
    (folder / "local.json").write_text(json.dumps(local), encoding="utf-8")
    (note,) = report(folder)
    assert note.endswith("the run is gone or another by now: the card doesn't say its corpus and licence")
    assert "license" not in front_matter(card_of(folder))


def test_no_tuning(tmp_path):
    with pytest.raises(UserError, match="no such tuning"):
        report(tmp_path / "nowhere")
    with pytest.raises(UserError, match="not a tuning"):
        report(GOLDEN / "pair")


def test_every_metric_has_a_meaning():
    from tune.metrics import METRICS

    assert set(METRICS) <= set(MEANINGS)


# ---- the table at the end


def test_summary_has_base_tuned_and_baselines(tuning):
    columns, rows = summary(read_eval(tuning))
    assert columns == ["split", "metric", "n", "base", "tuned", "baseline"]
    found = read_eval(tuning)
    by_name = {(row[0], row[1]): row[3:] for row in rows}
    figures = [show_figure("accuracy", found[model]["test"]["accuracy"]) for model in ("base", "tuned")]
    assert by_name["test", "accuracy"] == [*figures, "–"]
    majority = show_figure("majority", found["tuned"]["test"]["majority"])
    assert by_name["test", "majority"] == ["–", "–", majority]
    assert len(rows) == len(by_name) == sum(isinstance(f, dict) for s in found["tuned"].values() for f in s.values())


def test_summary_in_a_pipe_and_on_a_terminal(tuning):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    pipe, terminal = io.StringIO(), Terminal()
    print_summary(tuning, pipe)
    print_summary(tuning, terminal)
    figure = show_figure("f1", read_eval(tuning)["tuned"]["validation"]["f1"])
    for text in (pipe.getvalue(), terminal.getvalue()):
        assert figure in text and "tiny shows the machinery, not quality" in text


def test_figures():
    figure = {"value": 0.868, "low": 0.85, "high": 0.8849}
    assert show_figure("accuracy", figure) == "86.8 [85.0, 88.5]"
    assert show_figure("answer_loss", figure) == "0.868 [0.850, 0.885]"
    assert show_figure("accuracy", {"value": 0.01, "low": -0.02, "high": 0.04}, sign=True) == "+1.0 [-2.0, +4.0]"
    assert show_figure("accuracy", None) == "–"


def test_chinese_takes_two_columns():
    assert text_table(["甲", "b"], [["一二三", "1"], ["x", "10"]]) == "甲       b\n一二三   1\nx       10"


# ---- samples over time


def test_samples_of_a_resumed_run_replace_what_came_after(tmp_path):
    for step in (10, 20, 30):
        append_samples(tmp_path, step, [{"id": "a", "prediction": f"at {step}"}])
    append_samples(tmp_path, 20, [{"id": "a", "prediction": "again"}])
    assert read_lines(tmp_path / "samples.jsonl") == [
        {"step": 10, "id": "a", "prediction": "at 10"},
        {"step": 20, "id": "a", "prediction": "again"},
    ]


# ---- the curve


def steps(n: int) -> list[dict]:
    return [{"step": i, "loss": 4 / i, "lr": 1.0} for i in range(1, n + 1)]


def lines_of(svg: str) -> list[list[tuple[float, float]]]:
    """The points of each line, in the picture's coordinates."""
    root = ElementTree.fromstring(svg)
    lines = root.iter("{http://www.w3.org/2000/svg}polyline")
    return [[tuple(map(float, pair.split(","))) for pair in line.get("points", "").split()] for line in lines]


def test_the_curve_shows_the_losses_where_they_are():
    evals = [{"kind": "eval", "step": 5, "answer_loss": 2.0}, {"kind": "eval", "step": 10, "answer_loss": 1.0}]
    svg = draw_curve([*steps(10), *evals], "a <b> & c")
    raw, smooth, validation = lines_of(svg)
    assert len(raw) == len(smooth) == 10 and len(validation) == 2
    # x from 0 to 10 on 64 … 740, y from 0 to 4 on 364 … 52
    assert raw[0] == pytest.approx((64 + 67.6, 52), abs=0.1)
    assert raw[-1] == pytest.approx((740, 364 - 312 * 0.1), abs=0.1)
    assert validation == [pytest.approx((402, 208), abs=0.1), pytest.approx((740, 286), abs=0.1)]
    texts = ["".join(text.itertext()) for text in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert "a <b> & c" in texts
    assert {"训练步 optimiser step", "答案损失 loss (nats / token)", "验证 validation"} <= set(texts)
    assert {"0", "2", "4", "10"} <= set(texts)


def test_a_loss_that_falls_by_far_is_shown_on_a_logarithmic_axis():
    losses = [8.0, 4.0, 2.0, 1.0, 0.5, 0.25]
    svg = draw_curve([{"step": i, "loss": loss} for i, loss in enumerate(losses)], "t")
    raw, *_ = lines_of(svg)
    falls = [after[1] - before[1] for before, after in itertools.pairwise(raw)]
    assert falls == pytest.approx([falls[0]] * 5, abs=0.2), "each halving is the same way down"
    assert "log)" in svg
    assert "log)" not in draw_curve(steps(9), "t")


@given(st.floats(1e-3, 1e3), st.floats(10, 1e4))
@example(999.9999999999999, 10.0)
def test_logarithmic_ticks_hold_the_range(low, ratio):
    found = log_ticks(low, low * ratio)
    assert found[0] <= low and low * ratio <= found[-1]
    assert 3 <= len(found) <= 14 and found == sorted(found)
    assert found[1] > low and found[-2] < low * ratio


def test_a_curve_without_validation_or_with_one_step():
    assert "validation" not in "".join(ElementTree.fromstring(draw_curve(steps(3), "t")).itertext()).replace(
        "Loss of each training step and of the validation split", ""
    )
    assert draw_curve(steps(1), "t")
    assert draw_curve([], "t") is None
    assert draw_curve([{"kind": "eval", "step": 1, "answer_loss": 1.0}], "t") is None


def test_what_is_no_number_leaves_a_gap():
    lines = [*steps(3), {"step": 4, "loss": None}, {"step": 5, "loss": float("nan")}, {"step": 6, "loss": 0.5}]
    raw, *_ = lines_of(draw_curve(lines, "t"))
    assert len(raw) == 4
    assert "nan" not in draw_curve(lines, "t")


@given(st.integers(1, 3000), st.integers(2, 50))
def test_thinning_keeps_the_ends_and_the_mean(n, most):
    points = [(float(i), float(i % 7)) for i in range(n)]
    thinned = thin(points, most)
    assert len(thinned) == min(n, most)
    assert thinned[-1] == points[-1]
    assert thinned == sorted(thinned)
    assert n <= most or min(y for _, y in points) <= min(y for _, y in thinned)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=60), st.integers(0, 20))
def test_a_running_mean_is_the_mean_around_a_point(values, reach):
    points = [(float(i), value) for i, value in enumerate(values)]
    for i, (x, mean) in enumerate(running_mean(points, reach)):
        near = min(reach, i, len(values) - 1 - i)
        assert x == i
        assert mean == pytest.approx(sum(values[i - near : i + near + 1]) / (2 * near + 1), abs=1e-9)


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.integers(2, 10))
def test_ticks_hold_the_range_and_are_round(low, span, most):
    found = ticks(low, low + span, most)
    step = found[1] - found[0]
    slack = 1e-6 * max(abs(low), abs(low + span), step)
    assert found[0] <= low + slack and low + span <= found[-1] + slack
    assert 2 <= len(found) <= most + 2
    mantissa = step / 10 ** math.floor(math.log10(step) + 1e-3)
    assert any(mantissa == pytest.approx(m, rel=1e-2) for m in (1, 2, 5, 10))
