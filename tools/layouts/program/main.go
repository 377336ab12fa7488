// A program whose debug information describes every structure of the runtime that heldby reads.
//
// The linker keeps the description of a type only where code that is left refers to it, so this program touches
// timers, pools, channels, select, finalizers, the poller and profiles. It is built and read, never run.
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"sync"
	"time"
)

type record struct{ next *record }

func main() {
	pool := sync.Pool{New: func() any { return new(record) }}
	held := pool.Get().(*record)
	runtime.SetFinalizer(held, func(*record) {})
	lengths := map[string]int{os.Args[0]: 1}
	ready, done := make(chan *record, 4), make(chan struct{})
	timer := time.NewTimer(time.Second)
	go func() {
		defer close(done)
		ready <- held
	}()
	select {
	case r := <-ready:
		fmt.Println(r, lengths)
	case <-timer.C:
	}
	<-done
	reader, writer, _ := os.Pipe()
	_, _ = fmt.Fprintln(writer, pprof.Lookup("heap").WriteTo(reader, 1))
	extend(held)
}
