// Package park measures what each root of a scenario program adds to the heap, and parks the program so that
// nothing moves while a test looks into it.
//
// It allocates nothing between the last collection and the parking, so that the numbers it prints are those
// of the heap that the test sees.
package park

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

type measurement struct {
	root           string
	bytes, objects int64
}

type fact struct {
	name  string
	value uint64
}

// All of it lies in bss or data: printing must not allocate.
var (
	stats        runtime.MemStats
	measurements [64]measurement
	measured     int
	facts        [64]fact
	known        int
	line         [1 << 16]byte
	letters      [1 << 12]byte
	settled      atomic.Int64
)

func init() {
	debug.SetGCPercent(-1)
	for i := range letters {
		letters[i] = 'a' + byte(i%26)
	}
	// The runtime's own first allocations (threads, goroutine structures, semaphores) come before any
	// measurement.
	done := make(chan bool)
	for n := 0; n < 4*runtime.GOMAXPROCS(0); n++ {
		go func() {
			time.Sleep(time.Millisecond)
			done <- true
		}()
	}
	for n := 0; n < 4*runtime.GOMAXPROCS(0); n++ {
		<-done
	}
	for n := 0; n < 8; n++ {
		collect()
		runtime.Gosched()
	}
}

func collect() {
	for n := 0; n < 3; n++ {
		runtime.GC()
	}
	runtime.ReadMemStats(&stats)
}

// Measure runs build, which fills the named root, and records by how much the live heap grew.
func Measure(root string, build func()) {
	collect()
	bytes, objects := int64(stats.HeapAlloc), int64(stats.HeapObjects)
	build()
	collect()
	measurements[measured] = measurement{root, int64(stats.HeapAlloc) - bytes, int64(stats.HeapObjects) - objects}
	measured++
}

// Fact adds a number, such as an address, to what the program says when it is ready.
func Fact(name string, value uint64) {
	facts[known] = fact{name, value}
	known++
}

// Text returns a new string of n bytes, at least 16 (so that it has a slot of its own); i makes it unlike
// others.
//
//go:noinline
func Text(n, i int) string {
	var buffer [4096]byte
	copy(buffer[:n], letters[:n])
	for place := 0; place < 8; place++ {
		buffer[place] = '0' + byte(i%10)
		i /= 10
	}
	return string(buffer[:n])
}

// Settled is called by a goroutine just before it blocks for ever.
func Settled() { settled.Add(1) }

// AwaitSettled waits until n goroutines in all have called Settled and had time to block.
func AwaitSettled(n int) {
	for settled.Load() < int64(n) {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(20 * time.Millisecond)
}

// Wait collects, prints the ready line and blocks until standard input ends.
func Wait() {
	collect()
	out := append(line[:0], `{"ready": true, "go": "`...)
	out = append(out, runtime.Version()...)
	out = append(out, `", "memstats": {"HeapObjects": `...)
	out = strconv.AppendUint(out, stats.HeapObjects, 10)
	out = append(out, `, "HeapAlloc": `...)
	out = strconv.AppendUint(out, stats.HeapAlloc, 10)
	out = append(out, `, "NumGC": `...)
	out = strconv.AppendUint(out, uint64(stats.NumGC), 10)
	out = append(out, `}, "measured": {`...)
	for i, m := range measurements[:measured] {
		out = appendName(out, i, m.root)
		out = append(out, `{"bytes": `...)
		out = strconv.AppendInt(out, m.bytes, 10)
		out = append(out, `, "objects": `...)
		out = strconv.AppendInt(out, m.objects, 10)
		out = append(out, '}')
	}
	out = append(out, `}, "facts": {`...)
	for i, f := range facts[:known] {
		out = appendName(out, i, f.name)
		out = strconv.AppendUint(out, f.value, 10)
	}
	out = append(out, "}}\n"...)
	if _, err := syscall.Write(1, out); err != nil {
		os.Exit(1)
	}
	for {
		// The buffer is not needed any more; reading allocates nothing either.
		n, err := syscall.Read(0, line[:1])
		if n == 0 || (err != nil && err != syscall.EINTR) {
			os.Exit(0)
		}
	}
}

func appendName(out []byte, i int, name string) []byte {
	if i > 0 {
		out = append(out, ", "...)
	}
	return append(append(append(out, '"'), name...), `": `...)
}
