"""report.html: every number on it counted once more from the tuning's files, and no row more than text in it."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from page_reader import Page
from report_by_hand import grown, make_folder, predictions_of

from tune.cli import main
from tune.errors import UserError
from tune.page.charts import intervals
from tune.page.measure import SHOWN
from tune.report import export, report

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
WORDS = {"0": "不同", "1": "相同"}
HOSTILE = (
    "</script><script>window.broken = 1</script>",
    "<img src=x onerror='window.broken = 1'>",
    "\u202e这句倒着\u202c写",
    "{{ 7*7 }}{% for %} &lt;b&gt;",
    "'\" onmouseover=alert(1) x='",
    "长" * 1_000_000,
)


def labels_said(at: int, sample: dict) -> tuple[str, str]:
    """Base names no label now and then and is right on a third; tuned is right on most rows."""
    right, wrong = (WORDS[str(abs(int(sample["meta"]["label"]) - turn))] for turn in (0, 1))
    return (right, wrong, "不知道")[at % 3], wrong if at % 7 == 0 else right


def texts_said(at: int, sample: dict) -> tuple[str, str]:
    """Base gives a part of the answer, tuned all of it or something else."""
    right = sample["output"]
    return right[: at % 4], right if at % 3 else "别的话" + right[:1]


def same_said(at: int, sample: dict) -> tuple[str, str]:
    _, answer = labels_said(at, sample)
    return answer, answer


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """Tunings on hand-made runs: labels (64 rows), answers, dialogues, a mixture, and rows that mean harm."""
    place = tmp_path_factory.mktemp("reports")
    many = grown(GOLDEN / "pair", place / "runs" / "pair", "validation", 64)
    (many / "card.html").write_text("the card", encoding="utf-8")
    made = {
        "pair": make_folder(many, place / "tunings" / "pair", labels_said),
        "mrc": make_folder(GOLDEN / "mrc", place / "tunings" / "mrc", texts_said),
        "dialogue": make_folder(GOLDEN / "dialogue", place / "tunings" / "dialogue", texts_said),
        "mixture": make_folder(
            GOLDEN / "mixture",
            place / "tunings" / "mixture",
            lambda at, sample: (labels_said if sample["meta"]["task"] == "pair" else texts_said)(at, sample),
        ),
        "hostile": make_folder(
            GOLDEN / "mrc", place / "tunings" / "hostile", lambda at, _: (HOSTILE[at % 6], HOSTILE[at % 5])
        ),
    }
    for folder in made.values():
        assert report(folder) == []
    return made


def html_of(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def eval_of(folder: Path) -> dict:
    return json.loads((folder / "eval.json").read_text(encoding="utf-8"))


def rows_of(folder: Path, split: str) -> list[dict]:
    return [row for row in predictions_of(folder) if row["split"] == split]


def shown(figure: dict, form: str = ".1f", scale: float = 100) -> str:
    value, low, high = (format(figure[key] * scale, form) for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


# ---- numbers


@pytest.mark.parametrize("name", ["pair", "mrc", "dialogue", "mixture"])
def test_every_figure_of_eval_json_is_in_its_table(folders, name):
    page, found = Page(html_of(folders[name])), eval_of(folders[name])
    assert list(found["base"]) == list(found["tuned"])
    for index, section in enumerate(found["tuned"]):
        cells = {row[0]: row[1:] for row in page.tables[f"scores-{index}"][1:]}
        for metric, figure in found["tuned"][section].items():
            if not isinstance(figure, dict):
                assert metric == "n"
            elif metric == "majority":
                assert f"majority {shown(figure)}" in page.text
            elif metric == "answer_loss":
                sides = [shown(found[model][section][metric], ".3f", 1) for model in ("base", "tuned")]
                assert cells[metric][:2] == sides
            else:
                assert cells[metric][:2] == [shown(found[model][section][metric]) for model in ("base", "tuned")]


@pytest.mark.parametrize(("name", "metric"), [("pair", "accuracy"), ("mrc", "cmrc_f1")])
def test_a_difference_and_its_interval_are_of_the_same_rows(folders, name, metric):
    """By hand: of every draw of rows, the mean of the rows' differences; and the judgement follows from it."""
    index = list(eval_of(folders[name])["tuned"]).index("validation")
    gain = np.array([r["scores"][metric] - r["base_scores"][metric] for r in rows_of(folders[name], "validation")])
    assert 0 < (gain != 0).sum() < len(gain), "the test needs rows on which they differ, and rows on which they don't"
    draws = gain[np.random.default_rng(5).integers(len(gain), size=(20_000, len(gain)))].mean(axis=1)
    low, high = 100 * np.percentile(draws, (2.5, 97.5))
    row = next(row for row in Page(html_of(folders[name])).tables[f"scores-{index}"] if row[0] == metric)
    value, *ends = map(float, re.findall(r"[+-][\d.]+", row[3]))
    assert value == pytest.approx(100 * gain.mean(), abs=0.051)
    assert ends == pytest.approx([low, high], abs=9 if len(gain) < 20 else 3.2)
    assert row[4] == ("看不出差别" if ends[0] <= 0 <= ends[1] else "变好" if value > 0 else "变差")


