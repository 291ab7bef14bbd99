"""The whole road on a hand-made run and the tiny model, and every place where it may be cut off."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tune.config import Config, continued, resolve
from tune.errors import UserError
from tune.folder import LOCAL, check_place, open_tuning, read_local
from tune.lock import LOCK, read_lock
from tune.runs import open_run
from tune.tuning import evaluate_again, plan_only, tune

#: Four steps, a checkpoint after each; a minute's work in a second or two.
QUICK = ["steps=4", "save_every=1", "eval_every=4", "batch=4", "max_length=200"]


def asked(*sets: str, **flags: Any) -> dict[str, Any]:
    return {"sets": [*QUICK, *sets], **flags}


def tuned(run: Path, out: Path, *sets: str, **options: Any) -> tuple[dict[str, Any], str]:
    """What `tune` returned, and what it said."""
    stream = io.StringIO()
    return tune(run, asked(*sets), out=out, stream=stream, **options), stream.getvalue()


def losses(out: Path) -> list[float]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]
    return [line["loss"] for line in lines if line.get("kind") != "eval"]


def error(work: Callable[[], object]) -> str:
    with pytest.raises(UserError) as raised:
        work()
    return raised.value.messages[0]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path, dict[str, Any], str]]:
    """A run, its finished tuning, the result and what was said. Not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    golden = Path(__file__).resolve().parents[1] / "golden" / "pair"
    run = Path(shutil.copytree(golden, folder / "runs" / "pair"))
    result, said = tuned(run, folder / "tunings" / "t")
    yield run, folder / "tunings" / "t", result, said


@pytest.fixture
def tuning(finished: tuple[Path, Path, dict[str, Any], str], tmp_path: Path) -> tuple[Path, Path]:
    """The run, and a copy of its finished tuning to be damaged at will."""
    run, out, *_ = finished
    return run, Path(shutil.copytree(out, tmp_path / "tunings" / "t", symlinks=True))


def test_a_tuning_from_end_to_end(finished: tuple[Path, Path, dict[str, Any], str]) -> None:
    run, out, result, said = finished
    files = {LOCK, LOCAL, "plan.json", "metrics.jsonl", "eval.json", "predictions.jsonl", "README.md", "curve.svg"}
    files |= {"samples.jsonl"}
    assert files <= {path.name for path in out.iterdir() if path.is_file()}
    assert not [path for path in out.rglob("*") if "partial" in path.name]
    assert len(losses(out)) == 4
    assert result["training"]["steps"] == 4
    assert set(result["eval"]) == {"base", "tuned"} and set(result["eval"]["tuned"]) == {"validation", "test"}
    assert json.loads(json.dumps(result))["path"] == str(out)
    assert "model tiny: method full instead of lora" in said and "shows the machinery, not quality" in said
    assert f"tuning: {out}\n  serve it with\n  transformers serve {out / 'model'}\n" in said

    lock = read_lock(out)
    assert lock.hashes["run"] == open_run(run).fingerprint
    assert lock.config.pack == result["plan"]["pack"] and lock.config.checkpointing == "off"
    assert open_tuning(out).run.path == run


