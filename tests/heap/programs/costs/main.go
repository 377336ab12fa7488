// Costs keeps data whose sizes are known to the byte: see the tests for the sums.
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"unsafe"
)

// Record takes 48 bytes: 8 + 16 + 24.
type Record struct {
	ID   int
	Name string
	Tags []string
}

// secret takes 32 bytes; nothing of it is exported.
type secret struct {
	id    int
	name  string
	other any
}

// Node is one of a list.
type Node struct {
	Label string
	Value float64
	Next  *Node
}

// Box keeps what only an unsafe.Pointer leads to.
type Box struct {
	Number int
	data   unsafe.Pointer
}

// Cell takes 64 bytes without a pointer: 128 fill a span of 8 KiB.
type Cell [8]uint64

var (
	texts   []string
	table   map[uint64]uint64
	records map[string]*Record
	secrets map[int]*secret
	list    *Node
	anys    []any
	large   *[1000]*int
	cells   []*Cell
	boxes   []*Box
)

// Baseline is what the demo service keeps for each path.
type Baseline struct {
	Path string
	Mean float64
	m2   float64
	Seen []string
}

var manager struct{ paths map[string]*Baseline }

// baselines keeps 2,000 baselines of 200 identifiers each.
func baselines() {
	manager.paths = make(map[string]*Baseline)
	for i := 0; i < 2000; i++ {
		b := &Baseline{Path: text(24, i), Mean: 0.5, m2: 1.5}
		for j := 0; j < 200; j++ {
			b.Seen = append(b.Seen, text(16, i*200+j))
		}
		manager.paths[text(24, i)] = b
	}
}

func text(size, n int) string {
	return fmt.Sprintf("%0*d", size, n)
}

func main() {
	debug.SetGCPercent(-1)
	if len(os.Args) > 1 {
		baselines()
	} else {
		small()
	}
	runtime.GC()
	runtime.GC()
	fmt.Println(`{"ready": true}`)
	os.Stdin.Read(make([]byte, 1))
	fmt.Println(len(texts), len(table), len(records), len(secrets), list, len(anys), large, len(cells), len(boxes), len(manager.paths))
}

func small() {
	texts = make([]string, 0, 1500)
	for i := 0; i < 1000; i++ {
		texts = append(texts, text(20, i))
	}
	table = make(map[uint64]uint64)
	for i := uint64(0); i < 1000; i++ {
		table[i] = i
	}
	records = make(map[string]*Record)
	for i := 0; i < 5000; i++ {
		records[text(24, i)] = &Record{ID: 100_000 + i, Name: text(24, i), Tags: []string{text(16, i), text(16, i+1)}}
	}
	secrets = make(map[int]*secret)
	for i := 0; i < 3000; i++ {
		secrets[i] = &secret{id: 100_000 + i, name: text(30, i)}
	}
	for i := 0; i < 2000; i++ {
		list = &Node{Label: text(20, i), Value: 0.5, Next: list}
	}
	for i := 0; i < 1000; i++ {
		anys = append(anys, text(100, i))
	}
	for i := 0; i < 1500; i++ {
		boxes = append(boxes, &Box{i, unsafe.Pointer(new([4]uint64))})
	}
	large = new([1000]*int)
	all := make([]*Cell, 128*100)
	for i := range all {
		all[i] = &Cell{uint64(i)}
	}
	for i := 0; i < len(all); i += 128 {
		cells = append(cells, all[i])
	}
}
