"""Read dbt's profiles.yml: the settings of one target, with env_var() as the only thing filled in.

No other Jinja is understood: it would be taken to the letter, as a password, say. No message here
shows a value, for it could be a secret.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from connector.basis import dataclass
from connector.rules.errors import ConfigurationError, Problem, did_you_mean
from connector.rules.errors import Path as KeyPath
from connector.rules.variables import read_utf8

TEXT = r"""(?:'([^'\\]*)'|"([^"\\]*)")"""
ENV_VAR = re.compile(
    rf"\{{\{{-?\s*env_var\(\s*{TEXT}\s*(?:,\s*{TEXT}\s*)?\)"
    r"\s*(?:\|\s*(?:int|as_number|as_bool|as_native|as_text|string)\s*)?-?\}\}"
)
JINJA = re.compile(r"\{\{|\{%|\{#")
DATABASES = ("database", "dbname", "project", "catalog")
"""The keys that name a database, by adapter."""


@dataclass(frozen=True, slots=True)
class Target:
    """One target of a profile. `settings`: as they are written; read a value with `value`."""

    file: Path
    profile: str
    name: str
    settings: Mapping[str, Any]
    environment: Mapping[str, str | None]
    path: KeyPath = ()

    @property
    def adapter(self) -> str:
        """Such as duckdb or snowflake."""
        return self.text("type") or ""

    @property
    def database(self) -> str | None:
        """The database that dbt builds in; None where the adapter knows none."""
        for key in DATABASES:
            if found := self.text(key):
                return found
        if self.adapter != "duckdb":
            return None
        path = self.text("path") or ":memory:"
        if path.startswith(("md:", "motherduck:")):
            return path.partition(":")[2].partition("?")[0] or "my_db"
        return "memory" if path == ":memory:" else Path(path).stem

    @property
    def schema(self) -> str | None:
        """The schema that dbt builds in, where a model says no other."""
        return self.text("schema") or self.text("dataset") or self._default_schema()

    def _default_schema(self) -> str | None:
        return "main" if self.adapter == "duckdb" else None

    def text(self, key: str) -> str | None:
        """The value of a key as a text. Raises ConfigurationError for what cannot be filled in."""
        value = self.value(key)
        return None if value is None or isinstance(value, dict | list) else str(value)

    def value(self, key: str) -> Any:
        """The value of a key, filled in, whatever it holds inside. Raises ConfigurationError."""
        return self._filled(self.settings.get(key), key)

    def keys(self) -> Iterator[str]:
        """The keys that are written."""
        yield from (str(key) for key in self.settings)

    def _filled(self, value: Any, key: str) -> Any:
        if isinstance(value, dict):
            return {str(k): self._filled(v, f"{key}.{k}") for k, v in value.items()}
        if isinstance(value, list):
            return [self._filled(each, key) for each in value]
        if not isinstance(value, str) or not JINJA.search(value):
            return value
        if JINJA.search(ENV_VAR.sub("", value)):
            raise self._wrong(
                key, "holds Jinja that is not understood here; only {{ env_var('NAME') }} and"
                " {{ env_var('NAME', 'default') }} are"
            )  # fmt: skip
        return ENV_VAR.sub(lambda match: self._variable(match, key), value)

    def _variable(self, match: re.Match[str], key: str) -> str:
        name, default = match[1] or match[2], match[3] if match[3] is not None else match[4]
        value = self.environment.get(name)
        if value is None:
            value = default
        if value is None:
            raise self._wrong(key, f"wants the environment variable {name}, which is not set")
        return value

    def _wrong(self, key: str, text: str) -> ConfigurationError:
        where = f"{self.profile}.outputs.{self.name}.{key}"
        return ConfigurationError(Problem(self.path, f"{self.file}: {where} {text}"))


@dataclass(frozen=True, slots=True)
class Profiles:
    """Where profiles.yml is looked for, and which profile is meant where none is named: `folder`
    has dbt_project.yml; `named`: the folder with profiles.yml, if somebody says so."""

    folder: Path
    environment: Mapping[str, str | None]
    named: Path | None = None

    def target(self, profile: str | None, target: str | None, path: KeyPath = ()) -> Target:
        """A target of a profile. Raises ConfigurationError, at `path`, where there is none."""
        file = self._file(path)
        content = _yaml(file, path)
        profile = profile or self._profile(path)
        known = [name for name in content if name != "config"]
        if profile not in known:
            raise _none(path, f"{file} has no profile", profile, known)
        written = content[profile]
        outputs = written.get("outputs") if isinstance(written, dict) else None
        if not isinstance(outputs, dict):
            raise ConfigurationError(Problem(path, f'{file}: "{profile}" has no outputs'))
        if target is None:
            default = Target(file, profile, "", written, self.environment, path).text("target")
            target = default or "default"
        settings = outputs.get(target)
        if not isinstance(settings, dict):
            where = f'{file}: the profile "{profile}" has no target'
            raise _none(path, where, target, [str(name) for name in outputs])
        return Target(file, profile, target, settings, self.environment, path)

    def _file(self, path: KeyPath) -> Path:
        told = self.environment.get("DBT_PROFILES_DIR")
        folders = [self.named] if self.named else []
        folders += [Path(told).expanduser()] if told and not self.named else []
        if not folders:
            folders = [self.folder, Path("~/.dbt").expanduser()]
        for folder in folders:
            if folder and (folder / "profiles.yml").is_file():
                return folder / "profiles.yml"
        where = " nor in ".join(str(folder) for folder in folders)
        raise ConfigurationError(
            Problem(path, f"there is no profiles.yml in {where}; set DBT_PROFILES_DIR")
        )

    def _profile(self, path: KeyPath) -> str:
        name = project_setting(self.folder, "profile", path)
        if name is None:
            file = self.folder / "dbt_project.yml"
            raise ConfigurationError(
                Problem(path, f"which profile is not said: name it, or let {file} do (profile:)")
            )
        return name


def _none(path: KeyPath, where: str, wanted: str, known: Sequence[str]) -> ConfigurationError:
    return ConfigurationError(Problem(path, f'{where} "{wanted}"{did_you_mean(wanted, known)}'))


def project_setting(folder: Path, key: str, path: KeyPath = ()) -> str | None:
    """A setting at the top of dbt_project.yml; None where it is not there, or not a plain text."""
    file = folder / "dbt_project.yml"
    if not file.is_file():
        return None
    value = _yaml(file, path).get(key)
    return value if isinstance(value, str) and not JINJA.search(value) else None


def _yaml(file: Path, path: KeyPath) -> Mapping[str, Any]:
    from ruamel.yaml import YAML  # only projects of dbt's need it
    from ruamel.yaml.error import YAMLError

    try:
        content = YAML(typ="safe", pure=True).load(read_utf8(file))
    except (YAMLError, ValueError, FileNotFoundError) as error:
        mark = getattr(error, "problem_mark", None)  # its words may show what is written
        where = f"{file}:{mark.line + 1}:{mark.column + 1}:" if mark else f"{file}"
        raise ConfigurationError(Problem(path, f"{where} cannot be read as YAML")) from None
    if not isinstance(content, dict):
        raise ConfigurationError(Problem(path, f"{file} is not a mapping"))
    return content
