// Static holds strings through a value that the compiler lays out before the program starts: main.manager is a
// pointer to it, and only its field points into the heap.
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
)

type Manager struct {
	limit int
	paths map[string][]byte
	inner *Inner
}

type Inner struct {
	name  string
	parts []*[64]uint64
}

var manager = &Manager{limit: 3, inner: &Inner{name: "static"}}

func main() {
	manager.paths = make(map[string][]byte, 100) // a map that grows may refer to a value twice (Go 1.21 to 1.23)
	for i := 0; i < 100; i++ {
		manager.paths[fmt.Sprintf("path %d", i)] = make([]byte, 1000)
	}
	for n := 0; n < 50; n++ {
		manager.inner.parts = append(manager.inner.parts, new([64]uint64))
	}
	debug.SetGCPercent(-1)
	runtime.GC()
	fmt.Printf("{\"ready\": true}\n")
	os.Stdin.Read(make([]byte, 1))
	fmt.Println(len(manager.paths), len(manager.inner.parts))
}
