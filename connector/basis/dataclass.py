"""Dataclasses that cost nothing before they are used.

`dataclasses.dataclass` writes and compiles some six functions when a class statement runs, half a
millisecond a class, and a command uses a few of the hundreds of classes that it imports. Here the
same decorator lets it do that when one of the functions is first wanted, and only for that one and
those that belong to it. The class is the same; but a frozen one is made three times as fast, since
each of its fields is set by its slot itself.
"""

import dataclasses
import inspect
from collections.abc import Callable
from threading import RLock
from typing import TYPE_CHECKING, Any, ClassVar, get_origin

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(cls: type | None = None, /, **options: Any) -> Any:
        """As `dataclasses.dataclass`, with the same options."""
        if cls is None:
            return lambda cls: dataclass(cls, **options)
        if not options.get("slots") or options.get("order"):
            return dataclasses.dataclass(cls, **options)
        return _made_later(cls, **options)


BASIC = "__init__", "__match_args__", "__dataclass_fields__", "__dataclass_params__"
TOGETHER = {
    BASIC: {"repr": False, "eq": False},
    ("__repr__",): {"init": False, "eq": False, "match_args": False},
    ("__eq__", "__hash__"): {"init": False, "repr": False, "match_args": False},
}
"""What is written at once, and by which options nothing else is: few classes are ever compared."""
BY_FACTORY = dataclasses._HAS_DEFAULT_FACTORY  # type: ignore[attr-defined]
"""What a parameter of `__init__` holds by default, whose value a factory makes: so it is shown."""
MAKING = RLock()
"""A class is made once, by one thread; its bases within it."""


class _Later:
    """Stands for what a class will have, until it is asked for."""

    __slots__ = ("make", "name")

    def __init__(self, name: str, make: Callable[[str], None]) -> None:
        self.name, self.make = name, make

    def __get__(self, instance: Any, owner: type) -> Any:
        self.make(self.name)
        found = getattr(owner if instance is None else instance, self.name)
        if isinstance(instance, type) and inspect.isfunction(found):
            return found.__get__(instance)  # as `inspect.signature` asks, from Python 3.13 on
        return found


def _made_later(plain: type, *, slots: bool, **options: Any) -> Any:
    """The class with slots at once; what `dataclasses` writes for the `plain` one comes later."""
    its = dict(vars(plain))
    later = _names(its, **options)

    def make(name: str) -> None:
        with MAKING:
            if name not in later:
                return
            names, alone = next(each for each in TOGETHER.items() if name in each[0])
            new = later.intersection(names)
            later.difference_update(names)
            written = type(plain)(plain.__name__, plain.__bases__, dict(its))
            written.__qualname__ = plain.__qualname__
            if options.get("frozen") and "__init__" in new:
                dataclasses.dataclass(written, **(options | alone | {"init": False}))
                _bring(written, made, new - {"__init__"})
                made.__init__ = _beginning(made)
            else:
                dataclasses.dataclass(written, **(options | alone))
                _bring(written, made, new)

    slots_of_bases = {name for base in plain.__mro__ for name in vars(base).get("__slots__", ())}
    fields = [name for name, kind in plain.__annotations__.items() if not _is_of_class(kind)]
    namespace = {name: its[name] for name in its.keys() - {*fields, "__dict__", "__weakref__"}}
    namespace["__slots__"] = tuple(name for name in fields if name not in slots_of_bases)
    if options.get("eq", True):
        namespace.setdefault("__hash__", None)
    namespace |= {name: _Later(name, make) for name in later}
    namespace |= FROZEN if options.get("frozen") else {}
    made: Any = type(plain)(plain.__name__, plain.__bases__, namespace)
    made.__qualname__ = plain.__qualname__
    return made


def _names(its: dict[str, Any], *, eq: bool = True, frozen: bool = False, **_: Any) -> set[str]:
    """What a class with `its` attributes is going to have."""
    names = {*BASIC[2:], *(n for n in (*BASIC[:2], "__repr__", "__eq__") if n not in its)}
    if not eq:
        names.discard("__eq__")  # with one, Python would take away how it is hashed
    elif frozen and its.get("__hash__") is None:
        names.add("__hash__")
    return names


def _bring(written: type, made: type, names: set[str]) -> None:
    """What `dataclasses` has written, which goes by the fields and knows no class; what it has not,
    stays as the bases have it."""
    for name in names:
        if name in vars(written):
            setattr(made, name, vars(written)[name])
        else:
            delattr(made, name)


def _beginning(made: Any) -> Callable[..., None]:
    """The `__init__` of a frozen class. `dataclasses` writes it with a look-up and a call of
    `object.__setattr__` for each field; a slot can be told what it holds."""
    fields = dataclasses.fields(made)
    given = [field for field in fields if field.init]
    named = [field for field in given if field.kw_only]
    scope: dict[str, Any] = {"object": object}
    parameters = [_parameter(field, scope) for field in given if not field.kw_only]
    parameters += ["*"] * bool(named) + [_parameter(field, scope) for field in named]
    lines = [line for field in fields for line in _setting(field, made, scope)]
    lines += ["self.__post_init__()"] * hasattr(made, "__post_init__")
    text = f"def __init__(self, {', '.join(parameters)}):\n " + "\n ".join(lines or ["pass"])
    exec(text, scope)  # ours alone: the names of a class's fields
    init: Callable[..., None] = scope["__init__"]
    init.__qualname__ = f"{made.__qualname__}.__init__"
    init.__annotations__ = {field.name: field.type for field in given} | {"return": None}
    return init


def _parameter(field: Any, scope: dict[str, Any]) -> str:
    if not _has_default(field):
        return str(field.name)
    name = f"default_{field.name}"
    is_made = field.default is dataclasses.MISSING
    scope[name] = BY_FACTORY if is_made else field.default
    return f"{field.name}={name}"


def _setting(field: Any, made: Any, scope: dict[str, Any]) -> list[str]:
    """What gives the field its value."""
    name = field.name
    value = name
    if field.default_factory is not dataclasses.MISSING:
        scope[f"make_{name}"], scope["BY_FACTORY"] = field.default_factory, BY_FACTORY
        value = f"make_{name}()"
        if field.init:
            value += f" if {name} is BY_FACTORY else {name}"
    elif not field.init:
        if field.default is dataclasses.MISSING:
            return []  # it is set by `__post_init__`
        scope[value := f"default_{name}"] = field.default
    slot = getattr(made, name, None)
    if not inspect.ismemberdescriptor(slot):  # of a base without slots
        return [f"object.__setattr__(self, {name!r}, {value})"]
    scope[f"set_{name}"] = slot.__set__
    return [f"set_{name}(self, {value})"]


def _has_default(field: Any) -> bool:
    return not field.default is field.default_factory is dataclasses.MISSING


def _is_of_class(kind: Any) -> bool:
    """Whether an annotation is of no field, but of the class."""
    return kind is ClassVar or get_origin(kind) is ClassVar


def _set(self: Any, name: str, value: Any) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _delete(self: Any, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, field.name) for field in dataclasses.fields(self)]


def _set_state(self: Any, state: list[Any]) -> None:
    for field, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)


FROZEN = {
    "__setattr__": _set,
    "__delattr__": _delete,
    "__getstate__": _state,
    "__setstate__": _set_state,
}
"""What every frozen class has alike."""
