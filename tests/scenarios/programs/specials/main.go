// Finalizers and cleanups (Go 1.24 and later): what they hold, and what they do not.
package main

import (
	"os"
	"runtime"

	"scenarios/park"
)

type File struct {
	Name string
	Data [10]uint64
}

type Ticket struct {
	Number uint64
	Note   *[5]uint64
}

type registry struct{ closed map[string]int }

var (
	watched  []*File // 20 with finalizers
	captured []*File // 10 with finalizers that capture a registry
	opened   *os.File
)

//go:noinline
func closeFile(f *File) { f.Name = "" }

func newFile(i int) *File { return &File{Name: park.Text(32, i)} }

func main() {
	// The first of each starts the goroutine that runs them.
	runtime.SetFinalizer(newFile(0), closeFile)
	firstCleanup()
	runtime.GC()

	park.Measure("main.watched", func() {
		watched = make([]*File, 20)
		for i := range watched {
			watched[i] = newFile(i)
			runtime.SetFinalizer(watched[i], closeFile)
		}
	})
	measureCleanups()
	park.Measure("main.captured", func() {
		captured = make([]*File, 10)
		for i := range captured {
			captured[i] = newFile(i)
			r := &registry{closed: map[string]int{park.Text(16, i): 1}}
			runtime.SetFinalizer(captured[i], func(f *File) { r.closed[f.Name]++ })
		}
	})
	park.Measure("main.opened", func() { opened, _ = os.Open("/dev/null") })
	park.Wait()
}
