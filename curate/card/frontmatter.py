"""The YAML at the head of a card, for the Hugging Face Hub and for `datasets.load_dataset(RUN)`."""

from __future__ import annotations

import json
import re
from typing import Any

from jingtiao.markdown import visible

#: How a licence is called in a recipe → its id on the Hub; the rest is `other` with the recipe's words.
_LICENSES = {
    "mit": "mit",
    "apache20": "apache-2.0",
    "apachelicense20": "apache-2.0",
    "bsd2clause": "bsd-2-clause",
    "bsd3clause": "bsd-3-clause",
    "gpl30": "gpl-3.0",
    "odcby": "odc-by",
    "odbl": "odbl",
    "unknown": "unknown",
    # Not every version of each kind: cc-by-sa has no 2.0 there, and an id that the Hub doesn't know is refused.
    **{
        f"cc{kind.replace('-', '')}{version.replace('.', '')}": f"cc-{kind}-{version}"
        for kind, versions in (
            ("by", ("2.0", "2.5", "3.0", "4.0")),
            ("by-sa", ("3.0", "4.0")),
            ("by-nc", ("2.0", "3.0", "4.0")),
            ("by-nd", ("4.0",)),
            ("by-nc-sa", ("2.0", "3.0", "4.0")),
            ("by-nc-nd", ("3.0", "4.0")),
        )
        for version in versions
    },
    "cc0": "cc0-1.0",
    "cc010": "cc0-1.0",
}
_CATEGORIES = {
    "pair": "text-classification",
    "classification": "text-classification",
    "mrc": "question-answering",
    "summarization": "summarization",
    "dialogue": "text-generation",
}
_SIZES = (
    (10**3, "n<1K"),
    (10**4, "1K<n<10K"),
    (10**5, "10K<n<100K"),
    (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"),
    (10**8, "10M<n<100M"),
)
#: Words that YAML would not read as words.
_RESERVED = {"y", "n", "yes", "no", "true", "false", "on", "off", "null"}


def front_matter(card: dict[str, Any], features: list[dict[str, Any]], files: bool) -> str:
    """The block from `---` to `---`. `files`: the split files stand beside the card, so it says what is in them."""
    recipe = card["recipe"]
    data: dict[str, Any] = {"language": ["zh"], **license_fields(recipe["license"]), "pretty_name": recipe["title"]}
    corpora = card["mixture"]["corpora"].values() if "mixture" in card else [recipe]
    data["task_categories"] = sorted({_CATEGORIES[corpus["task"]] for corpus in corpora})
    data["size_categories"] = [size_category(sum(counts["written"] for counts in card["splits"].values()))]
    if files:
        written = [split for split, counts in card["splits"].items() if counts["written"]]
        paths = [{"split": split, "path": f"{split}.jsonl"} for split in written]
        data["configs"] = [{"config_name": "default", "data_files": paths}] if paths else []
        data["dataset_info"] = {"features": features}
    return "\n".join(["---", *_mapping(data, ""), "---"])


def license_fields(text: str) -> dict[str, str]:
    """`license`, and `license_name` where the Hub has no id for it."""
    known = _LICENSES.get(re.sub(r"[^a-z0-9]", "", text.lower()))
    if known:
        return {"license": known}
    name = re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")[:60].strip("-.")
    return {"license": "other", "license_name": name or "not-stated"}


def size_category(rows: int) -> str:
    """The Hub's class of a number of rows."""
    return next((name for bound, name in _SIZES if rows < bound), "100M<n<1B")


def _mapping(data: dict[str, Any], indent: str) -> list[str]:
    lines = []
    for key, value in data.items():
        if isinstance(value, dict) and value:
            lines += [f"{indent}{key}:", *_mapping(value, indent + "  ")]
        elif isinstance(value, list) and value:
            lines += [f"{indent}{key}:", *_list(value, indent)]
        else:
            lines.append(f"{indent}{key}: {_scalar(value)}")
    return lines


def _list(items: list[Any], indent: str) -> list[str]:
    lines = []
    for item in items:
        inner = _mapping(item, indent + "  ") if isinstance(item, dict) else [f"{indent}  {_scalar(item)}"]
        lines += [f"{indent}- {inner[0].strip()}", *inner[1:]]
    return lines


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        text = " ".join(visible(value).split())
        plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9_./-]*|n<1K|\d+[KM]<n<\d+[KM]", text)
        return text if plain and text.lower() not in _RESERVED else json.dumps(text, ensure_ascii=False)
    return json.dumps(value)
