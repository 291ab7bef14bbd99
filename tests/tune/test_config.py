"""Settings: where a value comes from, every way of being wrong and at which place, and the lock file."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jingtiao.memory import parse_memory
from tune import lock
from tune.config import Config, default_out, resolve
from tune.errors import UserError
from tune.lock import HASHES, check_hashes, model_hash, read_lock, write_lock
from tune.methods import METHODS
from tune.runs import Run

REAL = "some/model"


def run_of(**tune: Any) -> Run:
    """A run whose recipe has this `tune:` section."""
    return Run(Path("runs/demo"), "demo", "pair", {}, (), tune, "f" * 64, {}, {})


def errors(*sets: str, run: Run | None = None, **given: Any) -> list[str]:
    with pytest.raises(UserError) as raised:
        resolve(run, sets=sets, **given)
    return raised.value.messages


def written(folder: Path, text: str) -> Path:
    path = folder / "my.yaml"
    path.write_text(text, encoding="utf-8")
    return path


# --- where a value comes from ----------------------------------------------------------------------------------------


def test_precedence(tmp_path: Path) -> None:
    run = run_of(seed=1, batch=1, r=1, alpha=1, model=REAL)
    file = written(tmp_path, "seed: 2\nbatch: 2\nr: 2\n")
    config = resolve(run, file=file, sets=["seed=3", "batch=3"], seed=4)
    assert (config.seed, config.batch, config.r, config.alpha) == (4, 3, 2, 1)
    assert config.max_length == Config().max_length  # nobody named it


def test_the_last_set_wins_and_an_absent_flag_is_none() -> None:
    config = resolve(None, sets=["model=m", "batch=3", "batch=4"], method=None, seed=None)
    assert (config.batch, config.method, config.seed) == (4, "lora", 0)


@pytest.mark.parametrize("name", METHODS)
def test_what_the_method_decides(name: str) -> None:
    config = resolve(None, model=REAL, method=name)
    assert (config.lr, config.weight_decay) == (METHODS[name].lr, METHODS[name].weight_decay)
    config = resolve(None, sets=["lr=1e-3", "weight_decay=0"], model=REAL, method=name)
    assert (config.lr, config.weight_decay) == (1e-3, 0.0)


def test_a_variant_of_lora_is_lora_with_a_setting() -> None:
    def said(method: str, *sets: str) -> tuple[Any, ...]:
        config = resolve(None, model=REAL, method=method, sets=sets)
        return config.rslora, config.dora, config.loraplus, config.init

    assert said("lora") == said("qlora") == (False, False, None, True)
    assert said("rslora", "r=64") == (True, False, None, True)
    assert said("dora", "dora=true") == (False, True, None, True)
    assert said("lora_plus") == (False, False, 16.0, True) and said("lora_plus", "loraplus=4") == (
        False,
        False,
        4,
        True,
    )
    assert said("pissa", "dora=true") == (False, True, None, "pissa")
    with pytest.raises(UserError, match="method pissa: stands for init=pissa, and init is gaussian; leave that out"):
        said("pissa", "init=gaussian")
    with pytest.raises(UserError, match="method dora: stands for dora=true, and dora is false"):
        said("dora", "dora=false")


def test_tiny_is_trained_whole_unless_somebody_insists() -> None:
    notes: list[str] = []
    config = resolve(run_of(method="lora", max_length=256), notes=notes)
    assert (config.model, config.method, config.max_length) == ("tiny", "full", 256)
    assert config.lr == METHODS["full"].tiny_lr
    assert len(notes) == 1 and "method full instead of lora" in notes[0]

    notes = []
    assert resolve(run_of(method="lora"), notes=notes, method="lora").method == "lora"
    assert resolve(None, notes=notes, sets=["method=lora"]).method == "lora"
    assert resolve(run_of(method="full"), notes=notes).method == "full"
    assert resolve(run_of(method="lora"), notes=notes, model=REAL).method == "lora"
    assert not notes


def test_epochs_that_somebody_named_are_not_overridden_by_the_tiny_model_s_steps() -> None:
    assert resolve(None).steps is not None
    assert resolve(run_of(epochs=2)).steps is None
    assert resolve(None, sets=["epochs=2", "steps=5"]).steps == 5
    assert resolve(None, model=REAL).steps is None


def test_settings_of_another_method_are_noted() -> None:
    notes: list[str] = []
    resolve(run_of(dropout=0.1), sets=["r=8", "batch=2"], model=REAL, method="full", notes=notes)
    assert notes == ["method full doesn't read r (lora does)"]


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("lr=1e-4", 1e-4),
        ("lr=3", 3.0),
        ("epochs=0.5", 0.5),
        ("betas=[0.9, 0.95]", (0.9, 0.95)),
        ("targets=q_proj,v_proj", ["q_proj", "v_proj"]),
        ("targets=[q_proj]", ["q_proj"]),
        ("targets=all-linear", "all-linear"),
        ("checkpointing=off", "off"),
        ("init=pissa", "pissa"),
        ("init=true", True),
        ("dora=true", True),
        ("pack=null", None),
        ("system='你是助手：简短。'", "你是助手：简短。"),
        ("system=a=b", "a=b"),
        (" seed =7", 7),
    ],
)
def test_values_are_yaml_1_2(text: str, value: object) -> None:
    key = text.partition("=")[0].strip()
    assert getattr(resolve(None, sets=[text], model=REAL), key) == value


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("lr", "write it as KEY=VALUE, like lr=1e-4"),
        ("=3", "write it as KEY=VALUE, like lr=1e-4"),
        ("lr=[", "the value is not valid YAML; put it in quotes"),
        ("lr=", "lr: should be a valid number (given: '')"),
        ("lr=fast", "lr: should be a valid number (given: 'fast')"),
        ("lr=0", "lr: should be greater than 0 (given: 0)"),
        ("lr=.inf", "lr: should be a finite number (given: inf)"),
        ("lr=.nan", "lr: should be a finite number (given: nan)"),
        ("lr=true", "lr: should be a valid number (given: true)"),
        ("batch=1.5", "batch: should be a valid integer (given: 1.5)"),
        ("batch=true", "batch: should be a valid integer (given: true)"),
        ("batch=null", "batch: should be a valid integer (given: nothing)"),
        ("batch='64'", "batch: should be a valid integer (given: '64')"),
        ("betas=[0.9, 1.0]", "betas.1: should be less than 1 (given: 1.0)"),
        ("targets=[]", "targets: must be all-linear, or names of modules like [q_proj, v_proj]"),
        ("targets=[1]", "targets: must be all-linear, or names of modules like [q_proj, v_proj]"),
        ("init=pisa", "init: 'pisa' is not one of true, gaussian, pissa; did you mean 'pissa'?"),
        ("too_long=cut", "too_long: 'cut' is not one of drop, truncate_prompt, error"),
        ("compile=no", "compile: 'no' is not one of auto, on, off"),
        ("system=3", "system: must be text, not 3; put it in quotes"),
        ("method=lroa", f"method: 'lroa' is not one of {', '.join(METHODS)}; did you mean 'lora'?"),
        ("rr=3", "unknown key 'rr'; did you mean 'r'?"),
        ("check=on", "unknown key 'check'; did you mean 'checkpointing'?"),
        ("max-length=3", "unknown key 'max-length'; did you mean 'max_length'?"),
    ],
)
def test_wrong_values(text: str, what: str) -> None:
    assert errors(text) == [f"--set {text}: {what}"]


def test_an_unknown_key_that_is_near_to_none_shows_all() -> None:
    (message,) = errors("zzz=1")
    assert "unknown key 'zzz'; known are model, method, seed, lr, " in message


def test_every_error_at_its_place_in_the_order_of_what_was_said(tmp_path: Path) -> None:
    file = written(tmp_path, "lr: fast\nbatsh: 3\nr: 8\n  \nr: 9\nbetas: [0.9,\n        2.0]\n")
    run = run_of(stepps=3, batch="many")
    found = errors("warmup=2", run=run, file=file, method="lroa", seed=-1)
    assert found == [
        "runs/demo/manifest.json: tune: unknown key 'stepps'; did you mean 'steps'?",
        "runs/demo/manifest.json: tune: batch: should be a valid integer (given: 'many')",
        f"{file}:1:5: lr: should be a valid number (given: 'fast')",
        f"{file}:2:1: unknown key 'batsh'; did you mean 'batch'?",
        f"{file}:5:1: 'r' is already given on line 3; keep one of them",
        f"{file}:6:8: betas.1: should be less than 1 (given: 2.0)",
        "--set warmup=2: warmup: should be less than 1 (given: 2)",
        f"--method: 'lroa' is not one of {', '.join(METHODS)}; did you mean 'lora'?",
        "--seed: should be greater than or equal to 0 (given: -1)",
    ]


def test_a_value_that_is_overridden_need_not_be_right(tmp_path: Path) -> None:
    assert resolve(None, file=written(tmp_path, "batch: many\n"), sets=["batch=2"]).batch == 2


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", ":1:1: the file is empty"),
        ("# nothing\n", ":1:1: the file is empty"),
        ("- lr\n", ":1:1: settings are a mapping of keys"),
        ("lr 3\n", ":1:1: settings are a mapping of keys"),
        ("lr: 3\n  r: 3\n", ":2:4: YAML: mapping values are not allowed here"),
        ("seed: 1\nlr：3\n", ":3:1: YAML: could not find expected ':'; write ': ' (half width"),
        ("betas:\n\t- 1\n", "; indent with spaces, not tabs"),
        ("lr: !!python/none x\n", ": YAML: "),
        ("? [a]\n: 1\n", ": "),
        ("lr: \x07\n", ":1:1: YAML: a character that isn't allowed; remove it"),
    ],
)
def test_files_that_are_no_settings(tmp_path: Path, text: str, what: str) -> None:
    file = written(tmp_path, text)
    (message,) = errors(file=file)
    assert message.startswith(str(file)) and what in message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    assert errors(file=file) == [f"{file}: no such file of settings"]
    file.write_bytes("lr: 1\nsystem: 你".encode()[:-1])
    assert errors(file=file) == [f"{file}:2:1: not UTF-8; save it as UTF-8"]
    assert errors(file=tmp_path)[0].startswith(f"{tmp_path}: can't be read as settings")


@pytest.mark.parametrize(
    ("text", "size"),
    [("16GB", 16 * 10**9), ("8GiB", 8 * 2**30), ("512MB", 512 * 10**6), ("1.5 gib", 3 * 2**29), ("2TB", 2 * 10**12)],
)
def test_memory(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "16", "16G", "GB", "-1GB", "0GB", "16 G B", "1e3MB", "16GBit", "十GB"])
def test_no_memory(text: str) -> None:
    with pytest.raises(UserError, match="write a size like 16GB, 8GiB or 512MB"):
        parse_memory(text)


@pytest.mark.parametrize(
    ("model", "part"),
    [
        ("tiny", "tiny"),
        ("Qwen/Qwen3-0.6B", "Qwen3-0.6B"),
        ("/models/qwen 3/", "qwen-3"),
        ("模型/千问", "千问"),
        ("a/b:c*", "b-c"),
        ("/", "model"),
    ],
)
def test_where_a_tuning_goes(model: str, part: str) -> None:
    config = Config(model=model, method="full")
    assert default_out(run_of(), config) == Path("tunings") / f"demo-{part}-full"


def test_a_model_in_the_working_folder_has_that_folder_s_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    assert default_out(run_of(), Config(model=".")).name == "demo-mine-lora"


def test_every_setting_is_described_and_every_key_of_a_method_is_one() -> None:
    assert all(field.description for field in Config.model_fields.values())
    assert all(set(method.keys) <= set(Config.model_fields) for method in METHODS.values())


# --- the lock file ---------------------------------------------------------------------------------------------------

#: What a YAML file can hold: no control characters, no surrogates.
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=12)
CONFIGS = st.builds(
    Config,
    model=TEXT,
    seed=st.integers(0, 2**63 - 1),
    lr=st.none() | st.floats(1e-300, 1e300),
    eps=st.floats(1e-30, 1.0),
    betas=st.tuples(st.floats(0, 0.9999), st.floats(0, 0.9999)),
    pack=st.none() | st.integers(8, 1 << 20),
    system=st.none()
    | TEXT
    | st.sampled_from(["null", "on", "1e-4", "- a", "a: b", "#", "'", '"', "a\nb", " a ", "~"]),
    targets=st.just("all-linear") | st.lists(TEXT, min_size=1, max_size=3),
    init=st.sampled_from([True, "gaussian", "pissa"]),
    compile=st.sampled_from(["auto", "on", "off"]),
)
SHAS = dict.fromkeys(HASHES, "0" * 64)


@given(CONFIGS)
def test_a_lock_file_gives_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, config: Config) -> None:
    folder = tmp_path_factory.mktemp("lock")
    write_lock(config, folder, SHAS)
    found = read_lock(folder)
    assert found.config == config
    assert type(found.config.init) is type(config.init)  # True == 1, but not here
    assert found.hashes == SHAS
    assert [path.name for path in folder.iterdir()] == [lock.LOCK]


def test_a_lock_file_names_every_setting_and_serves_as_config(tmp_path: Path) -> None:
    config = resolve(run_of(max_length=300), sets=["lr=1e-3", "r=4"], method="lora", seed=3)
    write_lock(config, tmp_path, SHAS)
    text = (tmp_path / lock.LOCK).read_text(encoding="utf-8")
    assert all(f"\n{key}:" in text for key in Config.model_fields)
    assert "\npack: null\n" in text
    assert resolve(run_of(max_length=512), file=tmp_path / lock.LOCK) == config


def test_what_is_no_lock_file(tmp_path: Path) -> None:
    def message(folder: Path) -> str:
        with pytest.raises(UserError) as raised:
            read_lock(folder)
        return raised.value.messages[0]

    assert message(tmp_path / "gone").startswith(f"{tmp_path / 'gone'}: no such tuning")
    assert message(tmp_path).startswith(f"{tmp_path}: not a tuning (it has no config.lock.yaml)")
    write_lock(Config(), tmp_path, SHAS)
    file = tmp_path / lock.LOCK
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("batch: 64", "batch: x"), encoding="utf-8")
    assert f"{file}:8:8: batch: should be a valid integer (given: 'x')" in message(tmp_path)
    file.write_text(text[: text.index("hashes")], encoding="utf-8")
    assert message(tmp_path).startswith(f"{file}: holds no hashes")
    file.write_text("", encoding="utf-8")
    assert message(tmp_path).startswith(f"{file}:1:1: the file is empty")


def test_what_changed_is_named(tmp_path: Path) -> None:
    check_hashes(tmp_path, SHAS, dict(SHAS))
    with pytest.raises(UserError, match="the run, the base model are not what this tuning began with"):
        check_hashes(tmp_path, SHAS, SHAS | {"run": "1", "model": "1"})
    with pytest.raises(UserError, match="the tokenizer is not"):
        check_hashes(tmp_path, {key: value for key, value in SHAS.items() if key != "tokenizer"}, SHAS)


def test_a_model_s_hash_sees_values_names_and_shapes_and_not_the_type() -> None:
    import torch

    def model(**tensors: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(named_parameters=lambda: list(tensors.items()))

    weight = torch.randn(40, 60, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    sha = model_hash(model(a=weight))
    assert sha == model_hash(model(a=weight.float())) == model_hash(model(a=weight.T.contiguous().T))
    assert sha != model_hash(model(b=weight))
    assert sha != model_hash(model(a=weight.reshape(60, 40)))
    assert sha != model_hash(model(a=weight * 1.1))
    assert model_hash(model(a=weight, b=weight)) == model_hash(model(b=weight, a=weight))
