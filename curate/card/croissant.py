"""croissant.json: a run in the vocabulary of MLCommons, by which data sets are found and loaded without our code.

Croissant 1.1 (https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html): a FileObject and a RecordSet for
each split, whose fields are the samples' own down to every key of `meta`; the splits, and where there are labels
these too, as RecordSets with their data in them. mlcroissant reads it: `Dataset("croissant.json").records("train")`.

It is a function of the manifest, the card and the samples' features, so it is as reproducible as they are. What the
vocabulary asks for and no run knows is left out: a date and the authors' names as such (`citeAs` has them).
"""

from __future__ import annotations

from typing import Any

from curate.card.frontmatter import license_fields
from curate.types import SPLITS

FILE = "croissant.json"

Json = dict[str, Any]

#: The context that the specification recommends, and PROV for where the data came from.
_CONTEXT: Json = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "prov": "http://www.w3.org/ns/prov#",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_TYPES = {"string": "sc:Text", "bool": "sc:Boolean", "int64": "cr:Int64", "float64": "cr:Float64"}
_SPLIT_TYPES = {"train": "cr:TrainingSplit", "validation": "cr:ValidationSplit", "test": "cr:TestSplit"}
#: What the parts of a sample are, by their path.
_SAID = {
    "instruction": "What is asked. The user's message is what is not empty of this and the input, a newline between.",
    "input": "What the instruction is about.",
    "output": "The answer; empty where the corpus gives none (see meta/labelled).",
    "history": "Earlier turns, each a pair of the user's message and the assistant's reply.",
    "system": "The system's message; empty where there is none.",
    "meta": "What is known of the sample besides its text.",
    "meta/id": "The row of the corpus that the sample was made of.",
    "meta/task": "The family of tasks.",
    "meta/template": "The template that the sample was written with.",
    "meta/label": "The label in the corpus's own words; empty for none.",
    "meta/labelled": "Whether the corpus gives an answer for this row.",
    "meta/flags": "Why a row of validation or test would have been removed from train: step:reason,step:reason.",
    "meta/corpus": "The part of the mixture that the sample comes from.",
    "meta/metrics": "How the sample's task is scored.",
    "meta/cluster_size": "How many rows of the corpus this one stands for, itself included.",
    "meta/fields": "The two sentences of a pair.",
    "meta/references": "All accepted answers.",
    "meta/source_id": "The corpus's own name for the row.",
    "meta/words": "The texts cut into words, with a space between two.",
}
#: SPDX's page of a licence; ids of the Hub that SPDX doesn't have are told by their name.
_SPDX = {
    "mit": "MIT",
    "apache-2.0": "Apache-2.0",
    "gpl-3.0": "GPL-3.0-only",
    "odc-by": "ODC-By-1.0",
    "odbl": "ODbL-1.0",
}
_SPDX |= {"bsd-2-clause": "BSD-2-Clause", "bsd-3-clause": "BSD-3-Clause"}


def croissant(manifest: Json, card: Json, features: list[Json]) -> Json:
    """The contents of croissant.json. `features` as in README.md (`run_features`)."""
    about = card["recipe"]
    corpora = list(card["mixture"]["corpora"].values()) if "mixture" in card else [about]
    entries = {entry["file"]: entry for entry in manifest["outputs"]}
    splits = [split for split in SPLITS if f"{split}.jsonl" in entries]
    rows = ", ".join(f"{entries[f'{split}.jsonl']['rows']} of {split}" for split in splits) or "none"
    data: Json = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": about["name"],
        "alternateName": about["title"],
        "description": f"{about['title']}: Chinese instruction data (task {about['task']}), samples: {rows}.",
        "version": about["version"],
        "inLanguage": "zh",
        "keywords": ["instruction tuning", "Chinese", *sorted({corpus["task"] for corpus in corpora})],
        "license": _unique([_license(corpus["license"]) for corpus in corpora]),
        "url": about["homepage"],
        "citeAs": "\n".join(_unique([corpus["citation"] for corpus in corpora if corpus["citation"]])),
        "prov:wasDerivedFrom": [{"@id": url} for url in _unique([corpus["homepage"] for corpus in corpora]) if url],
        "prov:wasGeneratedBy": {"@type": "prov:Activity", "prov:label": card["reproduce"]},
        "distribution": [_file(entries[f"{split}.jsonl"]) for split in splits],
        "recordSet": [_splits(splits), *_labels(manifest["labels"]), *(_records(split, features) for split in splits)],
    }
    return {key: value for key, value in data.items() if value not in ("", [])}


