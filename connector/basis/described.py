"""What the strings below the fields of a class say: the descriptions of its keys."""

import ast
import inspect
import textwrap


def described_below(cls: type) -> dict[str, str]:
    """The string below each field of a class and its bases, by field.

    Pydantic's `use_attribute_docstrings` gives the same, but parses the source of every class
    whenever a program starts; only an editor's schema and the documentation want it.
    """
    found: dict[str, str] = {}
    package = cls.__module__.partition(".")[0]
    for each in (c for c in reversed(cls.__mro__) if c.__module__.partition(".")[0] == package):
        tree = ast.parse(textwrap.dedent(inspect.getsource(each))).body[0]
        assert isinstance(tree, ast.ClassDef)
        for field, below in zip(tree.body, tree.body[1:], strict=False):
            match field, below:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    found[name] = inspect.cleandoc(text)
    return found
