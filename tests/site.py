"""What the site of the documentation has beside `docs/`: pages made from the code, the list of
decisions, and what lies outside of `docs/`. MkDocs calls what begins with `on_`: `make site`.
"""

import inspect
import json
import posixpath
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import connector
from connector.project.settings import json_schema
from connector.serve.web import openapi, server

ROOT = Path(__file__).parent.parent
Json = Mapping[str, Any]
OUTSIDE = {
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "integrations/airflow/README.md": "integrations/airflow.md",
    "integrations/dagster/README.md": "integrations/dagster.md",
}
"""Pages whose place is not in `docs/`, and their place in the site."""
SHOWN_AS = {"deploy": "deploy/index.md", "README.md": "index.md", "LICENSE": "deploy/LICENSE.md"}
"""What is linked to, and the page that shows it."""
LANGUAGES = {".service": "ini", ".timer": "ini", ".yml": "yaml", "": "text"}
NAMELESS = re.compile(r"<th([^>]*)></th>")
LINK = re.compile(r"(\]\()(?!https?:|mailto:|#)([^)#\s]+)")

# --- what MkDocs calls ----------------------------------------------------------------------------


def on_config(config: Any) -> Any:
    """Put decisions into the navigation, and pages that are nowhere in it."""
    sections: dict[str, list[Any]] = {}
    for each in config.nav:
        ((title, inside),) = each.items()
        if isinstance(inside, list):
            sections[title] = inside
    decisions = sorted((ROOT / "docs/decisions").glob("*.md"))
    (kept,) = [each["Decisions"] for each in sections["Explanation"] if "Decisions" in each]
    kept += ["decisions/index.md", *(f"decisions/{path.name}" for path in decisions)]
    listed = json.dumps(config.nav)
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    if more := sorted(page for page in pages if f'"{page}"' not in listed):
        sections["How-to"].append({"More": more})
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are no files of `docs/`."""
    from mkdocs.structure.files import File

    for path, content in pages().items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Let links that leave `docs/` lead to the pages that show what is there."""
    shown = markdown.replace("```console\n", "```shell\n")  # which has no prompts
    return within_the_site(shown, page.file.src_uri)


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """A cell over a column that needs no name is no heading."""
    return NAMELESS.sub(r"<td\1></td>", html)


# --- pages ----------------------------------------------------------------------------------------


def pages() -> dict[str, str]:
    """The text of each page, and of each file to load, by its path in the site."""
    made = {place: (ROOT / path).read_text() for path, place in OUTSIDE.items()}
    made["decisions/index.md"] = _decisions()
    made["reference/keys.md"] = _keys(json_schema())
    made["reference/python.md"] = _python()
    described = openapi.document(server.API)
    made["reference/http.md"] = _http(described)
    made["reference/openapi.json"] = json.dumps(described, indent=2)
    made["reference/activations.schema.json"] = json.dumps(json_schema(), indent=2)
    shown = sorted(path for path in (ROOT / "deploy").rglob("*") if path.is_file())
    names = [path.relative_to(ROOT / "deploy").as_posix() for path in shown]
    made |= {f"deploy/{name}.md": _shown(path) for name, path in zip(names, shown, strict=True)}
    made["deploy/LICENSE.md"] = _shown(ROOT / "LICENSE")
    listed = "\n".join(f"* [{name}]({name}.md)" for name in names)
    made["deploy/index.md"] = f"# Files to start from\n\n{listed}\n"
    return made


def within_the_site(markdown: str, page: str) -> str:
    """`markdown` of the page at that path, with each link out of `docs/` as one into the site."""
    folder = posixpath.dirname(page)
    of = {place: path for path, place in OUTSIDE.items()}.get(page, f"docs/{page}")

    def led(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(of), link[2]))
        if target in SHOWN_AS:
            found = SHOWN_AS[target]
        elif target.startswith("deploy/"):
            found = f"{target}.md" if (ROOT / target).is_file() else "deploy/index.md"
        elif target == "docs/decisions":
            found = "decisions/index.md"
        elif target.startswith("docs/"):
            found = target.removeprefix("docs/")
        elif target in OUTSIDE:
            found = OUTSIDE[target]
        else:
            return link[0]  # MkDocs says that it leads nowhere
        return link[1] + posixpath.relpath(found, folder or ".")

    return LINK.sub(led, markdown)


def _shown(path: Path) -> str:
    language = LANGUAGES.get(path.suffix, path.suffix.removeprefix("."))
    return f"# {path.name}\n\n```{language}\n{path.read_text()}\n```\n"


def _decisions() -> str:
    rows = [
        "# Decisions",
        "",
        "Why it is built like this: one page for each question that came up.",
        "",
    ]
    for path in sorted((ROOT / "docs/decisions").glob("*.md")):
        title = path.read_text().partition("\n")[0].lstrip("# ")
        rows.append(f"* [{title}]({path.name})")
    return "\n".join(rows) + "\n"


# --- the keys of activations.yaml -----------------------------------------------------------------


