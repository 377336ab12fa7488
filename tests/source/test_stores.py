"""Statements of Go source that store: what into, whose it is, and what syntax does not tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from heldby.errors import UsageError
from heldby.source import SourceLines
from heldby.source.stores import SourceStore, stores_into

SOURCE = """package shop

import "container/list"

type Basket struct {
	items []*Item
	inner Inner
	order *list.List
}

type Inner struct{ byName map[string]int }

var (
	global  map[string]*Basket
	baskets = &Basket{}
	text    = "x.items = append(x.items, y)" // x.items = nothing
)

func (b *Basket) Add(it *Item, other Unknown) {
	b.items = append(b.items, it)
	b.inner.byName[it.name]++
	b.inner.byName[it.name] = 1
	other.thing.items = append(other.thing.items, it)
	items := []*Item{}
	items = append(items, it)
	b.items = nil
}

func (b Basket) Sort(ch chan<- *Item) {
	global["x"], ch = &Basket{}, nil
	(*baskets).items[0] = nil
	ch <- <-source
	made := new(Basket)
	made.order.PushBack(1)
	go func() {
		made.items = append(
			made.items,
			nil,
		)
	}()
}

func broken( {
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "basket.go").write_text(SOURCE)
    (tmp_path / "shop" / "basket_test.go").write_text("package shop\nfunc f(b *Basket) { b.items = nil }\n")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "hidden.go").write_text("package shop\nfunc f(b *Basket) { b.items = nil }\n")
    return tmp_path


def found(folder: Path, *names: str) -> list[SourceStore]:
    return stores_into(SourceLines(folder), frozenset(names))


def test_appends_have_their_field_and_its_owner(folder: Path) -> None:
    rows = [
        (store.first, store.last, store.verb, store.owner, store.function) for store in found(folder, "items")
    ]

    assert rows == [
        (20, 20, "append", "Basket", "shop.(*Basket).Add"),
        (23, 23, "append", None, "shop.(*Basket).Add"),  # the type of other.thing is not told
        (25, 25, "append", None, "shop.(*Basket).Add"),  # a local variable
        (26, 26, "assign", "Basket", "shop.(*Basket).Add"),
        (31, 31, "index", "Basket", "shop.Basket.Sort"),
        (36, 39, "append", "Basket", "shop.Basket.Sort"),
    ]


def test_a_statement_over_several_lines_is_one_text(folder: Path) -> None:
    assert found(folder, "items")[-1].text == "made.items = append( made.items, nil, )"


def test_maps_in_nested_structs_channels_lists_and_variables_are_told(folder: Path) -> None:
    rows = [
        (store.first, store.verb, store.name, store.owner)
        for store in found(folder, "byName", "global", "ch", "order")
    ]

    assert rows == [
        (22, "index", "byName", "Inner"),
        (30, "index", "global", ""),
        (30, "assign", "ch", None),
        (32, "send", "ch", None),
        (34, "list", "order", "Basket"),
    ]


def test_texts_and_comments_store_nothing(folder: Path) -> None:
    assert [store for store in found(folder, "items") if store.first in (16, 17)] == []


def test_a_file_without_the_name_is_not_parsed(folder: Path) -> None:
    assert found(folder, "nosuchname") == []


def test_a_recorded_path_is_found_by_its_end(folder: Path) -> None:
    lines = SourceLines(folder)

    assert lines.find("/home/ci/build/shop/basket.go") == folder / "shop" / "basket.go"
    assert lines.find("example.com/shop@v1.2.3/basket.go") == folder / "shop" / "basket.go"
    assert lines.line("/home/ci/build/shop/basket.go", 20) == "b.items = append(b.items, it)"
    assert lines.line("/home/ci/build/shop/basket.go", 2000) is None
    assert lines.find("/home/ci/shop/nosuch.go") is None


def test_two_files_that_fit_equally_well_are_neither(folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "other" / "basket.go").write_text(SOURCE)

    assert SourceLines(folder).find("/x/third/basket.go") is None
    assert SourceLines(folder).find("/x/other/basket.go") == folder / "other" / "basket.go"


def test_only_go_files_are_read_whatever_the_program_says(tmp_path: Path) -> None:
    secret = tmp_path / "shadow"
    secret.write_text("root:secret\n")

    assert SourceLines().line(str(secret), 1) is None
    assert SourceLines().line("relative.go", 1) is None
    assert SourceLines().line(str(tmp_path), 1) is None


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no folder"):
        SourceLines(tmp_path / "absent")
