// A shared library in Go for a program in C.
package main

import "C"

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

type Item struct {
	Data [12]uint64
	Next *Item
}

var items map[int]*Item

// Fill keeps n items of 104 bytes (slots of 112), and says so on standard output.
//
//export Fill
func Fill(n C.int) {
	debug.SetGCPercent(-1)
	items = map[int]*Item{}
	for i := 0; i < int(n); i++ {
		items[i] = &Item{}
	}
	for i := 0; i < 4; i++ {
		runtime.GC()
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	fmt.Printf(`{"ready": true, "memstats": {"HeapObjects": %d, "HeapAlloc": %d}}`+"\n", stats.HeapObjects, stats.HeapAlloc)
}

func main() {}
