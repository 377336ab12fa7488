//go:build go1.24

package main

import (
	"runtime"

	"scenarios/park"
)

var cleaned []*File // 20 with cleanups whose argument is a Ticket

//go:noinline
func release(t *Ticket) { t.Number = 0 }

// firstCleanup starts the goroutine that runs cleanups.
func firstCleanup() { runtime.AddCleanup(newFile(0), release, &Ticket{}) }

func measureCleanups() {
	park.Measure("main.cleaned", func() {
		cleaned = make([]*File, 20)
		for i := range cleaned {
			cleaned[i] = newFile(i)
			runtime.AddCleanup(cleaned[i], release, &Ticket{Number: uint64(i), Note: new([5]uint64)})
		}
	})
}
