// A program that loads a plugin: the process has two Go modules.
package main

import (
	"fmt"
	"os"
	"plugin"
	"runtime"
	"runtime/debug"
)

type Own struct{ Data [12]uint64 }

var owned []*Own

func main() {
	debug.SetGCPercent(-1)
	part, err := plugin.Open(os.Args[1])
	if err != nil {
		panic(err)
	}
	keep, _ := part.Lookup("Keep")
	hold, _ := part.Lookup("Hold")
	keep.(func(int))(1000)
	ready, end := make(chan bool), make(chan bool)
	hold.(func(chan<- bool, <-chan bool))(ready, end)
	<-ready
	for i := 0; i < 500; i++ {
		owned = append(owned, &Own{})
	}
	for i := 0; i < 4; i++ {
		runtime.GC()
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	fmt.Printf(`{"ready": true, "memstats": {"HeapObjects": %d, "HeapAlloc": %d}}`+"\n", stats.HeapObjects, stats.HeapAlloc)
	os.Stdin.Read(make([]byte, 1))
	close(end)
}
