// Slices: capacity beyond length, parts that pin the whole array, slices of slices, empty ones.
package main

import "scenarios/park"

type Entry struct {
	Key   uint64
	Value *[4]uint64
}

type View struct{ Window []uint64 }

var (
	spare    []*Entry   // 10 of 100 used, but the hidden ones hold on too
	pinned   []byte     // 16 bytes in the middle of 65,536
	rows     [][]uint64 // 50 arrays of 20
	entries  []Entry
	views    []*View // two views of one array, which neither holds alone
	empty    = []*Entry{}
	zeroSize []struct{}
	structs  []struct{ A, B []byte }
)

func newEntries(n int) []*Entry {
	list := make([]*Entry, n)
	for i := range list {
		list[i] = &Entry{Key: uint64(i), Value: new([4]uint64)}
	}
	return list
}

func main() {
	park.Measure("main.spare", func() { spare = newEntries(100)[:10] })
	park.Measure("main.pinned", func() { pinned = make([]byte, 65536)[30000:30016] })
	park.Measure("main.rows", func() {
		rows = make([][]uint64, 50)
		for i := range rows {
			rows[i] = make([]uint64, 20)
		}
	})
	park.Measure("main.entries", func() {
		entries = make([]Entry, 64)
		for i := range entries {
			entries[i].Value = new([4]uint64)
		}
	})
	park.Measure("main.views", func() {
		numbers := make([]uint64, 1000)
		views = []*View{{numbers[:500]}, {numbers[500:]}}
	})
	park.Measure("main.structs", func() {
		structs = make([]struct{ A, B []byte }, 8)
		for i := range structs {
			structs[i].A = make([]byte, 0, 100)
			structs[i].B = make([]byte, 200)
		}
	})
	zeroSize = make([]struct{}, 1000)
	park.Wait()
}
