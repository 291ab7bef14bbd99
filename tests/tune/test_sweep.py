"""A grid of settings by successive halving: the rule recounted, the winner trained again, a sweep that was cut off."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tune import sweep as module
from tune.config import resolve
from tune.errors import UserError
from tune.grid import read_grid
from tune.results import Evaluation
from tune.sweep import BEST, SWEEP, sweep
from tune.tuning import tune

RUN = Path(__file__).resolve().parents[1] / "golden" / "pair"
QUICK = ["steps=8", "batch=4", "max_length=200", "max_new_tokens=4"]
#: With a learning rate that is far too high.
GRID = ["lr=1e30,5e-3", "batch=4,2"]


@pytest.fixture(scope="module", autouse=True)
def short_rounds() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LEAST", 2)
        yield


def swept(out: Path, *sets: str, **options: Any) -> tuple[Any, str]:
    stream = io.StringIO()
    asked = {"sets": [*QUICK, *sets], "file": options.pop("file", None)}
    return sweep(RUN, asked, out=out, stream=stream, **options), stream.getvalue()


def error(work: Callable[[], object]) -> str:
    with pytest.raises(UserError) as raised:
        work()
    return raised.value.messages[0]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, str]:
    out = tmp_path_factory.mktemp("tunings") / "s"
    return (out, *swept(out, *GRID))


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]


def test_the_better_half_goes_on(finished: tuple[Path, Any, str]) -> None:
    out, found, said = finished
    assert json.loads((out / SWEEP).read_text(encoding="utf-8")) == found and found["finished"]
    assert [trial["settings"] for trial in found["trials"]] == [
        {"lr": lr, "batch": batch} for lr in (1e30, 5e-3) for batch in (4, 2)
    ]
    # 8 steps halved as often as leaves 2: rounds end after 2, 4 and 8 of them.
    assert [one["steps"] for one in found["rounds"]] == [2, 4, 8]
    assert [one["trials"] for one in found["rounds"]] == [4, 2, 1]
    assert "4 to step 2, then 2 to step 4, then 1 to step 8: 16 steps, 50% of training all to the end; about" in said
    # Once more by hand, from what each trial wrote down itself.
    going = [trial for trial in found["trials"] if not trial.get("failed")]
    assert len(going) == 2 and all(
        "the loss is nan" in t["failed"] or "norm is" in t["failed"] for t in found["trials"][:2]
    )
    for number, steps in enumerate((2, 4, 8)):
        for trial in going:
            evaluations = [line for line in lines(out / trial["trial"]) if line.get("kind") == "eval"]
            lowest = min(line["answer_loss"] for line in evaluations if line["step"] <= steps)
            assert trial["results"][number]["value"] == lowest and trial["results"][number]["steps"] == steps
        ranked = sorted(going, key=lambda trial: trial["results"][number]["value"])
        stay = ranked[: (2, 1, 1)[number]]
        assert all(len(trial["results"]) == number + 1 for trial in going if trial not in stay and steps < 8)
        going = stay
    assert found["best"]["trial"] == going[0]["trial"] and found["best"]["value"] == going[0]["results"][-1]["value"]
    assert found["best"]["settings"]["lr"] == 5e-3
    # Only what may go on keeps its checkpoints, which may be large.
    assert {path.parent.name for path in out.glob("*/checkpoints")} <= {
        t["trial"] for t in found["trials"] if len(t["results"]) == 3
    }


def test_as_text(finished: tuple[Path, Any, str]) -> None:
    out, found, _ = finished
    head, *rows = str(found).split("\n\n")[0].splitlines()
    assert head.split()[:3] == ["trial", "lr", "batch"] and "answer_loss, step 8" in head
    assert rows[0].startswith(found["best"]["trial"]) and rows[0].endswith("best")
    assert rows[1].endswith("stopped after round 2") and "failed: step" in rows[2] and "failed: step" in rows[3]
    assert f"python -m tune train {RUN} --config {out / BEST}" in str(found)


def test_training_with_the_best_settings_is_training_the_best_trial(
    finished: tuple[Path, Any, str], tmp_path: Path
) -> None:
    """So a pause changes nothing, a lent model is the model, and best.yaml leaves nothing out."""
    out, found, _ = finished
    trial, stream = out / found["best"]["trial"], io.StringIO()
    tune(RUN, {"file": out / BEST, "sets": ["eval=none"]}, out=tmp_path / "t", stream=stream)
    assert "doesn't read" not in stream.getvalue()
    timeless = [
        [{k: v for k, v in line.items() if k != "seconds"} for line in lines(f)] for f in (trial, tmp_path / "t")
    ]
    assert timeless[0] == timeless[1] and len(timeless[0]) == 8 + 4


def test_it_goes_on_where_it_was_cut_off(
    finished: tuple[Path, Any, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, expected, _ = finished
    out, calls, real = tmp_path / "s", list[tuple[str, int]](), module.train

    def train(*args: Any, **options: Any) -> Any:
        calls.append((args[4].name, options["until"]))
        result = real(*args, **options)
        if len(calls) == 6:  # in the second round, trained but not yet noted
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(module, "train", train)
    with pytest.raises(KeyboardInterrupt, match=r"in the middle of trial-\d+; the same command goes on from there"):
        swept(out, *GRID)
    found, _ = swept(out, *GRID)
    timeless = [
        [{**t, "results": [{**r, "seconds": 0} for r in t["results"]]} for t in one["trials"]]
        for one in (found, expected)
    ]
    assert timeless[0] == timeless[1] and found["best"] == {**expected["best"], "train": found["best"]["train"]}
    # Nothing twice, but what was cut off.
    assert calls.count(calls[5]) == 2 and len(set(calls)) == len(calls) - 1
    assert [call for call in calls if call[1] == 2] == [(f"trial-{n:02}", 2) for n in range(1, 5)]
    again, _ = swept(out, *GRID)
    assert len(calls) == len(set(calls)) + 1 and again == found
    assert (out / BEST).read_text(encoding="utf-8") == (whole / BEST).read_text(encoding="utf-8")


def test_another_sweep_is_refused_and_other_folders_are_left_alone(
    finished: tuple[Path, Any, str], tmp_path: Path
) -> None:
    out = Path(shutil.copytree(finished[0], tmp_path / "s", symlinks=True))
    assert "holds a sweep of other settings; --force replaces it" in error(lambda: swept(out, "lr=1e-3,1e-2"))
    assert "holds a sweep of other metric, settings" in error(lambda: swept(out, "lr=1,2", metric="accuracy"))
    assert "is there and no sweep; it is left as it is" in error(lambda: swept(out / "trial-01", *GRID))
    (out / SWEEP).write_text("{", encoding="utf-8")
    assert "is damaged; --force begins the sweep anew" in error(lambda: swept(out, *GRID))


def test_a_metric_of_validation_alone_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, seen = module.evaluated, list[list[str]]()

    def evaluated(work: Any, splits: list[str], progress: Any) -> Evaluation:
        seen.append(splits)
        found = real(work, splits, progress)
        # The worse by its loss is the better by this.
        found.splits["validation"]["auc"]["value"] = 0.9 if work.config.lr == 1e-4 else 0.1
        return found

    monkeypatch.setattr(module, "evaluated", evaluated)
    found, _ = swept(tmp_path / "s", "lr=5e-3,1e-4", "steps=4", metric="auc")
    assert seen == [["validation"]] * 3 and found["best"]["settings"] == {"lr": 1e-4} and found["best"]["value"] == 0.9
    assert "trial-02  0.0001         90.0         90.0  best" in str(found)
    assert "did you mean 'auc'?" in error(lambda: swept(tmp_path / "t", "lr=1,2", metric="aux"))


def test_a_head_learns_by_its_own_loss_and_is_chosen_by_its_own_figures(tmp_path: Path) -> None:
    asked = {"model": "tiny-bert", "sets": [*QUICK, "steps=2", "lr=1e-3,1e-2", "class_weights=balanced"]}
    found = sweep(RUN, asked, metric="accuracy", out=tmp_path / "s", stream=io.StringIO())
    assert [len(trial["results"]) for trial in found["trials"]] == [1, 1], found["trials"]
    # Of two labels, which the new head knows nothing of: far from the loss of a word among hundreds.
    assert all(lines(tmp_path / "s" / name)[0]["loss"] < 1.5 for name in ("trial-01", "trial-02"))
    assert "objective: classify\n" in (tmp_path / "s" / BEST).read_text(encoding="utf-8")


def test_where_every_trial_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*args: Any, **options: Any) -> None:
        raise UserError("one sample of 90 tokens doesn't fit the memory")

    monkeypatch.setattr(module, "train", train)
    assert error(lambda: swept(tmp_path / "s", "lr=1,2")) == "trial-01: one sample of 90 tokens doesn't fit the memory"
    assert json.loads((tmp_path / "s" / SWEEP).read_text())["trials"][1]["failed"].startswith("one sample")


# --- grids -----------------------------------------------------------------------------------------------------------


def test_a_grid_is_read_from_sets_and_file(tmp_path: Path) -> None:
    file = tmp_path / "grid.yaml"
    file.write_text("batch: 2\nsweep:\n  lr: [1e-4, 3e-4]\n  r: [8, 16]\n", encoding="utf-8")
    grid = read_grid(["r=4", "targets=[q_proj,v_proj],all-linear", 'prompt_text="好, 的"', "betas=[0.9,0.99]"], file)
    # A single value of a call stands before several of the file.
    assert grid.values == {"lr": [1e-4, 3e-4], "targets": [["q_proj", "v_proj"], "all-linear"]}
    assert grid.fixed == ["r=4", 'prompt_text="好, 的"', "betas=[0.9,0.99]"]
    assert len(grid.points()) == 4 and grid.points()[1] == {"lr": 1e-4, "targets": "all-linear"}
    config = resolve(None, file=file, beside=("sweep",), sets=grid.sets(grid.points()[2]), model="m")
    assert (config.lr, config.targets, config.r, config.batch) == (3e-4, ["q_proj", "v_proj"], 4, 2)
    assert config.prompt_text == "好, 的" and config.betas == (0.9, 0.99)


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ([], "a sweep tries several values of a setting"),
        (["lr=1e-4"], "a sweep tries several values of a setting"),
        (["lr=1e-4,x"], "--set lr=1e-4,x: lr: should be a valid number (given: 'x')"),
        (["lrr=1,2"], "--set lrr=1,2: unknown key 'lrr'; did you mean 'lr'?"),
        (["steps=5,6"], "--set steps=5,6: steps takes one value in a sweep: it is the budget of every trial"),
        (["max_length=50,60"], "could not be compared on the same validation rows"),
        (["pack=256,512"], "no weight depends on it"),
        (["r=8,8"], "a value stands there twice"),
        (["targets=q_proj,v_proj"], "write each value in brackets, like targets=[q_proj,v_proj],all-linear"),
        (["method=lora,ful"], "'ful' is no method; did you mean 'full'?"),
        (["r=8,16"], "r: method full doesn't read that"),
        (["lr=1,2", "layers=x"], "--set layers=x: layers: should be a valid integer"),
    ],
)
def test_wrong_grids(sets: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "load_base", None)
    assert said in error(lambda: swept(tmp_path / "s", *sets))
    assert not (tmp_path / "s").exists()


def test_points_that_a_method_makes_equal_are_tried_once() -> None:
    from tune.runs import open_run

    asked = {"sets": ["method=lora,full", "r=8,16", "lr=1e-3,1e-2"]}
    trials = module._trials(open_run(RUN), read_grid(asked["sets"], None), asked, [])
    shown = [(trial.config.method, trial.config.r, trial.config.lr) for trial in trials]
    assert shown[:4] == [("lora", 8, 1e-3), ("lora", 8, 1e-2), ("lora", 16, 1e-3), ("lora", 16, 1e-2)]
    assert [(method, lr) for method, _, lr in shown[4:]] == [("full", 1e-3), ("full", 1e-2)]
    assert "r" not in trials[4].settings


def test_rounds_keep_half_and_end_with_the_whole_training() -> None:
    rounds = module._rounds([100] * 9)
    assert [one[0] for one in rounds] == [7, 14, 28, 56, 100]
    # A round of fewer than LEAST steps is no round.
    assert module._rounds([5] * 9) == [[3] * 9, [5] * 9] and module._rounds([1, 1]) == [[1, 1]]
    # Trials of other batches take other steps for the same data.
    assert module._rounds([40, 80]) == [[20, 40], [40, 80]]
