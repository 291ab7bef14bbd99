"""What was trained, at what cost and of what: the report's last sections, each as safe HTML."""

from __future__ import annotations

import json
import re
from typing import Any

from jingtiao import page as frame
from jingtiao.both import Both, both, escape, prose, said, value
from jingtiao.markdown import cell
from jingtiao.numbers import count
from jingtiao.page import safe
from tune.device import size
from tune.model_card import TASKS, reproduce_line
from tune.page.words import split_words, words
from tune.page.words import told as html
from tune.timing import duration

Report = dict[str, Any]


def training(report: Report) -> list[tuple[Any, Any]]:
    """Labels and values: method, size, data, steps, and what it cost."""
    config, plan, local = (report[key] for key in ("config", "plan", "local"))
    trained, parameters = local.get("training") or {}, plan.get("parameters") or {}
    told: list[tuple[str, Any]] = [("method", f"`{config.method}`"), ("model", f"`{cell(config.model)}`")]
    told.append(("objective", words(f"learns_{config.objective or 'sft'}")))
    if {"trainable", "total"} <= parameters.keys():
        share = f"{parameters['trainable'] / parameters['total']:.2%}" if parameters["total"] else "–"
        numbers = {key: count(parameters[key]) for key in ("trainable", "total")}
        told.append(("parameters", words("of_parameters").fill(**numbers, share=share)))
    if {"samples", "tokens", "answer_tokens"} <= plan.keys():
        numbers = {"samples": plan["samples"], "tokens": plan["tokens"], "learnt": plan["answer_tokens"]}
        data = words("of_data").fill(**{key: count(n) for key, n in numbers.items()})
        if plan.get("dropped") or plan.get("truncated"):
            numbers = {key: count(plan.get(key) or 0) for key in ("dropped", "truncated")}
            data = _joined(data, words("left_out").fill(**numbers))
        told.append(("data", data))
    steps = trained.get("steps") or plan.get("steps")
    if steps and {"batch", "epochs"} <= plan.keys():
        epochs = f"{plan['epochs'] * steps / plan['steps'] if plan.get('steps') else plan['epochs']:.3g}"
        told.append(("steps", words("of_steps").fill(steps=count(steps), batch=count(plan["batch"]), epochs=epochs)))
    told += _costs(plan, trained, local)
    told.append(("seed", str(config.seed)))
    return [(html(key), safe(prose(text))) for key, text in told]


def settings(report: Report) -> Any:
    """The settings that are not the default, as a table."""
    if not report["settings"]:
        return html("all_default")
    rows = [[key, *map(_setting, pair)] for key, *pair in report["settings"]]
    head = [words(key) for key in ("setting", "value", "default")]
    return safe(frame.table("settings", words("settings"), head, rows, texts=3))


def lineage(report: Report) -> list[tuple[Any, list[Any]]]:
    """From the corpus to what was trained: headings, each with its sentences."""
    config, hashes, manifest = (report[key] for key in ("config", "hashes", "manifest"))
    told: list[tuple[str, list[str]]] = _of_run(report) if manifest else [("run", [prose(words("run_unknown"))])]
    shas = {"sha": "model", "tokenizer": "tokenizer", "template": "template"}
    based = {key: _sha(hashes.get(name)) for key, name in shas.items()}
    told.append(("base_model", [prose(words("base_is").fill(model=cell(config.model), **based))]))
    folder = report["folder"]
    result = words("result_is").fill(folder=folder, method=config.method, seed=config.seed)
    told.append(("result", [prose(result), prose(words("licences_hold"))]))
    return [(html(key), [safe(one) for one in sentences]) for key, sentences in told]


