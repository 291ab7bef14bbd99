"""The words that only the page has, beside those of `words`."""

from __future__ import annotations

from curate.card.mixture_words import TEXTS as MIXTURE
from curate.card.words import words
from jingtiao.both import Both, both
from jingtiao.page import WORDS

_TEXTS: dict[str, tuple[str, str]] = {
    "page_title": ("{title} · 数据卡", "{title} · data card"),
    "of_recipe": ("配方 `{name}` {version}", "recipe `{name}` {version}"),
    "rows_read": ("读入的行", "rows read"),
    "rows_written": ("写出的样本", "samples written"),
    "rows_rejected": ("剔除的行", "rows rejected"),
    "rows_leaked": ("{split}与训练集重叠", "of {split} also in train"),
    "rows_repeated": ("训练集中的重复", "of train repeated"),
    "funnel_links": (
        "点数字可看被剔除的行。",
        " Each number leads to rows that were removed there.",
    ),
    "fig_funnel": ("{split}：每一步之后剩下的行", "{split}: rows left after each step"),
    "fig_leaks": ("评测集中与另一划分重叠的比例", "Share of evaluation rows that also stand in another split"),
    "fig_before": ("{split}在{other}中，处理之前", "{split} in {other}, before"),
    "fig_after": ("{split}在{other}中，处理之后", "{split} in {other}, after"),
    "fig_labels": ("{split}：各标签的样本数", "{split}: samples of each label"),
    "fig_clusters": ("{split}：重复的行按组的大小", "{split}: groups of repeated rows by their size"),
    "fig_size": ("{n} 行一组", "{n} rows"),
    "fig_lengths": ("{field} 的长度（字符）", "Characters of {field}"),
    "fig_tokens": (
        "样本的长度（词元），虚线为截断处",
        "Tokens of a sample; dashed where it would be cut",
    ),
    "fig_words": ("最常见的词（两个字以上）", "Commonest words of two characters or more"),
    "fig_shares": ("各语料的样本数", "Samples from each corpus"),
    "oov": (
        "不在 jieba 自带词典中的词占 {share}（含汉字的 {of} 个词中有 {rows} 个），由其新词模型切出。",
        " {share} of the words ({rows} of the {of} that hold Han characters) are not in jieba's own dictionary and "
        "were cut by its model of unknown words.",
    ),
    "near_leaks": ("几乎相同或被覆盖的行", "Rows nearly the same, or covered"),
    "conflict_rows": ("互相矛盾的行", "Rows that contradict each other"),
    "largest": ("最大的重复组", "The largest groups"),
    "group_exact_dedup": ("{split} · {n} 行相同", "{split} · {n} rows the same"),
    "group_near_dedup": ("{split} · {n} 行近似", "{split} · {n} rows nearly the same"),
    "group_semantic_dedup": ("{split} · {n} 行意思相同", "{split} · {n} rows of one meaning"),
    "stays": ("留下的一行", "the row that stays"),
    "same_as_first": ("内容与上面相同", "the same as the first"),
    "more_members": ("另有 {n} 行未列出", "{n} more are not listed"),
    "walk": ("从原文到样本", "From the source to the sample"),
    "walk_note": (
        "按种子抽取的若干行，一半取自文本有改动的行；长文本只留一段。",
        "A seeded sample, half of it of rows whose text was changed; of a long text a part.",
    ),
    "as_read": ("读入", "As read"),
    "as_cleaned": ("清洗之后", "Cleaned"),
    "as_sample": ("样本", "Sample"),
    "unchanged": ("清洗没有改动", "cleaning changed nothing"),
    "removed_by": ("被 {step} 剔除：{reason}", "rejected by {step}: {reason}"),
    "rejected_early": ("没有进入后面的步骤", "it went no further"),
    "user": ("用户", "user"),
    "assistant": ("回答", "assistant"),
    "system": ("系统", "system"),
    "no_answer": ("（没有公开的答案）", "(no published answer)"),
    "search": ("在剔除的行中查找", "Search the rejected rows"),
    "search_hits": ("行符合", "rows match"),
    "rejects_shown": (
        "每种原因按种子抽取至多 12 行。",
        "Of each reason a seeded sample of at most 12.",
    ),
    "first_rejects_shown": ("每种原因至多列出 3 行。", "Of each reason at most 3 are listed."),
    "rejects_told": (
        "全部在 rejected.jsonl 里。点编号可查那一行的来历。",
        "All are in rejected.jsonl. A row's id leads to its story.",
    ),
    "look": ("查一行的来历", "Look a row up"),
    "look_note": (
        "页面不能运行命令：点任何一行的编号（或在这里填写），再把命令复制到终端。",
        "A page can't run a command: click any row's id (or enter it here), and copy the command into a terminal.",
    ),
    "look_run": ("RUN 是本页所在的文件夹。", "RUN is the folder that this page lies in."),
    "copy": ("复制", "Copy"),
    "copied": ("已复制", "Copied"),
    "shown_of": ("抽取 {shown} 行，共 {n} 行", "{shown} of {n} rows"),
    "because_of": ("因为这一行", "because of this row"),
    "alike": ("相似度 {score}", "similarity {score}"),
    "pii": ("个人信息", "Personal details"),
    "pii_note": (
        "由 redact_pii 找到的处数；卡片上的文本都已遮盖。",
        "Places that redact_pii found; every text on this card is masked.",
    ),
    "provenance": ("出处与重现", "Where it comes from, and how to make it again"),
    "no_rows": (
        "这张卡片只有数字，不含语料的文本。",
        "This card has figures only, and no text of the corpus.",
    ),
    "kind": ("种类", "Kind"),
    "places": ("处", "Places"),
    "made_by": (
        "本页由 card.json 画出，不联网、不需脚本也能读。",
        "This page is drawn from card.json; it needs no network, and can be read without scripts.",
    ),
    "sources_files": ("数据文件", "Source files"),
}

_ALL = {**WORDS, **{key: Both(*texts) for key, texts in {**MIXTURE, **_TEXTS}.items()}}


def page_words(key: str) -> Both:
    """A text of the page in both languages: its own, a mixture's, or one that README.md says too."""
    return _ALL[key] if key in _ALL else both(lambda lang: words(lang)[key])
