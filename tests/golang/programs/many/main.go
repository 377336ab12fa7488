// Command many parks as many goroutines as its argument says, each holding an object of its own.
package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"sync"
)

type payload struct {
	next *payload
	pad  [56]byte
}

var (
	block  = make(chan struct{})
	parked sync.WaitGroup
)

//go:noinline
func touch(p *payload) { p.pad[0]++ }

func wait(p *payload) {
	parked.Done()
	<-block
	touch(p)
}

func main() {
	count, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	parked.Add(count)
	for n := 0; n < count; n++ {
		go wait(new(payload))
	}
	parked.Wait()
	for runtime.NumGoroutine() < count {
		runtime.Gosched()
	}
	fmt.Printf("{\"goroutines\": %d}\n", runtime.NumGoroutine())
	_, _ = io.Copy(io.Discard, os.Stdin)
}
