"""The OpenAPI document as a page for people: no script, and nothing from outside."""

import json
from collections.abc import Mapping
from html import escape
from typing import Any

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;"
    "color:#222;background:#fff}"
    "code,pre{font:14px/1.4 ui-monospace,monospace}"
    "pre{background:#f4f4f4;padding:.8em;overflow:auto}"
    "summary{cursor:pointer;padding:.3em 0}"
    "table{border-collapse:collapse;margin:.5em 0}"
    "td,th{border:1px solid #bbb;padding:.2em .6em;text-align:left;vertical-align:top}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#161616}pre{background:#262626}"
    "a{color:#8bf}}"
)

Data = Mapping[str, Any]


def docs_page(document: Data) -> str:
    info, schemas = document["info"], document["components"]["schemas"]
    operations = [
        _operation(method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    shapes = [_shape(name, schemas[name]) for name in sorted(schemas)]
    return "\n".join(
        [
            "<!doctype html>",
            f'<html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])}</title>',
            '<meta name="viewport" content="width=device-width">',
            f"<style>{STYLE}</style></head><body><main>",
            f"<h1>{escape(info['title'])}</h1><p>{escape(info['description'])}</p>",
            '<p>The same for programs: <a href="/api/openapi.json">/api/openapi.json</a></p>',
            "<h2>Operations</h2>",
            *operations,
            "<h2>Shapes</h2>",
            *shapes,
            "</main></body></html>",
        ]
    )


def _operation(method: str, path: str, operation: Data) -> str:
    rows = [
        _row(p["name"], p["in"], p.get("description") or "a name") for p in operation["parameters"]
    ]
    if body := operation.get("requestBody"):
        presence = "required" if body["required"] else "may be left out"
        rows.append(_row("body", presence, _linked(_schema(body)), raw=True))
    for status, answer in operation["responses"].items():
        rows.append(_row(status, answer["description"], _linked(_schema(answer)), raw=True))
    more = operation.get("description", "")
    return (
        f"<details><summary><code>{method.upper()} {escape(path)}</code>"
        f" {escape(operation['summary'])}</summary>"
        f"<p>{escape(more)}</p><table>{''.join(rows)}</table></details>"
    )


def _schema(holder: Data) -> Data:
    (content,) = holder["content"].values()
    schema: Data = content["schema"]
    return schema


def _linked(schema: Data) -> str:
    if schema.get("type") == "array":
        return f"a list of {_linked(schema['items'])}"
    if "$ref" not in schema:
        return escape(str(schema.get("type", "")))
    name = escape(schema["$ref"].rpartition("/")[2])
    return f'<a href="#{name}">{name}</a>'


def _row(first: str, second: str, third: str, raw: bool = False) -> str:
    cells = (escape(first), escape(second), third if raw else escape(third))
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _shape(name: str, schema: Data) -> str:
    text = escape(json.dumps(schema, indent=2))
    return f'<h3 id="{escape(name)}">{escape(name)}</h3><pre>{text}</pre>'