def _unique(values: list[Any]) -> list[Any]:
    return [value for number, value in enumerate(values) if value not in values[:number]]


def _license(text: str) -> Any:
    """The address of a licence that has one, else what the corpus says, as a work of that name."""
    known = license_fields(text)["license"]
    if known.startswith("cc"):
        return f"https://spdx.org/licenses/{known.upper()}.html"
    if known in _SPDX:
        return f"https://spdx.org/licenses/{_SPDX[known]}.html"
    return {"@type": "sc:CreativeWork", "name": text or "not stated"}


def _file(entry: Json) -> Json:
    name = entry["file"]
    told = {"contentUrl": name, "contentSize": f"{entry['bytes']} B", "encodingFormat": "application/jsonlines"}
    return {"@type": "cr:FileObject", "@id": name, "name": name, **told, "sha256": entry["sha256"]}


def _splits(splits: list[str]) -> Json:
    return _table(
        "splits", "cr:Split", "The splits of the data.", {"name": "sc:Text", "url": "sc:URL"},
        [{"name": split, "url": _SPLIT_TYPES[split]} for split in splits],
    )  # fmt: skip


def _labels(labels: dict[str, str]) -> list[Json]:
    if not labels:
        return []
    said = "The labels: by name as in meta/label, and the word that the samples ask for."
    rows = [{"name": label, "answer": word} for label, word in labels.items()]
    return [_table("labels", "sc:Enumeration", said, {"name": "sc:Text", "answer": "sc:Text"}, rows)]


def _table(name: str, kind: str, said: str, columns: dict[str, str], rows: list[Json]) -> Json:
    """A RecordSet whose records are in the file itself; its first column is the key."""
    fields = [
        {"@type": "cr:Field", "@id": f"{name}/{column}", "name": column, "dataType": dtype}
        for column, dtype in columns.items()
    ]
    return {
        "@type": "cr:RecordSet", "@id": name, "name": name, "description": said, "dataType": kind,
        "key": {"@id": fields[0]["@id"]}, "field": fields,
        "data": [{f"{name}/{column}": row[column] for column in columns} for row in rows],
    }  # fmt: skip


def _records(split: str, features: list[Json]) -> Json:
    return {
        "@type": "cr:RecordSet",
        "@id": split,
        "name": split,
        "description": f"The samples of {split}.",
        "key": {"@id": f"{split}/meta/id"},
        "field": [_field(split, feature, feature["name"], []) for feature in features],
    }


def _field(split: str, feature: Json, column: str, below: list[str]) -> Json:
    """A column of the samples, or what is `below` it: one key after the other."""
    path = "/".join([column, *below])
    field: Json = {"@type": "cr:Field", "@id": f"{split}/{path}", "name": (below or [column])[-1]}
    if path in _SAID:
        field["description"] = _SAID[path]
    kind, depth = _content(feature)
    if depth:
        field |= {"isArray": True, "arrayShape": ",".join(["-1"] * depth)}
    if isinstance(kind, list):
        return field | {"subField": [_field(split, inner, column, [*below, inner["name"]]) for inner in kind]}
    field["dataType"] = ["sc:Text", "cr:Label"] if path == "meta/label" else _TYPES[kind]
    source: Json = {"fileObject": {"@id": f"{split}.jsonl"}, "extract": {"column": column}}
    if below:
        source["transform"] = [{"jsonPath": key} for key in below]
    return field | {"source": source}


def _content(feature: Any) -> tuple[Any, int]:
    """What is in a feature, a dtype's name or the features of an object, and how many lists are around it."""
    if isinstance(feature, str | list):
        return feature, 0
    if "list" in feature:
        kind, depth = _content(feature["list"])
        return kind, depth + 1
    return feature.get("struct") or feature["dtype"], 0
