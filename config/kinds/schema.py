"""The JSON Schema of a configuration file, for editors: ``python -m releve.config.kinds.schema [FILE]``.

Rendered from the table. Editors read YAML 1.2, where ``2`` is a number and
``off`` a text, so each kind of word says which JSON values it may be. The schema
is a help at the keyboard; ``releve check`` knows more and has the last word.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from releve.config.kinds.access_format import PRESETS
from releve.config.kinds.addresses import UNIX_PARTS
from releve.config.kinds.defaults import default_text
from releve.config.settings.control import CONTROL_VERBS
from releve.config.settings.hooks import Command
from releve.config.settings.key import Rules, key_of, settings_of
from releve.config.settings.settings import GROUPS, Settings
from releve.config.settings.upgrade import Canary, Check

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_SCALAR = ["string", "number", "boolean"]
_TEXT: Schema = {"type": "string", "minLength": 1}
_MODE: Schema = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^(0o)?[0-7]{1,4}$"}]}
_NAME: Schema = {"type": ["string", "integer"]}
_TEXTS: Schema = {"type": "object", "additionalProperties": {"type": _SCALAR}}
_SHARE: Schema = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]{1,2})? *%$"}
_MODULE: Schema = {"type": "string", "pattern": r"^[^\W\d]\w*(\.[^\W\d]\w*)*$"}
_VERB: Schema = {"enum": list(CONTROL_VERBS)}
_APP: Schema = {"type": "string", "pattern": r"^[\w.]+:[\w.]+(\(.*\))?$"}
_MOUNTS: Schema = {
    "type": "object",
    "propertyNames": {"pattern": "^(/[^/?#]+)*$"},
    "additionalProperties": _APP,
    "minProperties": 1,
}
_RUN: Schema = {"anyOf": [_TEXT, {"type": "array", "items": {"type": _SCALAR}, "minItems": 1}]}
_UNIX: Schema = {
    "type": "object",
    "properties": {name: {"text": _TEXT, "mode": _MODE, "name": _NAME}[kind] for name, kind in UNIX_PARTS.items()},
    "required": ["unix"],
    "additionalProperties": False,
}
_ADDRESS: Schema = {"anyOf": [{"type": "string", "pattern": "^(unix:.+|fd:.+|[^/]*:[0-9]+)$"}, _UNIX]}


def _number(rules: Rules) -> Schema:
    return {"type": "integer", **{word: rules[word] for word in ("minimum", "maximum") if word in rules}}


KINDS: dict[str, Callable[[Rules], Schema]] = {
    "access_format": lambda rules: {"anyOf": [{"enum": list(PRESETS)}, {"type": "string", "pattern": r"%\("}]},
    "app": lambda rules: _APP,
    "canary": lambda rules: {"anyOf": [_SHARE, _block(Canary)]},
    "check": lambda rules: {"anyOf": [{"type": "string", "pattern": "^/"}, _block(Check)]},
    "choice": lambda rules: {"enum": [*rules["choices"], *([False] if "off" in rules["choices"] else [])]},
    "command": lambda rules: {"anyOf": [*_RUN["anyOf"], _block(Command)]},
    "count": _number,
    "duration": lambda rules: {"type": "string", "pattern": r"^([0-9]+(\.[0-9]+)?(d|h|m|s|ms))+$"},
    "folders": lambda rules: {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]},
    "flag": lambda rules: {"enum": [True, False, "yes", "no", "on", "off"]},
    "function": lambda rules: {"type": "string", "pattern": r"^[\w.]+:[\w.]+$"},
    "headers": lambda rules: _TEXTS,
    "host": lambda rules: _TEXT,
    "listen": lambda rules: {"anyOf": [*_ADDRESS["anyOf"], {"type": "array", "items": _ADDRESS, "minItems": 1}]},
    "log": lambda rules: _TEXT,
    "mode": lambda rules: _MODE,
    "modules": lambda rules: {"anyOf": [_MODULE, {"type": "array", "items": _MODULE}]},
    "mounts": lambda rules: _MOUNTS,
    "name": lambda rules: _NAME,
    "networks": lambda rules: {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]},
    "path": lambda rules: _TEXT,
    "patterns": lambda rules: {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]},
    "python": lambda rules: {"type": "string", "pattern": "/"},
    "run": lambda rules: _RUN,
    "share": lambda rules: _SHARE,
    "size": lambda rules: {
        "anyOf": [_number(rules), {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?([KMGkmg]i?)?[Bb]?$"}]
    },
    "statuses": lambda rules: {"type": ["string", "integer"]},
    "target": lambda rules: {"type": "string", "pattern": "^/"},
    "text": lambda rules: {"type": _SCALAR},
    "variables": lambda rules: _TEXTS,
    "verbs": lambda rules: {"anyOf": [_VERB, {"type": "array", "items": _VERB}]},
    "workers": lambda rules: {"anyOf": [_number(rules), {"const": "auto"}]},
}


def schema() -> Schema:
    """The schema as a JSON value."""
    block = _block(Settings)
    del block["required"]  # app, unless there are mounts, here or in an included file
    one_of = [{"required": ["app"]}, {"required": ["mounts"]}, {"required": ["include"]}]
    return {"$schema": DIALECT, "title": "Configuration of Relève (releve.yaml)", **block, "anyOf": one_of}


def schema_text() -> str:
    """The schema as it stands in the docs."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _block(kind: type[Any]) -> Schema:
    fields = settings_of(kind)
    required = [field.name for field in fields if field.metadata.get("required")]
    block: Schema = {
        "type": "object",
        "properties": {key_of(field): _property(field) for field in fields},
        "additionalProperties": False,
    }
    return {**block, "required": required} if required else block


def _property(field: dataclasses.Field[Any]) -> Schema:
    rules = field.metadata
    if rules["kind"] == "group":
        return {"description": rules["help"], **_block(GROUPS[field.name])}
    value = KINDS[rules["kind"]](rules)
    if "off" in rules:
        # A checker that reads YAML 1.1 takes the word off for false.
        words: list[Any] = [rules["off"], None, *([False] if rules["off"] == "off" else [])]
        value = {"anyOf": [*value.get("anyOf", [value]), {"enum": words}]}
    default = default_text(field)
    described = {"description": f"{rules['help']} Default: {default}." if default else rules["help"]}
    return {**described, **value}


def main() -> None:
    """Print the schema, or write it to a file."""
    if len(sys.argv) == 1:
        print(schema_text(), end="")
    else:
        Path(sys.argv[1]).write_text(schema_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
