"""Recipes: what is accepted, and every way of being wrong, at its place and with the nearest name."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from curate import resources
from curate.recipefile import Recipe, load_recipe, recipe_schema
from curate.tasks import TASKS
from curate.types import UserError

SHIPPED = [
    "fudan",
    "bq",
    "chnsenticorp",
    "cmrc2018",
    "drcd",
    "lccc",
    "lcqmc",
    "lcsts",
    "nlpcc-kbqa",
    "nlpcc-summary",
    "ecdt",
    "nlpcc-headline",
    "nlpcc-stance",
]

GOOD = """\
name: demo
version: 1.0.0
title: 演示
task: pair
labels: {0: 不同, 1: 相同}
source:
  reader: table
  files: {train: ["*train*"]}
steps:
  - normalise
  - exact_dedup: {by: text}
  - segment: {as: meta}
templates: pair
metrics: [accuracy]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "demo.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def load(folder: Path, text: str, *overrides: str) -> Recipe:
    return load_recipe(write(folder, text), list(overrides))


def errors(folder: Path, text: str, *overrides: str) -> list[str]:
    """The messages, with the folder's path cut off."""
    with pytest.raises(UserError) as raised:
        load(folder, text, *overrides)
    return [message.replace(f"{folder}/", "") for message in raised.value.messages]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_recipe(name: str) -> None:
    recipe = load_recipe(name)
    text = recipe.path.read_text(encoding="utf-8")
    assert recipe.name == name
    assert len(text.splitlines()) < 40
    assert text.startswith("# yaml-language-server: $schema=./recipe.schema.json\n")
    assert recipe.sha256 == hashlib.sha256(recipe.path.read_bytes()).hexdigest()
    assert recipe.templates_path.is_file()
    assert set(recipe.metrics) <= set(TASKS[recipe.task].metrics)
    assert recipe.license and recipe.homepage and recipe.citation
    assert {"exact_dedup", "leak_check"} <= {use.name for use in recipe.steps}


def test_shipped_recipes_are_listed() -> None:
    assert set(SHIPPED) <= set(resources.recipe_names())


def test_pairs_compare_by_text_and_leaks_by_key() -> None:
    pair, reading = load_recipe("lcqmc"), load_recipe("cmrc2018")
    assert pair.step("exact_dedup").options.by == "text"
    assert pair.step("leak_check").options.by == "key"
    assert reading.step("leak_check").options.key == ["context"]


def test_good_recipe(tmp_path: Path) -> None:
    recipe = load(tmp_path, GOOD)
    assert recipe.labels == {"0": "不同", "1": "相同"}  # unquoted keys are text
    assert recipe.source.reader == ("table",)
    assert [use.name for use in recipe.steps] == ["normalise", "exact_dedup", "segment"]
    assert recipe.step("exact_dedup").options.by == "text"
    assert recipe.step("cap") is None
    assert recipe.overrides == {}
    assert recipe.path == tmp_path / "demo.yaml"


def test_a_recipe_can_not_be_changed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(tmp_path, GOOD).name = "other"  # type: ignore[misc]


def test_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    assert load(tmp_path, "\ufeff" + GOOD).name == "demo"


