"""Fields that are made when they are first read."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, replace
from functools import cached_property

import pytest

from heldby.store.lazily import lazily


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int

    @property
    def total(self) -> int:
        return self.x + self.y


@dataclass
class Circle:
    radius: int

    @cached_property
    def area(self) -> int:
        raise AssertionError("computed although it is known")


def test_a_field_is_loaded_when_it_is_read_and_never_again() -> None:
    loaded: list[str] = []

    def load(name: str, value: int) -> int:
        loaded.append(name)
        return value

    point = lazily(Point, {"x": lambda: load("x", 1), "y": lambda: load("y", 2)})

    assert loaded == []
    assert (point.y, point.y) == (2, 2)
    assert loaded == ["y"]
    assert point.total == 3
    assert loaded == ["y", "x"]


def test_it_is_an_instance_of_the_class_and_as_frozen() -> None:
    point = lazily(Point, {"x": lambda: 1, "y": lambda: 2})

    assert isinstance(point, Point)
    assert replace(point, y=5).total == 6
    with pytest.raises(FrozenInstanceError):
        point.x = 7  # type: ignore[misc]


def test_what_a_class_would_compute_is_loaded_instead() -> None:
    circle = lazily(Circle, {"radius": lambda: 2, "area": lambda: 12})

    assert (circle.area, circle.radius) == (12, 2)


def test_a_field_without_a_loader_is_an_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="'Point' object has no attribute 'y'"):
        _ = lazily(Point, {"x": lambda: 1}).y


def test_an_error_of_a_loader_is_not_hidden() -> None:
    def fail() -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        _ = lazily(Point, {"x": fail}).x
