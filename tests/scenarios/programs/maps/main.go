// Maps of every shape that Go's Swiss tables have.
package main

import "scenarios/park"

type Entry struct {
	Name string
	Data [4]uint64
}

// WideKey and WideElem have more than 128 bytes: maps keep such keys and elements behind pointers.
type (
	WideKey  struct{ Words [20]uint64 }
	WideElem struct {
		Label *[4]uint64
		Words [20]uint64
	}
)

var (
	small         map[string]*Entry   // 8 entries: one group, no table
	table         map[string]*Entry   // 500 entries: one table
	tables        map[string]*Entry   // 20,000 entries: a directory of many tables
	pointerFree   map[uint64]uint64   // 1,000 entries
	indirectKeys  map[WideKey]*Entry  // 200 entries
	indirectElems map[uint64]WideElem // 200 entries
	sets          map[string]struct{} // 300 entries
	byInterface   map[any]any         // 50 entries
	ofMaps        map[uint64]map[string][]string
	ofSlices      map[string][]Entry // 30 entries, 5 each
	emptied       map[string]*Entry  // 1,000 entries that were deleted again: only room is left
	cleared       map[string]*Entry  // 100 entries, of which every second was deleted
)

func fill(m map[string]*Entry, n int) map[string]*Entry {
	for i := 0; i < n; i++ {
		m[park.Text(24, i)] = &Entry{Name: park.Text(32, i)}
	}
	return m
}

func main() {
	park.Measure("main.small", func() { small = fill(make(map[string]*Entry), 8) })
	park.Measure("main.table", func() { table = fill(make(map[string]*Entry), 500) })
	park.Measure("main.tables", func() { tables = fill(make(map[string]*Entry), 20_000) })
	park.Measure("main.pointerFree", func() {
		pointerFree = make(map[uint64]uint64)
		for i := uint64(0); i < 1000; i++ {
			pointerFree[i] = i
		}
	})
	park.Measure("main.indirectKeys", func() {
		indirectKeys = make(map[WideKey]*Entry)
		for i := uint64(0); i < 200; i++ {
			indirectKeys[WideKey{Words: [20]uint64{i}}] = &Entry{}
		}
	})
	park.Measure("main.indirectElems", func() {
		indirectElems = make(map[uint64]WideElem)
		for i := uint64(0); i < 200; i++ {
			indirectElems[i] = WideElem{Label: new([4]uint64)}
		}
	})
	park.Measure("main.sets", func() {
		sets = make(map[string]struct{})
		for i := 0; i < 300; i++ {
			sets[park.Text(40, i)] = struct{}{}
		}
	})
	park.Measure("main.byInterface", func() {
		byInterface = make(map[any]any)
		for i := 0; i < 50; i++ {
			byInterface[[2]uint64{uint64(i), 1}] = &Entry{}
		}
	})
	park.Measure("main.ofMaps", func() {
		ofMaps = make(map[uint64]map[string][]string)
		for i := 0; i < 20; i++ {
			ofMaps[uint64(i)] = map[string][]string{
				park.Text(16, i): {park.Text(64, i), park.Text(64, i+1)},
			}
		}
	})
	park.Measure("main.ofSlices", func() {
		ofSlices = make(map[string][]Entry)
		for i := 0; i < 30; i++ {
			ofSlices[park.Text(16, i)] = make([]Entry, 5)
		}
	})
	park.Measure("main.emptied", func() {
		emptied = fill(make(map[string]*Entry), 1000)
		for k := range emptied {
			delete(emptied, k)
		}
	})
	park.Measure("main.cleared", func() {
		cleared = fill(make(map[string]*Entry), 100)
		for i := 0; i < 100; i += 2 {
			delete(cleared, park.Text(24, i))
		}
	})
	park.Wait()
}