def test_all_errors_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = (
        GOOD.replace("title:", "titel:")
        .replace("version: 1.0.0", "version: 1.0")
        .replace("- normalise", "- normalize")
        .replace("as: meta", "as: metaa, sa: 1")
        .replace("[accuracy]", "[acuracy]")
        .replace("reader: table", "reader: tabel")
    )
    assert errors(tmp_path, text) == [
        "demo.yaml:1:1: 'title' is missing",
        "demo.yaml:2:10: version: must be text, not 1.0; put it in quotes",
        "demo.yaml:3:1: unknown key 'titel'; did you mean 'title'?",
        "demo.yaml:7:11: unknown reader 'tabel'; did you mean 'table'?",
        "demo.yaml:10:5: unknown step 'normalize'; did you mean 'normalise'?",
        "demo.yaml:12:19: segment.as: 'metaa' is not one of meta, text, stats, off; did you mean 'meta'?",
        "demo.yaml:12:26: step segment has no option 'sa'; known are as, engine, user_dict, fields",
        "demo.yaml:14:11: 'acuracy' is not a metric of task pair; did you mean 'accuracy'?",
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("0: 不同", "true: 不同", "demo.yaml:5:10: a key must be text, not 'true' (bool); put it in quotes"),
        ("0: 不同", "0: true", "demo.yaml:5:13: labels.0: must be text, not true; put it in quotes"),
        ("0: 不同", "0: 相同", "demo.yaml:5:20: '相同' is already the word of label '0'"),
        ("0: 不同", "1: 不同", "demo.yaml:5:17: '1' is already given on line 5; keep one of them"),
        ("version: 1.0.0", "version: 1.0.0\nversion: 1.0.1", "demo.yaml:3:1: 'version' is already given on line 2"),
        ("task: pair", "task: pairs", "demo.yaml:4:7: task: 'pairs' is not one of pair, classification"),
        ("task: pair", "task: mrc", "demo.yaml:5:1: task mrc has no labels; remove 'labels'"),
        ("labels: {0: 不同, 1: 相同}\n", "", "demo.yaml:1:1: task pair needs labels"),
        ("{train:", "{dev:", "demo.yaml:8:11: source.files.dev: 'dev' is not a split; did you mean 'validation'?"),
        ("{train:", "{trian:", "not one of train, validation, test; did you mean 'train'?"),
        ('["*train*"]', "[]", "demo.yaml:8:18: source.files.train: must not be empty"),
        ("reader: table", "reader: table\n  encoding: utf-9", "demo.yaml:8:13: source.encoding: unknown encoding"),
        ("name: demo", "name: 演示", "demo.yaml:1:7: name: '演示' must be lower-case letters"),
        ("templates: pair", "templates: pairs", "demo.yaml:13:12: no templates 'pairs'; did you mean 'pair'?"),
        ("{by: text}", "text", "demo.yaml:11:18: the options of 'exact_dedup' must be a mapping"),
        ("{by: text}", "{by: true}", "demo.yaml:11:23: exact_dedup.by: true is not one of text, key"),
        ("{by: text}", "{key: [a, c]}", "demo.yaml:11:28: task pair has no field 'c'"),
        ("- normalise", "- length: {min: true}", "demo.yaml:10:19: length.min: should be a valid integer"),
        ("- normalise", "- length: {fields: [lable]}", "task pair has no field 'lable'; did you mean 'label'?"),
        ("- normalise", "- select: {field: a, min: 1}", "select compares numbers; 'a' is not a number in task pair"),
        ("- normalise", "- select", "demo.yaml:10:5: step select: 'field' is missing"),
        ("- normalise", "- 12", "demo.yaml:10:5: a step is 'name' or 'name: {options}', not 12"),
        ("- normalise", "- {normalise: , require: }", "demo.yaml:10:5: a step is 'name' or 'name: {options}'; begin"),
        ("- normalise", "- exact_dedup", "demo.yaml:11:5: step 'exact_dedup' is already in the list"),
        ("- normalise", "- locate_answer", "demo.yaml:10:5: 'locate_answer' is for task mrc"),
        ("metrics: [accuracy]", "metrics: []", "demo.yaml:14:10: metrics: must not be empty"),
        ("metrics: [accuracy]", "metrics: [accuracy]\ntune: {lr: [1]}", "demo.yaml:15:12: tune.lr: must be one value"),
    ],
)
def test_one_error(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in GOOD
    messages = errors(tmp_path, GOOD.replace(old, new, 1))
    assert any(expected in message for message in messages), messages


def test_judgements_stand_together(tmp_path: Path) -> None:
    text = GOOD.replace("  - segment: {as: meta}\n", "  - segment: {as: meta}\n  - leak_check\n")
    assert errors(tmp_path, text) == [
        "demo.yaml:13:5: 'leak_check' judges all rows and must stand beside 'exact_dedup', before 'segment'"
    ]


def test_nothing_changes_the_text_after_locate_answer(tmp_path: Path) -> None:
    text = (
        GOOD.replace("task: pair", "task: mrc")
        .replace("labels: {0: 不同, 1: 相同}\n", "")
        .replace("[accuracy]", "[cmrc_em]")
        .replace("- normalise", "- locate_answer\n  - normalise")
    )
    found = errors(tmp_path, text)
    assert found == ["demo.yaml:10:5: 'normalise' changes the text and must stand before 'locate_answer'"]


LATE = "changes the text and must stand before"
DEDUP = "- exact_dedup: {by: text}"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("- normalise", "- redact_pii\n  - normalise", f"11:5: 'normalise' {LATE} 'redact_pii'"),
        ("- normalise", "- redact_pii\n  - strip_markup", f"11:5: 'strip_markup' {LATE} 'redact_pii'"),
        (f"{DEDUP}\n  - segment: {{as: meta}}", "- segment\n  - redact_pii", f"12:5: 'redact_pii' {LATE} 'segment'"),
        (DEDUP, "- cap: {per: label, max: 3}\n  - redact_pii", "12:5: 'redact_pii' masks what is compared and must "
         "stand before 'cap'"),
        ("- segment: {as: meta}", "- segment\n  - blocklist: {file: w.txt}", f"13:5: 'blocklist' {LATE} 'segment'"),
        ("- normalise", "- redact_pii: {kinds: [mobil]}", "10:26: redact_pii.kinds: 'mobil' is not one of mobile, "
         "landline, id_card, bank_card, email, qq, wechat, ip, url; did you mean 'mobile'?"),
        ("- normalise", "- redact_pii: {kinds: []}", "10:25: redact_pii.kinds: must not be empty"),
        ("- normalise", "- blocklist", "10:5: step blocklist: 'file' is missing"),
        ("- normalise", "- quality: {min_hann: 0.2}", "10:15: step quality has no option 'min_hann'; did you mean "
         "'min_han'?"),
        ("- normalise", "- language: {keep: [en]}", "10:23: language.keep: 'en' is not one of zh, ja, ko, latin, "
         "cyrillic, other"),
    ],
)  # fmt: skip
def test_steps_about_content(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in GOOD
    assert errors(tmp_path, GOOD.replace(old, new, 1)) == [f"demo.yaml:{expected}"]


def test_a_rule_of_quality_is_turned_off_by_null(tmp_path: Path) -> None:
    recipe = load(tmp_path, GOOD.replace("- normalise", "- quality: {min_han: null}"))
    assert recipe.step("quality").options.min_han is None
    assert recipe.step("quality").options.max_run == 0.5


def test_label_conflict_needs_labels(tmp_path: Path) -> None:
    text = (
        GOOD.replace("task: pair", "task: dialogue")
        .replace("labels: {0: 不同, 1: 相同}\n", "")
        .replace("[accuracy]", "[bleu2]")
        .replace("- exact_dedup: {by: text}", "- label_conflict\n  - cap: {per: label, max: 3}")
    )
    assert errors(tmp_path, text) == [
        "demo.yaml:10:5: 'label_conflict' needs labels; task dialogue has none",
        "demo.yaml:11:16: task dialogue has no labels; use 'per: answer' or 'per: template'",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "demo.yaml:1:1: the file is empty"),
        ("- a\n", "demo.yaml:1:1: a recipe is a mapping"),
        ("name: [a\nb: c\n", "demo.yaml:2:2: YAML: expected ',' or ']'"),
        ("name: a\n\ttask: b\n", "demo.yaml:2:1: YAML: found character '\\t'"),
        ("name：a\ntask: b\n", "write ': ' (half width, with a space), not '：'"),
        ("a: \x01\n", "demo.yaml:1:4: YAML: character 0x0001 isn't allowed"),
        ("a: b\n---\nc: d\n", "demo.yaml:2:1: YAML: expected a single document"),
        ("a: !!python/name:os.system x\n", "demo.yaml:1:4: the YAML tag"),
        ("a: &x [*x]\n", "an alias that contains itself"),
        ("[" * 5000, "nested too deeply"),
        ("a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
            f"{y}: &{y} [{','.join(['*' + x] * 9)}]\n" for x, y in zip("abcdef", "bcdefg", strict=True)
        ), "too many values"),
    ],
)  # fmt: skip
def test_broken_yaml(tmp_path: Path, text: str, expected: str) -> None:
    messages = errors(tmp_path, text)
    assert any(expected in message for message in messages), messages


