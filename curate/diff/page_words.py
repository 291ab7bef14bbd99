"""The words of the page that compares two runs, in Chinese and in English."""

from __future__ import annotations

from curate.card.meanings import meaning
from curate.card.page_words import page_words as card_words
from jingtiao.both import Both, both

_TEXTS: dict[str, tuple[str, str]] = {
    "page_title": ("{first} 与 {second} · 两次运行的比较", "{first} and {second} · two runs compared"),
    "eyebrow": ("两次运行的比较", "Two runs compared"),
    "first": ("第一次", "First"),
    "second": ("第二次", "Second"),
    "in_first": ("第一次运行", "the first run"),
    "in_second": ("第二次运行", "the second run"),
    "in_both": ("两次相同", "the same in both"),
    "samples_first": ("第一次的样本", "samples of the first run"),
    "samples_second": ("第二次的样本", "samples of the second run"),
    # Groups of rows.
    "lost": ("少了的行", "Rows lost"),
    "added": ("多了的行", "Rows added"),
    "moved": ("换了划分的行", "Rows moved to another split"),
    "changed": ("变了的行", "Rows changed"),
    "resized": ("只有组的大小不同的行", "Rows of which only the group's size differs"),
    "n_lost": ("少了", "lost"),
    "n_added": ("多了", "added"),
    "n_moved_away": ("移走", "moved away"),
    "n_moved_here": ("移来", "moved here"),
    "n_moved": ("换了划分", "moved"),
    "n_changed": ("变了", "changed"),
    "n_resized": ("组的大小不同", "group's size"),
    "not_read": ("{other}的语料里没有", "not in the source of {other}"),
    "other_parts": ("{other}切成了别的段", "cut into other parts in {other}"),
    "fewer_copies": ("{other}重复的次数较少", "not repeated as often in {other}"),
    "other_reason": ("两次因不同原因被剔除的行", "Rows rejected in both, for another reason"),
    "rejected_by": (
        "在{other}被 {step} 剔除：{reason}（{meaning}）",
        "rejected by {step}: {reason} ({meaning}) in {other}",
    ),
    "kind_text": ("内容：问题、答案或标签说的不一样", "text: question, answer or label say something else"),
    "kind_wording": (
        "说法：模板或选项的次序不同，内容相同",
        "wording: another template or order of options, the same text",
    ),
    "kind_meta": ("只有 meta 不同，问题和答案都相同", "meta only: question and answer are the same"),
    "moved_way": ("从{before}到{after}", "from {before} to {after}"),
    # Sections.
    "runs": ("两次运行", "The two runs"),
    "made": ("哪里做得不同", "What was made otherwise"),
    "made_none": ("配方、选项、版本和语料都相同。", "Recipe, options, versions and sources are the same."),
    "rows": ("每一行的去向", "What became of the rows"),
    "rows_note": (
        "第一次的行数，减去少了的和移走的，加上移来的和多了的，就是第二次的行数。行按编号对应。",
        "The rows of the first run, less those lost and moved away, plus those moved here and added, are the rows of "
        "the second. Rows are matched by their ids.",
    ),
    "resized_note": (
        "“组的大小不同”的行除 `meta.cluster_size`（代表几行）之外完全相同，不算变了。",
        "Rows under “group's size” are the same in all but `meta.cluster_size`, for how many rows they stand; they "
        "don't count as changed.",
    ),
    "no_common": (
        "两次运行没有共同的样本：编号属于不同的配方，或不同的行。",
        "The runs have no sample in common: their ids are those of other recipes, or of other rows.",
    ),
    "why": ("少了和多了的行，按步骤和原因", "Rows lost and added, by step and reason"),
    "why_note": (
        "少了的行按第二次运行里的原因，多了的行按第一次运行里的原因。点数字可看例子。",
        "Rows lost by the reason in the second run, rows added by that in the first. Each number leads to examples.",
    ),
    "steps": ("各步剔除的行", "Rows that each step rejected"),
    "figures": ("数据卡上不同的数字", "Figures of the cards that differ"),
    "examples": ("例子", "Examples"),
    "fields": ("变了的部分", "Parts that changed"),
    "neither": ("两次都没有写出的行", "Rows that neither run has written"),
    "neither_same": ("两次因同一原因被剔除", "rejected in both for the same reason"),
    "neither_first": ("只在第一次的语料里", "only in the first run's source"),
    "neither_second": ("只在第二次的语料里", "only in the second run's source"),
    # Findings.
    "found_same": (
        "两次运行完全相同：每条样本、每个被剔除的行，逐字节一致。",
        "The runs are the same: every sample and every reject, byte for byte.",
    ),
    "found_common": (
        "两次都有的样本 {n} 条，其中 {same} 条一字不差。",
        "{n} samples are in both runs, {same} of them the same byte for byte.",
    ),
    "found_lost": (
        "少了 {n} 行，最多的原因：{why}（{rows} 行）。",
        "{n} rows were lost, most of them ({rows}): {why}.",
    ),
    "found_added": (
        "多了 {n} 行，最多的原因：{why}（{rows} 行）。",
        "{n} rows were added, most of them ({rows}): {why}.",
    ),
    "found_moved": ("{n} 行换了划分。", "{n} rows moved to another split."),
    "found_changed": ("{n} 行变了：{kinds}。", "{n} rows changed: {kinds}."),
    "found_resized": (
        "{n} 行只有 `meta.cluster_size` 不同。",
        "Of {n} rows only `meta.cluster_size` differs.",
    ),
    "found_rejects": (
        "写出的样本完全相同，不同的只是被剔除的行。",
        "All samples are the same; only rejected rows differ.",
    ),
    "short_text": ("内容 {n}", "text {n}"),
    "short_wording": ("说法 {n}", "wording {n}"),
    "short_meta": ("只有 meta {n}", "meta only {n}"),
    # Tables and charts.
    "what": ("事项", "What"),
    "folder": ("文件夹", "Folder"),
    "recipe": ("配方", "Recipe"),
    "seed": ("随机种子", "Seed"),
    "fingerprint": ("指纹", "Fingerprint"),
    "kind": ("类别", "Kind"),
    "kind_recipe": ("配方", "recipe"),
    "kind_setting": ("选项", "setting"),
    "kind_source": ("语料", "source"),
    "kind_code": ("程序", "code"),
    "way": ("变化", "Change"),
    "because": ("原因", "Why"),
    "difference": ("差", "Difference"),
    "figure": ("数字", "Figure"),
    "part": ("部分", "Part"),
    "in_rows": ("行数", "Rows"),
    "n_rows": ("行数", "Rows"),
    "part_rows": ("行", "rows"),
    "part_labels": ("标签", "labels"),
    "part_lengths": ("长度", "lengths"),
    "part_duplicates": ("重复", "duplicates"),
    "part_leaks": ("重叠", "overlap"),
    "name_read": ("读入", "read"),
    "name_written": ("写出", "written"),
    "name_rejected": ("剔除", "rejected"),
    "name_flagged": ("有标记", "flagged"),
    "name_derived": ("移动或切分", "moved or cut"),
    "name_repeated": ("重复的行", "repeated rows"),
    "name_leak": ("{side}，与{other}：{what}", "{side}, with {other}: {what}"),
    "leak_before": ("之前", "before"),
    "leak_after": ("之后", "after"),
    "leak_rows": ("相同的行", "rows that are the same"),
    "leak_near": ("几乎相同", "nearly the same"),
    "leak_covered": ("被覆盖", "covered"),
    "leak_other_label": ("标签不同", "other label"),
    "leak_sentences": ("句子", "sentences"),
    "leak_contexts": ("篇章", "contexts"),
    "all_splits": ("全部", "all"),
    "fig_rows": ("{split}：样本的变化", "{split}: what became of the samples"),
    "fig_lost": ("少了的行，按原因", "Rows lost, by reason"),
    "fig_added": ("多了的行，按原因", "Rows added, by reason"),
    "fig_steps": ("{split}：各步剔除的行，两次相比", "{split}: rows that each step rejected, in both runs"),
    "fig_fields": ("变了的部分，按行数", "Parts that changed, by rows"),
    "shown_of": ("抽取 {shown} 行，共 {n} 行", "{shown} of {n} rows"),
    "examples_note": (
        "每组按种子抽取至多 {n} 行；长文本只留第一处不同附近的一段。",
        "Of each group a seeded sample of at most {n}; of a long text the part around the first difference.",
    ),
    "search": ("在这些行中查找", "Search these rows"),
    "rejected_because": ("因为这一行", "because of this row"),
    "not_written": ("（它也没有写出）", "(not written either)"),
    "nothing": ("（没有）", "(none)"),
    "made_by": (
        "本页由 `curate diff --json` 给出的内容画出，不联网、不需脚本也能读。",
        "This page is drawn from what `curate diff --json` prints; it needs no network, and can be read without "
        "scripts.",
    ),
}