def test_dots_and_whiskers_stand_where_the_figures_are(folders):
    """0 stands at 8, 100 at 352 of 360."""
    found, html = eval_of(folders["pair"]), html_of(folders["pair"])
    for index, section in enumerate(found["tuned"]):
        (svg,) = re.findall(rf'aria-labelledby="fig-scores-{index}">(.*?)</svg>', html)
        for model in ("base", "tuned"):
            figures = [found[model][section][metric] for metric in ("exact_match", "accuracy", "f1")]
            places = [float(x) for x in re.findall(rf'<circle class="dot {model}" cx="([\d.]+)"', svg)]
            assert places == pytest.approx([8 + 344 * one["value"] for one in figures], abs=0.06)
            ends = re.findall(rf'<line class="whisker {model}" x1="([\d.]+)" y1="([\d.]+)" x2="([\d.]+)" y2="\2"', svg)
            wanted = [8 + 344 * one[end] for one in figures for end in ("low", "high")]
            assert [float(x) for begin, _, end in ends for x in (begin, end)] == pytest.approx(wanted, abs=0.06)


def test_a_correlation_may_be_negative():
    figure = {"value": -0.5, "low": -1.0, "high": 0.5}
    chart = intervals({"pearson": {"base": figure, "tuned": None}}, {})
    assert chart is not None
    svg = chart.inline("x")
    assert [float(x) for x in re.findall(r'<circle class="dot base" cx="([\d.]+)"', svg)] == [8 + 344 / 4]
    assert intervals({"answer_loss": {"base": figure}}, {}) is None


def test_the_verdict_says_what_the_difference_says(folders):
    found = eval_of(folders["pair"])
    zh, en = (Page(html_of(folders["pair"]), lang).text for lang in ("zh", "en"))
    base, tuned = (f"{100 * found[model]['validation']['accuracy']['value']:.1f}" for model in ("base", "tuned"))
    assert "验证集：变好" in zh and f"accuracy 从 {base} 变为 {tuned}，差 +" in zh
    assert "validation: better" in en and f"accuracy went from {base} to {tuned}" in en
    level = f"{100 * found['tuned']['validation']['majority']['value']:.1f}"
    assert re.search(rf"高于“总是答最常见的标签”的 {level}，差 \+", zh)
    # four rows of test: whatever the figures, an interval that holds 0 is never called a change
    assert ("test: no difference beyond chance" in en) != ("test: better" in en)
    assert "no difference" in en or found["tuned"]["test"]["accuracy"]["low"] > 0


def test_no_difference_is_never_called_one(tmp_path):
    folder = make_folder(GOLDEN / "pair", tmp_path / "t", same_said)
    report(folder)
    page = Page(html_of(folder), "en")
    assert "validation: no change" in page.text
    assert "validation: better" not in page.text and "validation: worse" not in page.text


def test_confusions_and_classes(folders):
    folder = folders["pair"]
    page, rows = Page(html_of(folder)), rows_of(folder, "validation")
    index = list(eval_of(folder)["tuned"]).index("validation")
    classes = {row[0]: row[1:] for row in page.tables[f"classes-{index}"][1:]}
    for side, (model, key) in enumerate((("base", "base_prediction"), ("tuned", "prediction"))):
        pairs = Counter((row["references"][0], row[key]) for row in rows)
        head, *table = page.tables[f"confusion-{index}-{model}"]
        assert head[1:] == ["0 不同", "1 相同", "没有答出标签"]
        for row, gold in zip(table, ("不同", "相同"), strict=True):
            assert row[1:] == [str(pairs[gold, said]) for said in ("不同", "相同", "不知道")]
            right, called = pairs[gold, gold], sum(n for (_, said), n in pairs.items() if said == gold)
            true = sum(n for (g, _), n in pairs.items() if g == gold)
            told = classes[row[0]]
            assert told[0] == str(true)
            figures = [right / called, right / true, 2 * right / (called + true)]
            assert [told[1 + 2 * at + side] for at in range(3)] == [f"{100 * one:.1f}" for one in figures]
    drawn = re.findall(rf'aria-labelledby="fig-confusion-{index}-tuned">(.*?)</svg>', html_of(folder))
    hints = dict(re.findall(r"<title>(.*?): (\d+)</title>", drawn[0]))
    pairs = Counter((row["references"][0], row["prediction"]) for row in rows)
    code = {word: code for code, word in WORDS.items()}
    assert hints == {f"{code[gold]} → {code[said]}": str(n) for (gold, said), n in pairs.items()}


