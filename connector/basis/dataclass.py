"""Dataclasses that cost nothing before they are used.

`dataclasses.dataclass` writes and compiles some six functions when a class statement runs, half a
millisecond a class, and a command uses a few of the hundreds of classes that it imports. Here the
same decorator lets it do that when one of the functions is first wanted. The class is the same;
but a frozen one is made three times as fast, since each of its fields is set by its slot itself.
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


WRITTEN = "__init__", "__repr__", "__eq__", "__match_args__"
KEPT = "__dataclass_fields__", "__dataclass_params__"
BY_FACTORY = dataclasses._HAS_DEFAULT_FACTORY  # type: ignore[attr-defined]
"""What a parameter of `__init__` holds by default, whose value a factory makes: so it is shown."""
MAKING = RLock()
"""A class is made once, by one thread; its bases within it."""


class _Later:
    """Stands for what a class will have, until it is asked for."""

    __slots__ = ("make", "name")

    def __init__(self, name: str, make: Callable[[], None]) -> None:
        self.name, self.make = name, make

    def __get__(self, instance: Any, owner: type) -> Any:
        self.make()
        return getattr(owner if instance is None else instance, self.name)


def _made_later(plain: type, *, slots: bool, **options: Any) -> type:
    """The class with slots at once; what `dataclasses` writes into the `plain` one comes later."""
    its = dict(vars(plain))
    later = _names(its, **options)

    def make() -> None:
        with MAKING:
            if later:
                quick = options.get("frozen") and "__init__" in later
                dataclasses.dataclass(plain, **options, **({"init": False} if quick else {}))
                _bring(plain, made, its)
                if quick:
                    made.__init__ = _beginning(made)  # type: ignore[misc]
                for name in later:
                    if isinstance(vars(made)[name], _Later):  # it stays as the bases have it
                        delattr(made, name)
                later.clear()

    slots_of_bases = {name for base in plain.__mro__ for name in vars(base).get("__slots__", ())}
    fields = [name for name, kind in plain.__annotations__.items() if not _is_of_class(kind)]
    namespace = {name: its[name] for name in its.keys() - {*fields, "__dict__", "__weakref__"}}
    namespace["__slots__"] = tuple(name for name in fields if name not in slots_of_bases)
    if options.get("eq", True):
        namespace.setdefault("__hash__", None)
    namespace |= {name: _Later(name, make) for name in later}
    namespace |= FROZEN if options.get("frozen") else {}
    made = type(plain)(plain.__name__, plain.__bases__, namespace)
    made.__qualname__ = plain.__qualname__
    return made


def _names(its: dict[str, Any], *, eq: bool = True, frozen: bool = False, **_: Any) -> list[str]:
    """What a class with `its` attributes is going to have."""
    names = [*KEPT, *(name for name in WRITTEN if name not in its)]
    if not eq and "__eq__" in names:
        names.remove("__eq__")  # with one, Python would take away how it is hashed
    if eq and frozen and its.get("__hash__") is None:
        names.append("__hash__")
    return names


def _bring(plain: type, made: type, before: dict[str, Any]) -> None:
    """What `dataclasses` has written, which goes by the fields and knows no class."""
    for name, value in vars(plain).items():
        is_new = name.startswith("__") and value is not before.get(name)
        if is_new and name not in FROZEN and name != "__doc__":
            setattr(made, name, value)


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
