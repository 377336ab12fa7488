// Pointers: chains, trees, cycles, interior and unsafe ones.
package main

import (
	"unsafe"

	"scenarios/park"
)

type Link struct {
	Next *Link
	Load [7]uint64
}

type Tree struct {
	Left, Right *Tree
	Value       uint64
}

type Ring struct {
	Next, Previous *Ring
	Value          *uint64
}

type Record struct {
	Header [12]uint64
	Field  uint64
	Tail   [3]uint64
	Blob   *[16]uint64
}

var (
	chain    *Link
	tree     *Tree
	ring     *Ring
	interior *uint64   // to Record.Field: it holds the record and its blob
	middle   []*uint64 // to elements of arrays
	raw      unsafe.Pointer
	opaque   []unsafe.Pointer
	twice    **Link
	number   uintptr // an address that is no reference
)

func newTree(depth int) *Tree {
	if depth == 0 {
		return nil
	}
	return &Tree{Left: newTree(depth - 1), Right: newTree(depth - 1), Value: uint64(depth)}
}

func main() {
	park.Measure("main.chain", func() {
		for n := 0; n < 500; n++ {
			chain = &Link{Next: chain}
		}
	})
	park.Measure("main.tree", func() { tree = newTree(9) })
	park.Measure("main.ring", func() {
		ring = newRing()
		for n := 0; n < 99; n++ {
			r := newRing()
			r.Next, r.Previous = ring.Next, ring
			ring.Next.Previous = r
			ring.Next = r
		}
	})
	park.Measure("main.interior", func() { interior = &(&Record{Blob: new([16]uint64)}).Field })
	park.Measure("main.middle", func() {
		middle = make([]*uint64, 20)
		for i := range middle {
			middle[i] = &make([]uint64, 32)[i+1]
		}
	})
	park.Measure("main.raw", func() { raw = unsafe.Pointer(newTree(3)) })
	park.Measure("main.opaque", func() {
		opaque = make([]unsafe.Pointer, 10)
		for i := range opaque {
			opaque[i] = unsafe.Pointer(&Link{})
		}
	})
	park.Measure("main.twice", func() {
		twice = new(*Link)
		*twice = &Link{Next: &Link{}}
	})
	park.Measure("main.number", func() { number = uintptr(unsafe.Pointer(new(Record))) })
	park.Fact("main.interior", uint64(uintptr(unsafe.Pointer(interior))))
	park.Fact("main.number", uint64(number))
	park.Wait()
}

func newRing() *Ring {
	r := &Ring{Value: &new([4]uint64)[3]}
	r.Next, r.Previous = r, r
	return r
}