#: What differs in how runs were made, in Chinese; what isn't here is a name.
_MADE = {
    "task": "任务",
    "recipe": "配方",
    "recipe version": "配方版本",
    "recipe file (sha256)": "配方文件（sha256）",
    "steps": "步骤",
    "seed": "随机种子",
    "limit": "行数上限",
    "templates (sha256)": "模板（sha256）",
    "labels": "标签",
    "sources that differ": "不同的数据文件数",
}
#: The same for what has a name in it: how it begins and ends.
_NAMED = (
    ("version of ", "", "{name} 的版本"),
    ("source ", "", "数据文件 {name}"),
    ("part ", " (fingerprint)", "{name} 的指纹"),
    ("part ", ", rows", "{name} 的行数"),
)
_ALL = {key: Both(*texts) for key, texts in _TEXTS.items()}


def page_words(key: str) -> Both:
    """A text of the page: its own, or one that card.html says too."""
    return _ALL[key] if key in _ALL else card_words(key)


def made_words(what: str) -> Both:
    """What was made otherwise: in Chinese too where it is more than a name."""
    for begins, ends, zh in _NAMED:
        if what.startswith(begins) and what.endswith(ends):
            name = what.removeprefix(begins).removesuffix(ends)
            return Both(zh.format(name=name), what)
    return Both(_MADE.get(what, what), what)


def why_words(name: str, why: str) -> Both:
    """Why rows are lost or added (`name`): what the run that lacks them says of them."""
    other = page_words("in_second" if name == "lost" else "in_first")
    step, _, reason = why.partition(":")
    if not reason:
        return page_words(why).fill(other=other)
    words = both(lambda lang: meaning(reason, lang))
    return page_words("rejected_by").fill(other=other, step=step, reason=reason, meaning=words)