def test_rows_fixed_and_broken_are_counted_and_sampled(folders):
    folder = folders["pair"]
    page, html = Page(html_of(folder)), html_of(folder)
    pairs = {r["id"]: (r["base_scores"]["accuracy"], r["scores"]["accuracy"]) for r in rows_of(folder, "validation")}
    counts = Counter(pairs.values())
    said = f"改对 {counts[0, 1]} 行，改错 {counts[1, 0]} 行，一直对 {counts[1, 1]} 行，一直错 {counts[0, 0]} 行"
    assert f"验证集（按 accuracy）：{said}" in page.text
    groups = re.findall(
        r'<details class="reason">\s*<summary>.*?>(\S+)</span>.*?(</summary>.*?)</details>', html, re.S
    )
    first = dict(reversed(groups))  # of validation, which stands before test
    for name, kind in (("改对了", (0, 1)), ("改错了", (1, 0)), ("仍然错", (0, 0))):
        ids = re.findall(r"<code>(grown/validation/\d+)</code>", first[name])
        assert len(ids) == len(set(ids)) == min(SHOWN, counts[kind])
        assert all(pairs[id] == kind for id in ids)
        assert f"抽取 {len(ids)} 行，共 {counts[kind]} 行" in page.text
    assert counts[0, 1] > SHOWN, "the test needs more rows than are shown"


def test_the_curve_tells_the_losses(folders):
    folder = folders["pair"]
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]
    losses = {line["step"]: line["loss"] for line in lines if "loss" in line}
    rates = {line["step"]: line["lr"] for line in lines if "lr" in line}
    evals = {line["step"]: line["answer_loss"] for line in lines if line.get("kind") == "eval"}
    rows = Page(html_of(folder)).tables["curve"][1:]
    assert [int(row[0]) for row in rows] == [1, 10, 20, 30, 40]
    for step, smooth, validation, lr in rows:
        step, near = int(step), min(1, int(step) - 1, 40 - int(step))
        mean = np.mean([losses[other] for other in range(step - near, step + near + 1)])
        assert float(smooth) == pytest.approx(mean, abs=6e-4)
        assert validation == (f"{evals[step]:.3f}" if step in evals else "–")
        assert float(lr) == pytest.approx(rates[step], rel=6e-3)
    assert "保留的是第 30 步的权重" in Page(html_of(folder)).text


@pytest.mark.parametrize("name", ["mrc", "dialogue"])
def test_how_the_rows_scores_are_spread(folders, name):
    folder = folders[name]
    page = Page(html_of(folder))
    for index, section in enumerate(eval_of(folder)["tuned"]):
        rows = rows_of(folder, section)
        losses = page.tables[f"spread-{index}-answer_loss"][1:]
        for side, prefix in ((1, "base_"), (2, "")):
            values = [r[f"{prefix}scores"]["nll"] / r[f"{prefix}scores"]["answer_tokens"] for r in rows]
            assert sum(int(row[side]) for row in losses) == len(values)
            columns = [row for row in losses if "–" in row[0]]
            for row in columns:
                low, high = map(float, row[0].split("–"))
                last = row is columns[-1]
                inside = [v for v in values if low <= v < high or (last and v == high)]
                assert int(row[side]) == len(inside)
            if name == "mrc":
                f1 = [100 * r[f"{prefix}scores"]["cmrc_f1"] for r in rows]
                for at, row in enumerate(page.tables[f"spread-{index}-cmrc_f1"][1:]):
                    assert int(row[side]) == sum(10 * at <= v < 10 * (at + 1) + (at == 9) for v in f1)