def test_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "demo.yaml"
    path.write_bytes(b"name: demo\n" + "title: 演示\n".encode("gb18030"))
    with pytest.raises(UserError, match=r"demo\.yaml:2:1: not UTF-8"):
        load_recipe(path)


def test_unknown_recipe() -> None:
    with pytest.raises(UserError, match=r"unknown recipe 'lcqcm'; did you mean 'lcqmc'.*chnsenticorp"):
        load_recipe("lcqcm")


@pytest.mark.parametrize("name", ["nowhere.yaml", "no/where.yaml"])
def test_missing_file(name: str) -> None:
    with pytest.raises(UserError, match="no such recipe file"):
        load_recipe(name)


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="can't be read as a recipe"):
        load_recipe(f"{tmp_path}/")


def test_yaml_1_2(tmp_path: Path) -> None:
    """`off` and `no` are words, 1e-4 is a number, a date is text."""
    recipe = load(
        tmp_path, GOOD.replace("as: meta", "as: off") + "tune: {lr: 1e-4, schedule: no}\ndescription: 2018-01-01\n"
    )
    assert recipe.step("segment").options.model_dump(by_alias=True)["as"] == "off"
    assert recipe.tune == {"lr": 1e-4, "schedule": "no"}
    assert recipe.description == "2018-01-01"


