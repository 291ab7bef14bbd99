"""The model card of a tuning as Markdown: facts become tables and lines, model_card.md.j2 puts them in order."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tune.config import TINIES, Config
from tune.export import serving
from tune.results import MODELS
from tune.runs import MIXTURE, Run
from tune.tables import BASELINES, metric_names, show_figure

TEMPLATE = Path(__file__).with_name("model_card.md.j2")
#: What the figures mean, those that a reader could take for something else.
MEANINGS = {
    "answer_loss": ("答案词元的平均负对数似然（nat）", "mean negative log-likelihood of the answers' tokens, in nats"),
    "perplexity": ("exp(answer_loss)", "exp(answer_loss)"),
    "exact_match": ("整个答案与某个参考答案相同", "the whole answer equals a reference"),
    "accuracy": ("答案中恰好说出正确的标签词", "the answer names the right label, and no other"),
    "f1": ("标签“1”的 F1", 'F1 of class "1"'),
    "macro_f1": ("各类 F1 的平均", "mean F1 over the classes"),
    "accuracy_likelihood": ("概率最大的标签词是正确的", "the likeliest of the label words is the right one"),
    "auc": ("ROC 曲线下面积，按标签“1”的概率", 'area under the ROC curve, by the probability of class "1"'),
    "accuracy_at_threshold": (
        "阈值取在验证集上最好的（对验证集自身偏乐观）",
        "with the threshold that is best on validation (for validation itself: flattering)",
    ),
    "majority": ("总是回答最常见的标签", "always the most frequent label"),
    "bag_of_characters": ("字袋线性模型，未经预训练", "a linear model on characters, without any pretraining"),
    "pearson": ("分数的相关系数", "Pearson's correlation of the scores"),
    "spearman": ("分数名次的相关系数", "Spearman's correlation of the scores"),
    "mae": ("分数的平均绝对误差", "mean absolute error of the scores"),
    "cmrc_em": ("CMRC 2018 官方规则的 EM", "EM by CMRC 2018's official rules"),
    "cmrc_f1": ("CMRC 2018 官方规则的 F1", "F1 by CMRC 2018's official rules"),
    "drcd_em": ("DRCD 规则的 EM", "EM by DRCD's rules"),
    "drcd_f1": ("DRCD 规则的 F1", "F1 by DRCD's rules"),
    "rouge1": ("ROUGE-1 的 F 值，按字", "ROUGE-1 F by character"),
    "rouge2": ("ROUGE-2 的 F 值，按字", "ROUGE-2 F by character"),
    "rougeL": ("ROUGE-L 的 F 值，按字", "ROUGE-L F by character"),
    "bleu2": ("BLEU-2，按字", "BLEU-2 by character"),
    "bleu4": ("BLEU-4，按字", "BLEU-4 by character"),
    "dist1": ("不同的字所占比例", "distinct characters among all"),
    "dist2": ("不同的字对所占比例", "distinct pairs of characters among all"),
}
TASKS = {
    "pair": ("句对匹配", "sentence-pair matching"),
    "classification": ("文本分类", "text classification"),
    "mrc": ("阅读理解", "reading comprehension"),
    "summarization": ("摘要", "summarization"),
    "dialogue": ("对话", "dialogue"),
    MIXTURE: ("多语料混合", "a mixture of corpora"),
}


@dataclass(frozen=True)
class Facts:
    """What a card and the report are drawn from.

    corpus: what the run's own card says of it: title, license (as the Hub calls it), terms (the licence in the
    recipe's words), homepage, citation; of a mixture licenses: {corpus: its terms}. run, card: the run and the way to
    its data card, where they are at hand. predictions: the lines of predictions.jsonl.
    """

    folder: Path
    config: Config
    hashes: dict[str, str]
    evaluation: dict[str, Any]
    steps: list[dict[str, Any]]
    plan: dict[str, Any]
    local: dict[str, Any]
    manifest: dict[str, Any]
    corpus: dict[str, Any]
    tokenizer: Any
    run: Run | None = None
    card: str | None = None
    predictions: list[dict[str, Any]] = field(default_factory=list)


def draw_card(facts: Facts, *, curve: bool) -> str:
    """The card. Chinese first, English beside it; figures and settings only, no text of the corpus."""
    from jinja2 import Environment, StrictUndefined

    zh, en = _intro(facts)
    parts = {
        "front": _front_matter(facts),
        "title": cell(facts.folder.resolve().name),
        "intro_zh": zh,
        "intro_en": en,
        "tiny": facts.config.model in TINIES,
        "results": _results(facts.evaluation),
        "mixture": facts.manifest.get("task") == MIXTURE,
        "meanings": _meanings(facts.evaluation),
        "curve": curve,
        "lineage": _lineage(facts),
        "citation": cell(facts.corpus.get("citation", "")),
        "settings": _settings(facts.config),
        "plan": _plan(facts.plan, facts.local.get("training")),
        "prompt": _prompt(facts),
        "loading": _loading(facts),
        "serving": fence("\n".join(serving(facts.folder, facts.config, facts.tokenizer, Path())), "bash"),
        "reproduce": _reproduce(facts),
    }
    # No autoescape: the parts are Markdown already, and every text in them went through `cell` or `fence`.
    frame = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    return frame.from_string(TEMPLATE.read_text(encoding="utf-8")).render(parts)


# ---- Markdown


def cell(value: object) -> str:
    """A value on one line, without markup."""
    text = " ".join(str(value).split())
    return text.translate({ord(char): f"&#{ord(char)};" for char in "\\`*~[]|<>&$"})


def fence(text: str, language: str = "text") -> str:
    """A fenced block around a text, its fence longer than any inside."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    marks = "`" * max(3, longest + 1)
    return f"{marks}{language}\n{text}\n{marks}"


def table(head: list[str], rows: list[list[str]], texts: int = 1) -> str:
    """A table of finished cells; those after the first `texts` columns stand right-aligned."""
    marks = ["---" if index < texts else "---:" for index in range(len(head))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, marks, *rows])


# ---- parts


def _front_matter(facts: Facts) -> str:
    """For the Hub; JSON's strings are YAML's too."""
    data: dict[str, Any] = {"language": ["zh"]}
    data |= {key: facts.corpus[key] for key in ("license", "license_name") if facts.corpus.get(key)}
    if _is_hub_name(facts.config.model):
        relation = "adapter" if _adapts(facts.config) else "finetune"
        data |= {"base_model": facts.config.model, "base_model_relation": relation}
    if facts.config.method != "adapter":  # which no library but this one loads
        data["library_name"] = "peft" if _adapts(facts.config) else "transformers"
    data["pipeline_tag"] = "text-classification" if facts.config.has_head else "text-generation"
    data["tags"] = ["jingtiao", facts.config.method, *([facts.manifest["task"]] if facts.manifest else [])]
    lines = []
    for key, value in data.items():
        items = [f"{key}:", *(f"- {_scalar(item)}" for item in value)] if isinstance(value, list) else []
        lines += items or [f"{key}: {_scalar(value)}"]
    return "\n".join(["---", *lines, "---"])


def _scalar(value: Any) -> str:
    plain = re.fullmatch(r"[A-Za-z][\w./-]*", value) and value.lower() not in {
        "yes",
        "no",
        "true",
        "false",
        "on",
        "off",
    }
    return value if plain else json.dumps(value, ensure_ascii=False)


def _is_hub_name(model: str) -> bool:
    return re.fullmatch(r"[\w.-]+/[\w.-]+", model) is not None


def _adapts(config: Config) -> bool:
    from tune.methods import METHODS

    return METHODS[config.method].folder == "adapter"


def _intro(facts: Facts) -> tuple[str, str]:
    model, method = cell(facts.config.model), facts.config.method
    name = facts.corpus.get("title") or facts.corpus.get("pretty_name") or facts.manifest.get("recipe", {}).get("name")
    zh, en = TASKS.get(facts.manifest.get("task", ""), ("中文指令", "Chinese instructions"))
    data = f"{cell(name)}（{zh}）" if name else zh
    english = f"{cell(name)} ({en})" if name else en
    return (
        f"由 jingtiao（精调）在{data}上以 `{method}` 方法微调 `{model}` 得到。",
        f"`{model}`, tuned by jingtiao on {english} with the method `{method}`.",
    )


def _results(evaluation: dict[str, Any]) -> str:
    """A table a section: base, tuned, and below them what any model has to beat."""
    shown = [name for name in MODELS if evaluation.get(name)]
    parts = []
    for split in {split: None for name in shown for split in evaluation[name]}:
        sections = [evaluation[name].get(split, {}) for name in shown]
        n = next((section["n"] for section in sections if "n" in section), 0)
        head = [f"`{split}`，n = {n:,}", *({"base": "微调前 base", "tuned": "微调后 tuned"}[name] for name in shown)]
        metrics = metric_names(*sections)
        rows = [[f"`{m}`", *(show_figure(m, s.get(m)) for s in sections)] for m in metrics if m not in BASELINES]
        lines = [table(head, rows)]
        known = [(m, next(s[m] for s in sections if m in s)) for m in metrics if m in BASELINES]
        if known:
            lines.append("基线 Baselines: " + "；".join(f"`{m}` {show_figure(m, figure)}" for m, figure in known))
        parts.append("\n\n".join(lines))
    return "\n\n".join(parts)


def _meanings(evaluation: dict[str, Any]) -> list[str]:
    sections = [section for name in MODELS for section in evaluation.get(name, {}).values()]
    named = [name for name in metric_names(*sections) if name in MEANINGS]
    return [f"`{name}`: {'; '.join(dict.fromkeys(MEANINGS[name]))}" for name in named]


def _lineage(facts: Facts) -> str:
    """From the corpus to what was trained, each with what proves it."""
    lines = []
    if facts.manifest:
        recipe, corpus = facts.manifest["recipe"], facts.corpus
        title = corpus.get("title") or corpus.get("pretty_name") or recipe.get("name", "")
        home = f" <{corpus['homepage']}>" if re.fullmatch(r"https?://[^\s<>]+", corpus.get("homepage", "")) else ""
        license = corpus.get("terms") or corpus.get("license") or "未说明 not stated"
        lines.append(f"语料 Corpus: {cell(title)}{home}；许可 licence: {cell(license)}")
        lines += _corpora(facts)
        lines.append(f"配方 Recipe: {_recipe(recipe)}")
        rows = ", ".join(
            f"{split} {counts['written']:,}" for split, counts in facts.manifest.get("splits", {}).items()
        )
        lines.append(
            f"整理 Run: fingerprint `{_short(facts.hashes.get('run'))}`, seed {facts.manifest.get('seed')}; {rows}"
        )
    lines.append(f"基座 Base model: `{cell(facts.config.model)}` (sha256 `{_short(facts.hashes.get('model'))}`)")
    hashes = "tokenizer `{}`, prompt template `{}`".format(
        *(_short(facts.hashes.get(k)) for k in ("tokenizer", "template"))
    )
    lines.append(f"提示 Prompt: {hashes}")
    folder = "adapter" if _adapts(facts.config) else "model"
    lines.append(f"结果 Result: `{folder}/`, method `{facts.config.method}`, seed {facts.config.seed}")
    lines.append("语料与基座的许可对结果同样有效。The licences of corpus and base model hold for the result.")
    return "\n".join(line if line.startswith("  - ") else f"- {line}" for line in lines)


def _corpora(facts: Facts) -> list[str]:
    """Of a mixture a line a corpus: how much of the train rows it is, what it was made by, its licence."""
    lines = []
    for name, entry in sorted(facts.manifest.get("mixture", {}).get("corpora", {}).items()):
        share, written, repeats = (entry.get(key, 0) for key in ("realised", "written", "repeats"))
        rows = f"{share:.1%} (train {written:,}" + (f", 重复 repeats {repeats:,})" if repeats else ")")
        license = cell(facts.corpus.get("licenses", {}).get(name) or "未说明 not stated")
        fingerprint = f"fingerprint `{_short(entry.get('fingerprint'))}`"
        made = f"{_recipe(entry.get('recipe', {}))}, {fingerprint}"
        lines.append(f"  - `{cell(name)}`: {rows}; {made}；许可 licence: {license}")
    return lines


def _recipe(recipe: dict[str, Any]) -> str:
    return f"`{recipe.get('name')}` {cell(recipe.get('version', ''))} (sha256 `{_short(recipe.get('sha256'))}`)"


def _short(digest: str | None) -> str:
    return (digest or "?")[:16]


def _settings(config: Config) -> str:
    """The settings that counted, as YAML; those of other methods are left out."""
    from tune.methods import METHODS

    own = METHODS[config.method].keys
    others = {key for method in METHODS.values() for key in method.keys} - set(own)
    said = {key: value for key, value in config.model_dump(mode="json").items() if key not in others}
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in said.items() if value is not None]
    return fence("\n".join(lines), "yaml")


def _plan(plan: dict[str, Any], training: Any) -> str:
    """What the run came to."""
    words = {
        "samples": "样本 samples",
        "tokens": "词元 tokens",
        "answer_tokens": "学习的词元 learnt tokens",
        "dropped": "过长而舍去 dropped",
        "truncated": "截短 truncated",
        "steps": "步 steps",
    }
    found = [f"{name} {plan[key]:,}" for key, name in words.items() if isinstance(plan.get(key), int)]
    parameters = plan.get("parameters")
    if isinstance(parameters, dict) and {"trainable", "total"} <= parameters.keys():
        found.append(f"训练的参数 trained parameters {parameters['trainable']:,} / {parameters['total']:,}")
    if isinstance(training, dict) and training.get("best_step"):
        found.append(
            f"保留验证损失最低的第 {training['best_step']:,} 步 the step of the lowest validation loss is kept"
        )
    return "；".join(found)


def _prompt(facts: Facts) -> str:
    """The template around a user's text, as training and inference see it."""
    frame = prompt_frame(facts)
    return fence("…".join(frame)) if frame else ""


def prompt_frame(facts: Facts) -> tuple[str, str] | None:
    """What the chat template puts before and after a user's text; None where that isn't known."""
    if facts.tokenizer is None or not facts.tokenizer.chat_template:
        return None
    system = [{"role": "system", "content": facts.config.system}] if facts.config.system else []
    messages = [*system, {"role": "user", "content": "…"}]
    text = facts.tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    head, _, tail = text.rpartition("…")
    return head, tail


def _loading(facts: Facts) -> str:
    """Code that loads the result with nothing of ours."""
    adapter, model = _adapts(facts.config), facts.config.model
    if facts.config.has_head:
        return fence("\n".join(_loading_head(facts)), "python")
    if adapter and model in TINIES:
        head = ["# python -m tune merge .   (the base model stands on no disk)"]
        load, folder = ['model = AutoModelForCausalLM.from_pretrained("merged")'], "merged"
    elif adapter:
        head = ["from peft import PeftModel"]
        base = f'AutoModelForCausalLM.from_pretrained({json.dumps(model, ensure_ascii=False)}, dtype="auto")'
        load, folder = [f"base = {base}", 'model = PeftModel.from_pretrained(base, "adapter")'], "adapter"
    else:
        head, folder = [], "model"
        load = ['model = AutoModelForCausalLM.from_pretrained("model", dtype="auto")']
    lines = [
        *head,
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        f'tokenizer = AutoTokenizer.from_pretrained("{folder}")',
        *load,
        'messages = [{"role": "user", "content": "…"}]',
        "inputs = tokenizer.apply_chat_template(",
        '    messages, add_generation_prompt=True, enable_thinking=False, return_dict=True, return_tensors="pt"',
        ")",
        f"ids = model.generate(**inputs, max_new_tokens={facts.config.max_new_tokens}, do_sample=False)",
        'print(tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))',
    ]
    return fence("\n".join(lines), "python")


def _loading_head(facts: Facts) -> list[str]:
    """Code that loads a classifier, or a model that scores, and calls it with nothing of ours."""
    from tune.reader import head_settings

    config, words = facts.config, dict(facts.manifest.get("labels") or {})
    maker, folder, load = "AutoModelForSequenceClassification", "model", []
    if _adapts(config) and config.model not in TINIES and config.method != "adapter":
        head = head_settings(config, words) or {}
        options = "".join(f", {key}={value!r}" for key, value in head.items())
        folder = "adapter"
        load = [f"base = {maker}.from_pretrained({json.dumps(config.model, ensure_ascii=False)}{options})"]
        load += ['model = PeftModel.from_pretrained(base, "adapter")']
    elif _adapts(config):  # the base model stands on no disk, or no library but this one loads the adapter
        return ["# python -m tune chat .   (reads a text a line, or two with a tab between them)"]
    else:
        load = [f'model = {maker}.from_pretrained("model")']
    lines = [
        "import torch",
        *(["from peft import PeftModel"] if folder == "adapter" else []),
        f"from transformers import {maker}, AutoTokenizer",
        "",
        f'tokenizer = AutoTokenizer.from_pretrained("{folder}")',
        *load,
    ]
    if facts.tokenizer is not None and facts.tokenizer.chat_template:
        lines += [
            'messages = [{"role": "user", "content": "…"}]',
            "inputs = tokenizer.apply_chat_template(",
            '    messages, add_generation_prompt=True, enable_thinking=False, return_dict=True, return_tensors="pt"',
            ")",
        ]
    else:
        texts = '"…", "…"' if facts.manifest.get("task") == "pair" else '"…"'
        lines.append(f'inputs = tokenizer({texts}, return_tensors="pt")')
    lines += ["with torch.no_grad():", "    logits = model(**inputs).logits[0]"]
    if config.objective == "regress":
        return [*lines, "print(float(logits))"]
    return [*lines, "print(model.config.id2label[int(logits.argmax())], logits.softmax(-1).tolist())"]


def _reproduce(facts: Facts) -> str:
    return fence(reproduce_line(facts.plan), "bash")


def reproduce_line(plan: dict[str, Any]) -> str:
    """The settings are all in the lock file, so that one line makes the tuning again."""
    run = f"runs/{plan['run']}" if isinstance(plan.get("run"), str) else "RUN"
    return f"python -m tune train {run} --config config.lock.yaml --out ANOTHER_FOLDER"
