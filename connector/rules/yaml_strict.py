"""The nodes of a YAML 1.2 text of any kind, and what is wrong with it, by ruamel.yaml."""

import warnings
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from connector.rules.errors import not_yaml

ADVICE = {
    "'\\t'": "indent with blanks, not with a tab",
    "undefined alias": "put the value in quotes, if no alias is meant",
    "cannot start any token": "put the value in quotes",
    "expected alphabetic or numeric": "put the value in quotes",
    "chomping or indentation": "put the value in quotes",
    "mapping values are not allowed": (
        "indent it like its neighbours, leave a blank behind the colon of the line before, and put"
        " a text that holds a colon in quotes"
    ),
    "expected <block end>": "indent it like its neighbours, and put nothing behind a closing quote",
    "could not find expected ':'": "the line before has no key with a colon and a blank",
    "unexpected end of stream": "a closing quote is missing",
    "expected ',' or": "a comma or a closing bracket is missing, or a text needs quotes",
    "unknown escape": "use single quotes, or write \\\\ for a backslash",
    "another document": "a file holds one document; take out the --- or ...",
}
"""What helps, by a part of what the parser says."""


def _advised(said: str) -> str:
    return next((f"{said}; {helps}" for part, helps in ADVICE.items() if part in said), said)


def composed(text: str, file: Path) -> Any:
    """The node of the one document in `text`; None where it is empty. Raises ConfigurationError
    when it is no YAML."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an anchor that is set twice, which YAML allows
            return YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        what = str(error.problem)
        if what.startswith("but "):  # the end of a sentence that the context begins
            what = f"{error.context} {what}"
        said = f"not valid YAML: {_advised(what)}"
        raise not_yaml(file, line, column, said) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        said = "not valid YAML: a control character, which no text file holds"
        raise not_yaml(file, line, column, said) from None
    except RecursionError:
        raise not_yaml(file, 1, 1, "not valid YAML: nested too deeply") from None
    except (YAMLError, AssertionError, ValueError, LookupError, AttributeError, TypeError) as error:
        # the parser's own mistakes; which line it was at, it does not say
        said = (
            f"cannot be read as YAML ({type(error).__name__}); take comments out of places where no"
            " key and no value stands, or put texts in quotes"
        )
        raise not_yaml(file, 1, 1, said) from None