def corpora(report: Report) -> Any:
    """Of a mixture a row a corpus."""
    entries = report["manifest"].get("mixture", {}).get("corpora", {})
    if not entries:
        return ""
    rows: list[list[Any]] = []
    for name, entry in sorted(entries.items()):
        licence = report["corpus"].get("licenses", {}).get(name)
        made = entry.get("recipe", {})
        numbers = [
            count(entry.get("written", 0)),
            f"{entry.get('realised', 0):.1%}",
            count(entry.get("repeats", 0)),
        ]
        texts = [name, f"{made.get('name')} {made.get('version', '')}", _sha(entry.get("fingerprint"))]
        rows.append([*texts, licence or words("not_stated"), *numbers])
    keys = ("name", "recipe", "fingerprint", "licence_head", "train", "share", "repeats")
    return safe(frame.table("corpora", words("mixed_of"), [words(key) for key in keys], rows, texts=4))


def reproduce(report: Report) -> str:
    """The line that makes the tuning again."""
    return reproduce_line(report["plan"])


def _costs(plan: Report, trained: Report, local: Report) -> list[tuple[str, Any]]:
    """Memory, speed and time; planned is what the device's own count is held against."""
    told: list[tuple[str, Any]] = []
    memory = plan.get("memory") or {}
    planned = memory.get("peak" if plan.get("device") == "CPU" else "allocated")
    if planned and trained.get("peak_memory"):
        used = size(trained["peak_memory"])
        told.append(("memory", words("of_memory").fill(planned=size(planned), used=used)))
    elif planned:
        told.append(("memory", words("planned_memory").fill(planned=size(planned))))
    if trained.get("tokens_per_second"):
        told.append(("speed", words("of_speed").fill(speed=f"{trained['tokens_per_second']:,.0f}")))
    if trained.get("seconds") and local.get("seconds"):
        spent = {"training": duration(trained["seconds"]), "all": duration(local["seconds"])}
        told.append(("time", words("of_time").fill(**spent)))
    if plan.get("device"):
        told.append(("device", cell(plan["device"])))
    return told


def _of_run(report: Report) -> list[tuple[str, list[str]]]:
    """The lineage's first stations: corpus, recipe, run."""
    manifest, corpus = report["manifest"], report["corpus"]
    recipe = manifest["recipe"]
    title = corpus.get("title") or corpus.get("pretty_name") or recipe.get("name", "")
    task = TASKS.get(manifest.get("task", ""))
    told = [value(title) + (f"　{value(Both(*task))}" if task else "")]
    if re.fullmatch(r"https?://[^\s<>\"']+", home := str(corpus.get("homepage", ""))):
        told.append(f'<a href="{escape(home)}" rel="noreferrer">{escape(home)}</a>')
    licence = corpus.get("terms") or corpus.get("license")
    told.append(prose(words("licence").fill(licence=cell(licence) if licence else words("not_stated"))))
    if corpus.get("citation"):
        told.append(f'<span class="dim">{value(corpus["citation"])}</span>')
    made = words("recipe_is").fill(
        name=cell(recipe.get("name")), version=cell(recipe.get("version", "")), sha=_sha(recipe.get("sha256"))
    )
    splits = [
        words("rows_of").fill(split=split_words(split), n=count(counts["written"]))
        for split, counts in manifest.get("splits", {}).items()
    ]
    rows = both(
        lambda lang: (
            "，".join(said(s, lang) for s in splits) if lang == "zh" else ", ".join(said(s, lang) for s in splits)
        )
    )
    ran = words("run_is").fill(fingerprint=_sha(report["hashes"].get("run")), seed=manifest.get("seed"))
    run = [prose(ran), value(rows)]
    if report["card"]:
        run.append(f'<a href="{escape(report["card"])}">{prose(words("data_card"))}</a>')
    return [("corpus", told), ("recipe", [prose(made)]), ("run", run)]


def _setting(value: Any) -> str:
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _sha(digest: object) -> str:
    return cell(str(digest or "?")[:16])


def _joined(*parts: Both) -> Both:
    return Both(*("".join(texts) for texts in zip(*parts, strict=True)))