def test_what_was_trained_and_of_what(folders):
    page = Page(html_of(folders["pair"]), "en")
    for said in (
        "1,500,000 of 600,000,000 (0.25%)",
        "1,234 samples, 98,765 tokens, 4,321 of them learnt; 7 too long and dropped, 0 shortened",
        "40 steps of 16 samples, 2 epochs",
        "planned 3.0 GiB, peak used 1.0 GiB",
        "2,346 tokens a second",
        "61 s of training, 90 s with evaluation",
        "acme/small-1B",
        f"sha256 {16 * 'd'}; tokenizer {16 * 'b'}, prompt template {16 * 'c'}",
        "python -m tune train runs/pair --config config.lock.yaml",
    ):
        assert said in page.text, said
    assert [row[0] for row in page.tables["settings"][1:]] == ["batch", "r"]
    manifest = json.loads((GOLDEN / "pair" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["fingerprint"][:16] in page.text and manifest["recipe"]["sha256"][:16] in page.text


def test_the_way_to_the_data_card(folders):
    (link,) = re.findall(r'href="([^"#]*card\.html)"', html_of(folders["pair"]))
    assert not link.startswith("/")
    assert (folders["pair"] / link).read_text(encoding="utf-8") == "the card"
    assert "card.html" not in html_of(folders["mrc"])
    for folder in folders.values():
        assert str(folder.parent.parent) not in html_of(folder) and str(GOLDEN) not in html_of(folder)


def test_a_mixture_is_told_corpus_by_corpus(folders):
    page, found = Page(html_of(folders["mixture"])), eval_of(folders["mixture"])
    corpora = [section for section in found["tuned"] if "/" in section]
    rows = page.tables["verdict"][1:]
    assert len(rows) == len(corpora) > 2
    for row, section in zip(rows, corpora, strict=True):
        assert section.partition("/")[2] in row[0]
        assert row[3] == shown(found["tuned"][section][row[1]])
    assert {row[0] for row in page.tables["corpora"][1:]} == {section.partition("/")[2] for section in corpora}


# ---- the page


@pytest.mark.parametrize("name", ["pair", "mrc", "dialogue", "mixture", "hostile"])
def test_a_page_is_one_whole_file(folders, name):
    html = html_of(folders[name])
    assert len(html.encode()) < 2_000_000
    assert not re.search(r"(?:src|srcset|action)=\"|url\(|@import|<link|<iframe|<object| style=", html)
    assert html.count("<script") == html.count("</script") == 1
    page = Page(html)
    assert len(page.ids) == len(set(page.ids)) and set(page.links) <= set(page.ids)
    assert page.tags.count("h1") == 1 and {"main", "nav", "header", "footer"} <= set(page.tags)
    before = (folders[name] / "report.html").read_bytes()
    report(folders[name])
    assert (folders[name] / "report.html").read_bytes() == before


def test_rows_that_mean_harm_are_text(folders):
    page = Page(html_of(folders["hostile"]))
    assert page.tags.count("script") == 1 and "img" not in page.tags
    assert HOSTILE[0] in page.text and HOSTILE[3] in page.text
    assert "⟨U+202E⟩" in page.text and "\u202e" not in page.text
    assert "长" * 200 in page.text and "长" * 1000 not in page.text


def test_without_rows_no_text_of_the_corpus(folders, tmp_path):
    page = export(folders["mrc"], tmp_path / "shown", "en")
    html = page.read_text(encoding="utf-8")
    for row in predictions_of(folders["mrc"]):
        assert row["prompt"][:30] not in html and row["id"] not in html
        assert not any(len(text) > 3 and text in html for text in [*row["references"], row["prediction"]])
    assert "figures only" in Page(html, "en").text and "scores-0" in Page(html).tables
    with pytest.raises(UserError, match="is a tuning"):
        export(folders["mrc"], folders["pair"])
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(UserError, match="is a file"):
        export(folders["mrc"], tmp_path / "file")


def test_what_is_missing_is_said(folders, tmp_path):
    only = make_folder(GOLDEN / "pair", tmp_path / "only", labels_said, models=("tuned",))
    report(only)
    page = Page(html_of(only), "en")
    assert "only the tuned model was evaluated" in page.text and "classes-0" not in page.tables
    never = make_folder(GOLDEN / "pair", tmp_path / "never", labels_said, models=())
    report(never)
    assert "python -m tune eval never" in Page(html_of(never), "en").text
    (never / "metrics.jsonl").unlink()
    report(never)
    assert "no record of the training" in Page(html_of(never), "en").text
    gone = Path(shutil.copytree(folders["pair"], tmp_path / "gone"))
    local = json.loads((gone / "local.json").read_text(encoding="utf-8")) | {"run": str(tmp_path / "nowhere")}
    (gone / "local.json").write_text(json.dumps(local), encoding="utf-8")
    report(gone)
    page = Page(html_of(gone), "en")
    assert "The run is gone or another by now" in page.text and "scores-0" in page.tables
    broken = Path(shutil.copytree(folders["pair"], tmp_path / "broken"))
    (broken / "predictions.jsonl").write_text('{"id": 1}\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"predictions.jsonl:1: no line of predictions"):
        report(broken)


def test_the_command(folders, tmp_path, monkeypatch, capsys):
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    folder = Path(shutil.copytree(folders["mrc"], tmp_path / "mrc"))
    assert main(["report", str(folder), "--lang", "en", "--open"]) == 0
    assert opened == [(folder / "report.html").as_uri()]
    assert f"report: {folder / 'report.html'}" in capsys.readouterr().out
    assert '<html lang="en">' in html_of(folder)
    assert main(["report", str(folder), "--no-rows"]) == 2
    assert "--no-rows and --out go together" in capsys.readouterr().err
    assert main(["report", str(folder), "--no-rows", "--out", str(tmp_path / "shown")]) == 0
    assert [path.name for path in (tmp_path / "shown").iterdir()] == ["report.html"]
