"""One run by several methods: the same budget, what is made once, and every place where it may be cut off."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch

from tune import compare_methods as module
from tune.compare import compare
from tune.compare_methods import COMPARISON, compare_methods
from tune.config import resolve
from tune.errors import UserError
from tune.folder import LOCAL, open_tuning, read_local
from tune.lender import Lender
from tune.methods import METHODS
from tune.model import load
from tune.progress import Progress
from tune.results import read_eval, read_evaluation
from tune.runs import open_run
from tune.shot import curated
from tune.tuning import evaluate_again, tune

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
QUICK = [
    "steps=3",
    "save_every=1",
    "eval_every=3",
    "batch=4",
    "max_length=200",
    "virtual_tokens=3",
    "max_new_tokens=4",
]


def asked(*sets: str) -> dict[str, Any]:
    return {"sets": [*QUICK, *sets]}


def compared(out: Path, names: str, *sets: str, run: Path = GOLDEN / "pair", **options: Any) -> tuple[Any, str]:
    stream = io.StringIO()
    return compare_methods(run, names, asked(*sets), out=out, stream=stream, **options), stream.getvalue()


def error(work: Callable[[], object]) -> str:
    with pytest.raises(UserError) as raised:
        work()
    return raised.value.messages[0]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, str]:
    """A finished comparison of a method that changes the base model when it begins, and of one with virtual tokens."""
    out = tmp_path_factory.mktemp("tunings") / "c"
    return (out, *compared(out, "pissa,prefix"))


def test_each_method_is_a_tuning_and_the_figures_are_theirs(finished: tuple[Path, Any, str]) -> None:
    out, found, said = finished
    assert {path.name for path in out.iterdir()} == {"pissa", "prefix", "compare.json", "compare.svg", "README.md"}
    assert json.loads((out / COMPARISON).read_text(encoding="utf-8")) == found and found["finished"]
    plain = compare([out / "pissa", out / "prefix"])
    for section, of in found["splits"].items():
        for metric, figures in of["metrics"].items():
            assert [figures["pissa"], figures["prefix"]] == plain["splits"][section]["metrics"][metric]
            assert figures["base"] == read_eval(out / "prefix")["base"][section].get(metric)
        expected = {metric: {"prefix": both[1]} for metric, both in plain["splits"][section]["differences"].items()}
        assert of["differences"] == expected and expected
    for name, facts in found["methods"].items():
        tuning = open_tuning(out / name)
        assert (tuning.config.method, tuning.config.seed, tuning.config.steps) == (name, 0, 3)
        assert facts["steps"] == 3 and facts["tokens"] == found["methods"]["pissa"]["tokens"] > 0
        assert facts["trainable"] == json.loads((out / name / "plan.json").read_text())["parameters"]["trainable"]
        assert facts["seconds"] > 0 and facts["planned_memory"] > 1 << 20 and facts["peak_memory"] > 1 << 20
    assert "[1/2] pissa: LoRA that begins" in said and "[2/2] prefix: done in" in said


def test_the_untuned_model_is_evaluated_once_and_as_each_method_would(
    finished: tuple[Path, Any, str], tmp_path: Path
) -> None:
    out, *_ = finished
    shared = [read_evaluation(out / name, "base") for name in ("pissa", "prefix")]
    assert shared[0] == shared[1] and shared[0] is not None
    tune(GOLDEN / "pair", {**asked(), "method": "prefix"}, out=tmp_path / "alone", stream=io.StringIO())
    alone = read_evaluation(tmp_path / "alone", "base")
    assert alone is not None
    for mine, theirs in zip(shared[0].rows, alone.rows, strict=True):
        assert mine["prediction"] == theirs["prediction"]
        assert mine["scores"]["nll"] == pytest.approx(theirs["scores"]["nll"], rel=1e-5)
    # Beside others a method is trained as it is alone.
    assert losses(out / "prefix") == losses(tmp_path / "alone")


def losses(out: Path) -> list[float]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]
    return [line["loss"] for line in lines if line.get("kind") != "eval"]


def test_page_and_picture_say_the_figures(finished: tuple[Path, Any, str]) -> None:
    out, found, _ = finished
    page = (out / "README.md").read_text(encoding="utf-8")
    svg = ElementTree.fromstring((out / "compare.svg").read_text(encoding="utf-8"))
    space = "{http://www.w3.org/2000/svg}"
    alternative = "".join(svg.find(f"{space}desc").itertext())  # pyright: ignore[reportOptionalMemberAccess]
    texts = ["".join(text.itertext()) for text in svg.iter(f"{space}text")]
    value = f"{100 * found['splits']['test']['metrics']['accuracy']['prefix']['value']:.1f}"
    assert svg.get("role") == "img" and f"prefix {value} [" in alternative
    # A name at the end of its line, and one in its row below.
    assert texts.count("pissa") == texts.count("prefix") == 2 and texts.count("base") == 1
    assert len(svg.findall(f"{space}polyline")) == 2
    assert "](compare.svg)" in page and f"| prefix | {found['methods']['prefix']['trainable']:,} |" in page
    told = [line for line in str(found).splitlines() if line.startswith("prefix ")]
    assert len(told) == 3 and f"{found['methods']['prefix']['trainable']:,}" in told[0]


def test_it_goes_on_where_it_was_cut_off(
    finished: tuple[Path, Any, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, expected, _ = finished
    out, real = Path(shutil.copytree(whole, tmp_path / "c", symlinks=True)), Progress.__call__
    shutil.rmtree(out / "prefix")
    first, steps = (out / "pissa" / "eval.json").stat().st_mtime_ns, list[int]()

    def interrupted(self: Progress, event: dict[str, Any]) -> None:
        if event["kind"] == "step":
            steps.append(event["step"])
            if len(steps) == 2:
                raise KeyboardInterrupt
        real(self, event)

    monkeypatch.setattr(Progress, "__call__", interrupted)
    monkeypatch.setattr(module, "evaluated_bare", None)  # the evaluation that is there is taken
    with pytest.raises(KeyboardInterrupt, match="in the middle of prefix; the same command goes on from there"):
        compared(out, "pissa,prefix")
    found, said = compared(out, "pissa,prefix")
    assert steps == [1, 2, 2, 3] and "[1/2] pissa: up to date" in said
    assert (out / "pissa" / "eval.json").stat().st_mtime_ns == first
    assert found["splits"] == expected["splits"] and losses(out / "prefix") == losses(whole / "prefix")


def test_what_is_finished_is_kept_and_what_differs_is_refused(
    finished: tuple[Path, Any, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, expected, _ = finished
    out = Path(shutil.copytree(whole, tmp_path / "c", symlinks=True))
    with monkeypatch.context() as patch:
        patch.setattr(module, "load_base", None)  # nothing is loaded
        found, said = compared(out, "pissa,prefix")
        assert found["splits"] == expected["splits"] and "prefix: up to date" in said
        message = error(lambda: compared(out, "pissa,prefix", "lr=0.5"))
        assert message.startswith(f"{out / 'pissa'}: was made otherwise: lr is 0.02 there, not 0.5; --force begins")
        assert "no comparison; it is left as it is" in error(lambda: compared(whole / "pissa", "pissa,prefix"))
    # A base model that is another by now is no match for what is there, which is seen before anything is trained.
    (out / "prefix" / LOCAL).write_text(json.dumps({**read_local(out / "prefix"), "finished": False}))
    lock = (out / "pissa" / "config.lock.yaml").read_text(encoding="utf-8")
    (out / "pissa" / "config.lock.yaml").write_text(lock.replace("  model: ", "  model: 0"), encoding="utf-8")
    assert "the base model is not what this tuning began with" in error(lambda: compared(out, "pissa,prefix"))


def test_a_method_that_fails_stops_no_other(
    finished: tuple[Path, Any, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Path(shutil.copytree(finished[0], tmp_path / "c", symlinks=True))

    def fails(*args: Any, **options: Any) -> None:
        raise UserError("step 2: the loss is nan: stopped")

    monkeypatch.setattr(module, "tune", fails)
    found, said = compared(out, "ia3,prefix,pissa")
    assert found["methods"]["ia3"] == {"failed": "step 2: the loss is nan: stopped"} and not found["finished"]
    assert found["first"] == "prefix" and set(found["splits"]["test"]["metrics"]["f1"]) == {"base", "prefix", "pissa"}
    assert "[1/3] ia3: failed: step 2" in said and "- ia3: step 2: the loss is nan" in (out / "README.md").read_text()
    shutil.rmtree(out)
    assert error(lambda: compared(out, "ia3,prefix")) == "ia3: step 2: the loss is nan: stopped"


def test_methods_are_chosen_before_anything_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import Phi3Config

    monkeypatch.setattr(module, "load_base", None)
    Phi3Config(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4).save_pretrained(
        tmp_path
    )
    out, phi = tmp_path / "c", {"model": str(tmp_path)}
    assert "no method 'lroa'; did you mean 'lora'?" in error(lambda: compared(out, "lroa,full"))
    assert "two methods or more" in error(lambda: compared(out, "lora"))
    assert "eval=none" in error(lambda: compared(out, "lora,full", "eval=none"))
    assert error(lambda: compared(out, "lora,full", "batsh=3")).startswith("--set batsh=3: unknown key")
    refused = error(lambda: compare_methods(GOLDEN / "pair", "lora,ia3", phi, out=out, stream=io.StringIO()))
    assert refused.startswith("method ia3: can't work with phi3 models") and refused.endswith("take method lora")
    configs, left_out = module._choose(open_run(GOLDEN / "pair"), "all", phi, said := [])
    assert list(left_out) == ["qlora", "ia3"] and "lora" in configs
    assert f"left out: {refused}" in said
    assert not out.exists()


# --- the base model is lent as it was --------------------------------------------------------------------------------


def test_a_lent_model_is_bit_by_bit_the_one_that_was_loaded() -> None:
    run, lender = open_run(GOLDEN / "pair"), Lender()
    config = resolve(run, method="lora")
    fresh = load(config, run).model
    for name in ("pissa", "lora", "full", "adapter", "ln", "prefix", "full"):
        config = resolve(run, method=name)
        lent = lender(config, run)
        assert str(lent.model) == str(fresh) and lent.model.config.to_dict() == fresh.config.to_dict()
        weights, expected = lent.model.state_dict(), fresh.state_dict()
        assert weights.keys() == expected.keys() and all(torch.equal(weights[key], expected[key]) for key in expected)
        assert lent.model.get_input_embeddings().weight is lent.model.get_output_embeddings().weight
        model = METHODS[name].prepare(lent.model, config, lent.tokenizer)
        with torch.no_grad():
            for parameter in model.parameters():  # whatever training, or PiSSA, does to them
                parameter.add_(1)
    other = lender(resolve(run, method="lora", seed=1), run)
    assert not torch.equal(next(other.model.parameters()), next(fresh.parameters()))


# --- every method ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_method_lowers_the_validation_loss_of_the_untuned_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the built-in sample, with the tiny model, all of them in one comparison."""
    monkeypatch.chdir(tmp_path)
    code, run = curated("lcqmc", [], stream=io.StringIO())
    assert code == 0
    options = ("steps=12", "eval_every=12", "save_every=12", "batch=2", "virtual_tokens=4", "eval_limit=8")
    found, _ = compared(tmp_path / "c", "all", *options, run=run)
    assert list(found["methods"]) == [name for name in METHODS if name != "qlora"] and found["finished"]
    assert list(found["left_out"]) == ["qlora"]
    losses = found["splits"]["validation"]["metrics"]["answer_loss"]
    share = {name: losses[name]["value"] / losses["base"]["value"] for name in found["methods"]}
    assert all(value < 0.95 for value in share.values()), share
    # Evaluated again, its base model is once more the one without virtual tokens.
    was = read_eval(tmp_path / "c" / "prompt")
    again = evaluate_again(tmp_path / "c" / "prompt", stream=io.StringIO())["eval"]
    for model in ("base", "tuned"):
        assert again[model]["validation"]["answer_loss"]["value"] == pytest.approx(
            was[model]["validation"]["answer_loss"]["value"], rel=1e-5
        )