def test_overrides(tmp_path: Path) -> None:
    said = ["source.columns=text_a, text_b,label", "segment.as=off", "exact_dedup.key=[a]"]
    recipe = load(tmp_path, GOOD, *said)
    assert recipe.source.columns == ("text_a", "text_b", "label")
    assert recipe.step("segment").options.model_dump(by_alias=True)["as"] == "off"
    assert recipe.step("exact_dedup").options.key == ["a"]
    assert list(recipe.overrides) == ["exact_dedup.key", "segment.as", "source.columns"]
    assert recipe.overrides["segment.as"] == "off"
    assert recipe.sha256 == load(tmp_path, GOOD).sha256


def test_an_override_of_a_step_without_options(tmp_path: Path) -> None:
    text = GOOD.replace("exact_dedup: {by: text}", "exact_dedup")
    assert load(tmp_path, text, "exact_dedup.by=text").step("exact_dedup").options.by == "text"


def test_an_override_mends_what_the_file_has_wrong(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD.replace("by: text", "by: texts"), "exact_dedup.by=key").name == "demo"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            "{threshold: 80}",
            "demo.yaml:11:29: near_dedup.threshold: must be off or a number from 0.5 to 1 (given: '80')",
        ),
        ("{threshold: true}", "demo.yaml:11:29: near_dedup.threshold: must be off or a number from 0.5 to 1"),
        (
            "{ngram: 2.5}",
            "demo.yaml:11:25: near_dedup.ngram: must be auto or a whole number from 1 to 16 (given: '2.5')",
        ),
        ("{ngram: 0}", "demo.yaml:11:25: near_dedup.ngram: must be auto or a whole number from 1 to 16"),
        ("{short: edit2}", "demo.yaml:11:25: near_dedup.short: 'edit2' is not one of exact, edit1; did you mean"),
        ("{digits: 0}", "demo.yaml:11:26: near_dedup.digits: 0 is not one of count, ignore"),
        ("{short: edit1, ngram: 3}", "demo.yaml:11:25: 'short' is for 'ngram: auto'"),
        ("{by: key}", "demo.yaml:11:18: step near_dedup has no option 'by'; known are"),
    ],
)
def test_wrong_near_dedup(tmp_path: Path, options: str, expected: str) -> None:
    messages = errors(tmp_path, GOOD.replace("exact_dedup: {by: text}", f"near_dedup: {options}"))
    assert len(messages) == 1
    assert expected in messages[0]