def _keys(schema: Json) -> str:
    lines = [
        "# Every key of activations.yaml",
        "",
        "Made from the grammar itself. [Configuration](../configuration.md) explains the keys and"
        " how they go together; editors read [activations.schema.json](activations.schema.json).",
    ]
    lines += _object("The file", schema, 2)
    for name in ("destinations", "activations"):
        values = schema["properties"][name]["additionalProperties"]
        for each in values.get("oneOf") or values["anyOf"]:
            if "$ref" in each:  # which stands with the parts
                continue
            kind = each["properties"].get("type", {}).get("const")
            title = f"type: {kind}" if kind else each["title"]
            lines += _object(f"`{name}`: {title}", each, 2)
    for name, part in schema["$defs"].items():
        if "properties" in part:
            lines += _object(name, part, 2)
        elif "enum" in part:
            values = ", ".join(f"`{value}`" for value in part["enum"])
            lines += ["", f"## {name}", "", part.get("description", ""), "", values]
    return "\n".join(lines) + "\n"


def _object(title: str, part: Json, level: int) -> list[str]:
    lines = ["", f"{'#' * level} {title}", "", part.get("description", "")]
    lines += ["", "| key | is | default | |", "|---|---|---|---|"]
    for name, each in part["properties"].items():
        if name in part.get("required", ()):
            default = "**required**"
        else:
            default = _default(each.get("default"))
        about = " ".join(each.get("description", "").split())
        lines.append(f"| `{name}` | {_cell(_kind(each))} | {default} | {_cell(about)} |")
    return lines


def _default(value: Any) -> str:
    if value is None or isinstance(value, dict | list):
        return "" if not value else f"`{json.dumps(value)}`" if isinstance(value, list) else ""
    return f"`{json.dumps(value)}`"


def _kind(part: Json) -> str:
    if "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "const" in part:
        return f"`{json.dumps(part['const'])}`"
    if "enum" in part:
        return ", ".join(f"`{json.dumps(value)}`" for value in part["enum"])
    if alternatives := part.get("anyOf") or part.get("oneOf"):
        # every value may also be ${NAME}, which is said once, in Configuration
        kinds = [
            _kind(each) for each in alternatives if "pattern" not in each or len(alternatives) == 1
        ]
        return " or ".join(dict.fromkeys(each for each in kinds if each not in ("null", "")))
    kind = part.get("type", "")
    if kind == "array":
        return f"list of {_kind(part.get('items', {}))}"
    if kind == "object":
        of = part.get("additionalProperties")
        return f"names, each with {_kind(of)}" if isinstance(of, dict) and _kind(of) else "keys"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("${", "$&#123;")


# --- Python, and the API over HTTP ----------------------------------------------------------------


def _python() -> str:
    lines = [
        "# The package `connector`",
        "",
        "Made from the code. [From Python](../python.md) shows how it is used.",
    ]
    lines += _functions("connector", [(n, getattr(connector, n)) for n in ("open_project", "plan")])
    for name in (name for name in connector.__all__ if name[0].isupper()):
        what = getattr(connector, name)
        lines += ["", f"## `{name}`", "", inspect.getdoc(what) or ""]
        fields = {n: t for n, t in getattr(what, "__annotations__", {}).items() if n[0] != "_"}
        if fields:
            lines += ["", "| field | type |", "|---|---|"]
            lines += [f"| `{field}` | `{_cell(_type(kind))}` |" for field, kind in fields.items()]
        own = [(n, m) for n, m in vars(what).items() if n[0] != "_" and inspect.isfunction(m)]
        lines += _functions(name, own)
    return "\n".join(lines) + "\n"


def _type(kind: Any) -> str:
    return kind if isinstance(kind, str) else inspect.formatannotation(kind)


def _functions(of: str, functions: Iterable[tuple[str, Any]]) -> list[str]:
    lines = []
    for name, function in functions:
        lines += [
            "",
            f"### `{of}.{name}`",
            "",
            "```python",
            f"{name}{inspect.signature(function)}",
            "```",
        ]
        lines += ["", inspect.getdoc(function) or ""]
    return lines


def _http(document: Json) -> str:
    lines = [
        "# The API of `connector serve`",
        "",
        f"{document['info']['description']} A running service has this as `/openapi.json`;"
        " here is [the document](openapi.json) of this version.",
    ]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            lines += [
                "",
                f"## `{method.upper()} {path}`",
                "",
                f"{operation['summary']}. {operation['description']}",
            ]
            if asked := operation["parameters"]:
                lines += ["", "| parameter | in | is |", "|---|---|---|"]
                lines += [
                    f"| `{p['name']}` | {p['in']} | {_cell(_kind(p['schema']))} |" for p in asked
                ]
            if "requestBody" in operation:
                lines += ["", f"Takes {_body(operation['requestBody'])}."]
            lines += ["", "| answer | | |", "|---|---|---|"]
            for status, answer in operation["responses"].items():
                lines.append(f"| {status} | {_cell(answer['description'])} | {_body(answer)} |")
    for name, shape in document["components"]["schemas"].items():
        if "properties" in shape:
            lines += _object(name, shape, 2)
    return "\n".join(lines) + "\n"


def _body(part: Json) -> str:
    kinds = [(kind, _kind(each["schema"])) for kind, each in part["content"].items()]
    return " or ".join(kind if shape in ("string", "keys") else shape for kind, shape in kinds)
