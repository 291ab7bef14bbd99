"""Merged models answer as their adapters do; a merge that doesn't is refused and leaves nothing behind."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from tuned_by_hand import make_tuning

from tune.errors import UserError
from tune.export import _vllm_rank, load_tuned, merge, serve_model, serving
from tune.lock import read_lock
from tune.results import read_evaluation
from tune.runs import open_run

PAIR = Path(__file__).resolve().parents[1] / "golden" / "pair"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A LoRA tuning: (folder, the model as it was in memory)."""
    folder = tmp_path_factory.mktemp("lora") / "tuning"
    return folder, make_tuning(PAIR, folder, "lora")


def test_a_loaded_model_is_evaluated_as_it_was_in_memory(made):
    folder, work = made
    known = read_evaluation(folder, "tuned")
    work.model = load_tuned(folder, device="cpu").model
    found = work.evaluate()
    assert found.splits == known.splits
    assert [row["prediction"] for row in found.rows] == [row["prediction"] for row in known.rows]
    base = read_evaluation(folder, "base")
    with work.model.disable_adapter():
        assert work.evaluate().splits == base.splits
    assert base.splits != known.splits


def logits(model, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids]), use_cache=False).logits


IDS = [1, 20, 30, 40, 50, 60, 70, 2]


def test_a_tuning_is_loaded_as_it_was(made):
    folder, work = made
    tuned = load_tuned(folder, device="cpu")
    assert torch.equal(logits(tuned.model, IDS), logits(work.model, IDS))
    assert tuned.prompter.sha256 == work.prompter.sha256
    assert not tuned.model.training


@pytest.mark.parametrize("sets", [(), ("dora=true",), ("rslora=true", "r=5")])
def test_merged_is_a_plain_model_that_answers_like_the_adapter(tmp_path, sets):
    work = make_tuning(PAIR, tmp_path / "tuning", "lora", sets=sets, evaluated=False)
    said = merge(tmp_path / "tuning")
    place = tmp_path / "tuning" / "merged"
    assert said.startswith(f"merged: {place} (float32; logits within ")
    assert f"vllm serve {place}" in said

    from transformers import AutoModelForCausalLM, AutoTokenizer

    plain = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(place)
    ids = work.prompter.prompt_ids(list(work.run.rows("test")))[0]
    messages = work.prompter.messages(next(iter(work.run.rows("test"))))
    assert tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"] == ids
    tuned_TV, merged_TV = logits(work.model, ids), logits(plain, ids)
    assert float((tuned_TV - merged_TV).abs().max()) < 1e-4 * float(tuned_TV.abs().max())
    with work.model.disable_adapter():
        base_TV = logits(work.model, ids)
    assert float((base_TV - merged_TV).abs().max()) > 1e-2 * float(base_TV.abs().max()), "the test needs a change"
    assert sorted(path.name for path in place.iterdir()) == [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


@pytest.mark.parametrize("method", ["ia3", "ln"])
def test_factors_and_norms_are_merged_too(tmp_path, method):
    from transformers import AutoModelForCausalLM

    work = make_tuning(PAIR, tmp_path / "tuning", method, evaluated=False)
    merge(tmp_path / "tuning")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "tuning" / "merged", dtype=torch.float32)
    tuned_TV, merged_TV = logits(work.model, IDS), logits(plain, IDS)
    assert float((tuned_TV - merged_TV).abs().max()) < 1e-4 * float(tuned_TV.abs().max())


@pytest.mark.parametrize("method", ["prefix", "p_tuning_v2", "prompt", "p_tuning", "adapter"])
def test_what_cannot_be_merged_says_so_and_is_loaded_evaluated_and_talked_with_as_it_is(tmp_path, method):
    import io

    from tune.chat import chat

    folder = tmp_path / "tuning"
    work = make_tuning(PAIR, folder, method, sets=("virtual_tokens=3", "eval_limit=4"))
    with pytest.raises(UserError, match=rf"what method {method} learnt can't be merged: .*tune chat"):
        merge(folder)
    assert not (folder / "merged").exists()
    assert serving(folder, work.config, work.tokenizer) == [f"python -m tune chat {folder}"]
    known = read_evaluation(folder, "tuned")
    assert known.splits != read_evaluation(folder, "base").splits
    work.model = load_tuned(folder, device="cpu").model
    assert work.evaluate().splits == known.splits
    said = io.StringIO()
    chat(folder, stdin=io.StringIO("你好\n再见\n"), stdout=said)
    assert len(said.getvalue().split("\n")) == 3


def test_a_merge_that_answers_otherwise_is_refused(made, tmp_path, monkeypatch):
    from peft.tuners.lora.layer import Linear

    folder = Path(shutil.copytree(made[0], tmp_path / "tuning"))
    right = Linear.get_delta_weight
    monkeypatch.setattr(Linear, "get_delta_weight", lambda self, adapter: 1.1 * right(self, adapter))
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(UserError, match=r"logits differ from the adapter's by .*nothing was written"):
        merge(folder)
    assert sorted(path.name for path in folder.iterdir()) == before


