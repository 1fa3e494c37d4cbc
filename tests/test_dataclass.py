"""A dataclass that is made later is the same class."""

import ast
import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any, ClassVar, Generic, TypeVar

import pytest

import connector
from connector.basis import dataclass as later

T = TypeVar("T")
Decorator = Callable[..., Any]


def point(decorator: Decorator) -> Any:
    @decorator(frozen=True, slots=True)
    class Point(Generic[T]):
        """A place."""

        x: T
        y: int = 2
        tags: list[str] = dataclasses.field(default_factory=list, compare=False)
        most: ClassVar[int] = 9

        def __post_init__(self) -> None:
            if isinstance(self.x, int) and self.x > self.most:
                raise ValueError("too far")

        @property
        def sum(self) -> int:
            return self.y + 1

    return Point


def box(decorator: Decorator) -> Any:
    @decorator(slots=True)
    class Box:
        """For things."""

        size: int

        def __repr__(self) -> str:
            return f"a box of {self.size}"

    @decorator(slots=True, kw_only=True)
    class Crate(Box):
        """Of wood."""

        wood: str = "oak"

    return Crate


def thing(decorator: Decorator) -> Any:
    @decorator(slots=True, eq=False)
    class Thing:
        """With a name."""

        name: str

    return Thing


@later(frozen=True, slots=True)
class Kept:
    """In a module, so that it can be pickled."""

    x: int
    y: str = "y"


MADE = [point, box, thing]


@pytest.mark.parametrize("make", MADE)
def test_a_class_made_later_is_the_same(make: Callable[[Decorator], Any]) -> None:
    one, other = make(dataclasses.dataclass), make(later)

    assert inspect.signature(other) == inspect.signature(one)
    assert other.__match_args__ == one.__match_args__
    assert other.__slots__ == one.__slots__
    assert [(f.name, f.type, f.default, f.kw_only) for f in dataclasses.fields(other)] == [
        (f.name, f.type, f.default, f.kw_only) for f in dataclasses.fields(one)
    ]
    assert (other.__hash__ is None) == (one.__hash__ is None)
    assert (other.__eq__ is object.__eq__) == (one.__eq__ is object.__eq__)
    assert (other.__qualname__, other.__doc__ is None) == (one.__qualname__, False)


@pytest.mark.parametrize("decorator", [dataclasses.dataclass, later])
def test_values_behave_alike(decorator: Decorator) -> None:
    kind = point(decorator)

    first = kind(1, tags=["a"])

    assert repr(first).endswith("Point(x=1, y=2, tags=['a'])")
    assert first == kind(1) != kind(2)
    assert hash(first) == hash(kind(1))
    assert dataclasses.replace(first, y=7).sum == 8
    assert dataclasses.asdict(first) == {"x": 1, "y": 2, "tags": ["a"]}
    assert copy.deepcopy(first) == first
    assert first.tags is not kind(1).tags
    match first:
        case kind(x, y):
            assert (x, y) == (1, 2)
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'x'"):
        first.x = 3
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'x'"):
        del first.x
    with pytest.raises(ValueError, match="too far"):
        kind(10)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        kind()


@pytest.mark.parametrize("decorator", [dataclasses.dataclass, later])
def test_what_a_class_has_by_itself_or_by_its_base_stays(decorator: Decorator) -> None:
    crate, kind = box(decorator), thing(decorator)

    made = crate(3, wood="ash")
    made.size = 4

    assert repr(made) == f"{crate.__qualname__}(size=4, wood='ash')"
    assert repr(crate.__mro__[1](2)) == "a box of 2"
    assert kind("a") != kind("a")
    assert len({kind("a"), kind("a")}) == 2
    with pytest.raises(TypeError, match="unhashable"):
        hash(made)
    with pytest.raises(AttributeError):
        made.colour = "red"


def test_it_is_pickled() -> None:
    assert pickle.loads(pickle.dumps(Kept(1))) == Kept(1)


def test_nothing_is_written_before_it_is_used() -> None:
    kind = point(later)

    assert not inspect.isfunction(vars(kind)["__init__"])
    assert kind(1) is not None
    written = [
        name for name in ("__init__", "__repr__", "__eq__", "__hash__") if is_written(kind, name)
    ]
    assert written == ["__init__"]
    assert kind(1) == kind(1)
    assert is_written(kind, "__hash__")
    assert not is_written(kind, "__repr__")


def is_written(kind: Any, name: str) -> bool:
    return inspect.isfunction(vars(kind)[name])


def at_once(wait: Barrier, kind: Any) -> Any:
    wait.wait()
    return kind(1)


def test_threads_that_want_it_at_once_get_the_same() -> None:
    for _ in range(50):
        kind = point(later)
        with ThreadPoolExecutor(4) as threads:
            wait = Barrier(4)
            got = [threads.submit(at_once, wait, kind) for _ in range(4)]

        assert [each.result() for each in got] == [kind(1)] * 4
        assert all(each.result().tags == [] for each in got)


def test_all_of_the_house_take_it() -> None:
    root = Path(connector.__file__).parent
    taken = [
        path.relative_to(root)
        for path in root.rglob("*.py")
        if path.parent.name != "basis"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == "dataclasses"
        if "dataclass" in [alias.name for alias in node.names]
    ]

    assert taken == []