def test_the_model_loads_in_plain_transformers(finished: tuple[Path, Path, dict[str, Any], str]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    _, out, *_ = finished
    model: Any = AutoModelForCausalLM.from_pretrained(out / "model")
    tokenizer: Any = AutoTokenizer.from_pretrained(out / "model")
    assert tokenizer.chat_template and model.config.vocab_size >= len(tokenizer)


def test_equal_settings_make_an_equal_tuning(finished: tuple[Path, Path, dict[str, Any], str], tmp_path: Path) -> None:
    run, out, first, _ = finished
    again, _ = tuned(run, tmp_path / "t", "eval=none")
    assert losses(tmp_path / "t") == losses(out)
    assert again["eval"] == {} and not (tmp_path / "t" / "eval.json").exists()
    assert again["plan"]["packs"] == first["plan"]["packs"]


def test_a_finished_tuning_is_replaced_by_force_only(tuning: tuple[Path, Path]) -> None:
    run, out = tuning
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    assert "holds a finished tuning; --force replaces it" in error(lambda: tuned(run, out))
    assert "is finished, there is nothing to go on with" in error(lambda: tuned(run, out, resume=True))
    # What is wrong is found before anything is lost.
    assert "too little memory" in error(lambda: tuned(run, out, force=True, memory="1MB"))
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before
    (out / "old").touch()
    tuned(run, out, "eval=none", force=True)
    assert not (out / "old").exists()


def cut_off_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next training be interrupted when it reports this step."""
    from tune.progress import Progress

    real = Progress.__call__

    def interrupted(self: Progress, event: dict[str, Any]) -> None:
        if event["kind"] == "step" and event["step"] == step:
            raise KeyboardInterrupt
        real(self, event)

    monkeypatch.setattr(Progress, "__call__", interrupted)


def test_a_tuning_that_was_cut_off_goes_on_exactly(
    finished: tuple[Path, Path, dict[str, Any], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, whole, *_ = finished
    out = tmp_path / "t"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        cut_off_at(3, patch)
        tuned(run, out)
    assert "holds an unfinished tuning; --resume goes on" in error(lambda: tuned(run, out))
    assert "is not finished" in error(lambda: open_tuning(out))
    result, _ = tuned(run, out, resume=True)
    assert losses(out) == losses(whole)
    assert result["eval"] == json.loads((whole / "eval.json").read_text(encoding="utf-8"))


def test_a_tuning_that_was_cut_off_before_its_first_checkpoint_begins_again(
    finished: tuple[Path, Path, dict[str, Any], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, whole, *_ = finished
    out = tmp_path / "t"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        cut_off_at(1, patch)
        tuned(run, out, "eval=none")
    assert "has no checkpoint to go on from" in error(lambda: tuned(run, out, "eval=none", resume=True))
    tuned(run, out, "eval=none")
    assert losses(out) == losses(whole)


def test_a_tuning_that_was_cut_off_after_training_is_evaluated(tuning: tuple[Path, Path]) -> None:
    run, out = tuning
    before = json.loads((out / "eval.json").read_text(encoding="utf-8"))
    (out / LOCAL).write_text(json.dumps({**read_local(out), "finished": False}), encoding="utf-8")
    (out / "eval.json").unlink()
    written = (out / "metrics.jsonl").read_bytes()
    result, _ = tuned(run, out, resume=True)
    assert result["eval"] == before
    assert result["training"] is None and (out / "metrics.jsonl").read_bytes() == written
    assert read_local(out)["finished"]


def test_resume_without_a_tuning(finished: tuple[Path, Path, dict[str, Any], str], tmp_path: Path) -> None:
    run, *_ = finished
    assert f"there is no tuning at {tmp_path / 't'}" in error(lambda: tuned(run, tmp_path / "t", resume=True))
    assert f"there is no tuning at {tmp_path}" in error(lambda: tuned(run, tmp_path, resume=True))


def test_eval_again(tuning: tuple[Path, Path]) -> None:
    _, out = tuning
    before = (out / "eval.json").read_bytes()
    (out / "eval.json").unlink()
    evaluate_again(out, stream=io.StringIO())
    assert (out / "eval.json").read_bytes() == before


def test_a_tuning_whose_run_has_changed(tuning: tuple[Path, Path], golden: Path) -> None:
    run, out = tuning
    local = read_local(out)
    (out / LOCAL).write_text(json.dumps({**local, "run": str(golden / "mrc")}), encoding="utf-8")
    assert "is another run than the one" in error(lambda: open_tuning(out))
    (out / LOCAL).write_text(json.dumps({**local, "run": str(run / "gone")}), encoding="utf-8")
    assert "no such run folder" in error(lambda: open_tuning(out))


def test_a_plan_writes_only_what_it_is_told_to(
    finished: tuple[Path, Path, dict[str, Any], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _, result, _ = finished
    monkeypatch.chdir(tmp_path)
    stream, file = io.StringIO(), tmp_path / "tokens.jsonl"
    plan = plan_only(run, asked(), dump=file, stream=stream)["plan"]
    assert {key: plan[key] for key in ("samples", "tokens", "pack", "steps")} == {
        key: result["plan"][key] for key in ("samples", "tokens", "pack", "steps")
    }
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n")[:-1]]
    assert {row["split"] for row in rows} == {"train", "validation", "test"}
    assert sum(len(row["tokens"]) for row in rows if row["split"] == "train") == plan["tokens"]
    assert {path.name for path in tmp_path.iterdir()} == {"tokens.jsonl", "tunings"}
    assert {path.name for path in (tmp_path / "tunings").iterdir()} == {".tokens"}
    assert "one pack" in stream.getvalue()


def test_a_run_without_answers_or_train_split(pair: Path, tmp_path: Path) -> None:
    manifest = json.loads((pair / "manifest.json").read_text(encoding="utf-8"))

    def rewrite(split: str) -> None:
        file = pair / f"{split}.jsonl"
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n")[:-1]]
        for row in rows:
            row["output"] = ""
            row["meta"]["labelled"] = False
        file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        for entry in manifest["outputs"]:
            if entry["file"] == file.name:
                entry["bytes"] = file.stat().st_size
        (pair / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")

    rewrite("test")
    result, said = tuned(pair, tmp_path / "a", "steps=1")
    assert set(result["eval"]["tuned"]) == {"validation"}
    assert "note: test: no row has a label; not evaluated\n" in said
    rewrite("validation")
    result, said = tuned(pair, tmp_path / "b", "steps=1")
    assert result["eval"] == {} and "nothing is evaluated" in said
    rewrite("train")
    assert "train" in error(lambda: tuned(pair, tmp_path / "c"))
    manifest["outputs"] = [entry for entry in manifest["outputs"] if entry["file"] != "train.jsonl"]
    (pair / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert "has no train split" in error(lambda: tuned(pair, tmp_path / "c"))
    assert not (tmp_path / "c").exists()


def test_what_resuming_may_change(tmp_path: Path) -> None:
    locked = Config(model="m", lr=1e-3, r=8, keep=2)
    free = {"keep", "pack"}

    def go_on(*sets: str, **flags: Any) -> Config:
        given = {"sets": list(sets), **flags}
        return continued(resolve(None, **given), locked, tmp_path, free, **given)

    assert go_on(model="m") == locked
    assert go_on("lr=1e-3", "r=8", model="m") == locked
    assert go_on("keep=5", model="m") == locked.model_copy(update={"keep": 5})
    message = error(lambda: go_on("lr=2e-3", "keep=5", "r=16", model="m"))
    assert "lr is 0.001 there, not 0.002, r is 8 there, not 16; leave that out" in message


def test_places(tmp_path: Path) -> None:
    check_place(tmp_path / "new" / "deep", resume=False, force=False)
    check_place(tmp_path, resume=False, force=False)  # empty
    file = tmp_path / "file"
    file.touch()
    assert "is a file; name a folder" in error(lambda: check_place(file, resume=False, force=True))
    assert "file is a file; name another" in error(lambda: check_place(file / "t", resume=False, force=True))
    assert "not a tuning; it is left as it is" in error(lambda: check_place(tmp_path, resume=False, force=True))


def test_the_seed_decides_the_adapters(pair: Path, tmp_path: Path) -> None:
    import torch

    found = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.rand(len(found) + 1)  # whatever drew random numbers before
        flags = {"method": "lora", "seed": seed, "sets": ["steps=2", "batch=4", "eval=none", "lr=0.01", "dropout=0.1"]}
        tune(pair, flags, out=tmp_path / name, stream=io.StringIO())
        found.append(losses(tmp_path / name))
    assert found[0] == found[1] != found[2]