def test_the_result_has_the_type_and_the_settings_of_the_base(tmp_path):
    from transformers import AutoModelForCausalLM, GenerationConfig

    from tune.tiny import tiny_model, tiny_tokenizer

    tokenizer = tiny_tokenizer(open_run(PAIR))
    base = tiny_model(tokenizer, 0).to(torch.bfloat16)
    ends = {"eos_token_id": [2, 0], "pad_token_id": 0}
    base.generation_config = GenerationConfig(do_sample=True, temperature=0.6, top_k=20, **ends)
    base.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    folder = tmp_path / "tuning"
    work = make_tuning(PAIR, folder, "lora", model=str(tmp_path / "base"), evaluated=False)
    assert "(bfloat16; " in merge(folder, tmp_path / "elsewhere")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "elsewhere", dtype="auto")
    assert merged.dtype == torch.bfloat16
    assert merged.generation_config.temperature == 0.6 and merged.generation_config.eos_token_id == [2, 0]
    tuned_TV, merged_TV = logits(work.model, IDS), logits(merged, IDS).float()
    assert float((tuned_TV - merged_TV).norm() / tuned_TV.norm()) < 0.02, "bf16 rounds at 0.4 %"
    assert f"vllm serve {tmp_path / 'base'} --enable-lora" in serving(folder, work.config, tokenizer)[0]


def test_a_place_in_use(made, tmp_path):
    folder = Path(shutil.copytree(made[0], tmp_path / "tuning"))
    merge(folder)
    with pytest.raises(UserError, match="is there already"):
        merge(folder)
    merge(folder, force=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("long", encoding="utf-8")
    with pytest.raises(UserError, match="is no model, so it won't be replaced"):
        merge(folder, tmp_path / "mine", force=True)
    assert (tmp_path / "mine" / "thesis.txt").read_text(encoding="utf-8") == "long"


def test_a_killed_write_leaves_nothing_that_looks_like_a_model(made, tmp_path, monkeypatch):
    folder = Path(shutil.copytree(made[0], tmp_path / "tuning"))

    def full_disk(self, folder, **rest):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("transformers.PreTrainedTokenizerFast.save_pretrained", full_disk)
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(OSError):
        merge(folder)
    assert sorted(path.name for path in folder.iterdir()) == before


def test_what_is_no_adapter(tmp_path):
    make_tuning(PAIR, tmp_path / "whole", "full", evaluated=False)
    with pytest.raises(UserError, match=r"method full makes no adapter: .*model is the whole model already"):
        merge(tmp_path / "whole")
    with pytest.raises(UserError, match="no such tuning"):
        merge(tmp_path / "nowhere")
    with pytest.raises(UserError, match="not a tuning"):
        merge(PAIR)


def test_an_unfinished_tuning(made, tmp_path):
    folder = Path(shutil.copytree(made[0], tmp_path / "tuning"))
    shutil.rmtree(folder / "adapter")
    with pytest.raises(UserError, match="holds no finished adapter"):
        load_tuned(folder)


def test_a_tiny_base_whose_run_is_another_by_now(made, tmp_path):
    folder = Path(shutil.copytree(made[0], tmp_path / "tuning"))
    run = Path(shutil.copytree(PAIR, tmp_path / "run"))
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8")) | {"fingerprint": "0" * 64}
    (run / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    local = json.loads((folder / "local.json").read_text(encoding="utf-8")) | {"run": str(run)}
    (folder / "local.json").write_text(json.dumps(local), encoding="utf-8")
    with pytest.raises(UserError, match="is another run than the one"):
        load_tuned(folder)


class Tokenizer:
    def __init__(self, chat_template: str) -> None:
        self.chat_template = chat_template


def test_lines_that_serve(made, tmp_path):
    folder, _ = made
    plain, thinking = Tokenizer("{{ messages }}"), Tokenizer("{% if enable_thinking %}")
    config = read_lock(folder).config
    at = Path("tunings/a b")
    tiny = serving(at, config, plain)
    assert tiny == [
        "python -m tune merge 'tunings/a b'",
        "transformers serve 'tunings/a b/merged'",
        "vllm serve 'tunings/a b/merged'",
    ]
    real = config.model_copy(update={"model": "Qwen/Qwen3-0.6B", "r": 24})
    (first, *rest) = serving(folder, real, thinking, at)
    assert first == (
        "vllm serve Qwen/Qwen3-0.6B --enable-lora --max-lora-rank 32 --lora-modules 'tuned=tunings/a b/adapter' "
        "--chat-template 'tunings/a b/adapter/chat_template.jinja' "
        """--default-chat-template-kwargs '{"enable_thinking": false}'"""
    )
    assert rest[1] == "transformers serve 'tunings/a b/merged' --reasoning off"
    assert serving(at, real.model_copy(update={"dora": True}), plain) == tiny, "vLLM loads no DoRA"
    assert serving(at, real.model_copy(update={"init": "pissa"}), plain) == tiny, "vLLM doesn't alter the base"
    assert serving(at, real.model_copy(update={"method": "full"}), plain) == serve_model(at / "model", False)


def test_transformers_takes_the_line():
    """The words of our line are those of the command installed here."""
    pytest.importorskip("transformers.cli.serve")
    import inspect

    from transformers.cli.serve import Serve

    parameters = inspect.signature(Serve.__init__).parameters
    assert {"force_model", "reasoning"} <= set(parameters), sys.version


def test_ranks_that_vllm_takes():
    assert [_vllm_rank(r) for r in (1, 8, 9, 16, 17, 64, 200, 512)] == [8, 8, 16, 16, 32, 64, 256, 512]