def test_near_dedup_within_labels_needs_labels(tmp_path: Path) -> None:
    text = GOOD.replace("exact_dedup: {by: text}", "near_dedup: {within: label, threshold: 0.7, ngram: 3}")
    assert load(tmp_path, text).step("near_dedup").options.threshold == 0.7
    assert load(tmp_path, text, "near_dedup.threshold=off").step("near_dedup").options.threshold == "off"
    lines = text.replace("task: pair", "task: dialogue").replace("templates: pair", "templates: dialogue")
    assert any("task dialogue has no labels; remove 'within'" in message for message in errors(tmp_path, lines))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("segment.az=1", "--set segment.az=1: step segment has no option 'az'; known are"),
        ("segment.as=metaa", "--set segment.as=metaa: segment.as: 'metaa' is not one of"),
        ("exact_dedup.key=[a, c]", "--set exact_dedup.key=[a, c]: task pair has no field 'c'"),
        ("dedup.by=key", "the recipe has no step 'dedup'; did you mean 'exact_dedup'?"),
        ("leak_check.by=key", "the recipe has no step 'leak_check'; it has normalise, exact_dedup, segment"),
        ("sorce.columns=a", "the recipe has no step 'sorce'; did you mean 'source'?"),
        ("source.colums=a", "--set source.colums=a: unknown key 'colums'; did you mean 'columns'?"),
        ("segment", "--set segment: write it as step.option=value"),
        ("segment=off", "--set segment=off: write it as step.option=value"),
        ("segment.as=[off", "--set segment.as=[off: the value is not valid YAML"),
        ("segment.as=", "--set segment.as=: segment.as: '' is not one of"),
    ],
)
def test_wrong_override(tmp_path: Path, said: str, expected: str) -> None:
    messages = errors(tmp_path, GOOD, said)
    assert len(messages) == 1
    assert expected in messages[0]


def test_own_templates_beside_the_recipe(tmp_path: Path) -> None:
    text = GOOD.replace("templates: pair", "templates: own.yaml")
    assert errors(tmp_path, text)[0].startswith("demo.yaml:13:12: no templates 'own.yaml'")
    (tmp_path / "own.yaml").write_text("task: pair\n", encoding="utf-8")
    assert load(tmp_path, text).templates_path == tmp_path / "own.yaml"


def test_shipped_schema_is_up_to_date() -> None:
    """Regenerate with `python -m curate show --schema > recipes/recipe.schema.json`."""
    path = resources.recipes_dir() / "recipe.schema.json"
    assert json.loads(path.read_text(encoding="utf-8")) == recipe_schema()


def test_schema_names_every_step() -> None:
    from curate.steps import STEPS

    items = recipe_schema()["properties"]["steps"]["items"]["anyOf"]
    assert "normalise" in items[0]["enum"] and "cap" not in items[0]["enum"]
    assert {name for item in items[1:] for name in item["properties"]} == set(STEPS)


@pytest.mark.parametrize("name", SHIPPED)
def test_schema_accepts_shipped_recipes(name: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    from curate.yamlmarks import parse_yaml

    document, _ = parse_yaml(resources.recipe_path(name).read_text(encoding="utf-8"), name)
    jsonschema.validate(document.data, recipe_schema())
