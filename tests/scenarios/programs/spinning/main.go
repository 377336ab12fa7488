// Spinning: goroutines that run while the process is looked at, one of them in a loop without calls, whose
// pointers may lie in registers only.
package main

import (
	"runtime"
	"sync/atomic"
	"time"

	"scenarios/park"
)

type Matrix struct {
	Cells *[512]uint64
	Label string
}

var (
	stop atomic.Bool
	sink uint64
)

//go:noinline
func newMatrix(i int) *Matrix { return &Matrix{Cells: new([512]uint64), Label: park.Text(32, i)} }

// tight has no call and no allocation: only a signal interrupts it.
//
//go:noinline
func tight(m *Matrix) {
	sum := uint64(0)
	for i := uint64(0); !stop.Load(); i++ {
		sum += m.Cells[i%512]
	}
	sink = sum + uint64(len(m.Label))
}

// calling goes through function calls all the time, and now and then to sleep.
//
//go:noinline
func calling(m *Matrix) {
	for i := 0; !stop.Load(); i++ {
		sink += touch(m, i)
		if i%100_000 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	runtime.KeepAlive(m)
}

//go:noinline
func touch(m *Matrix, i int) uint64 { return m.Cells[i%512] }

func main() {
	go tight(newMatrix(1))
	go calling(newMatrix(2))
	time.Sleep(20 * time.Millisecond)
	park.Wait()
}
