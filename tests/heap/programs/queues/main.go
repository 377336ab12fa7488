// Queues blocks the goroutines that run finalizers and cleanups (Go 1.24 and later): what 499 of each wait with is live, and nothing
// but the runtime's queues refers to it.
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"time"
)

type Resource struct {
	buffer []byte
	name   *string
}

var blocked = make(chan int)

func newResource(i, size int) *Resource {
	name := fmt.Sprint("resource ", i)
	return &Resource{buffer: make([]byte, size), name: &name}
}

func abandon(i int) {
	runtime.SetFinalizer(newResource(i, 1000), func(r *Resource) {
		<-blocked
		fmt.Println(r.name)
	})
	abandonWithCleanup(i)
}

func main() {
	for i := 0; i < 500; i++ {
		abandon(i)
	}
	debug.SetGCPercent(-1)
	// The first collection queues, the second marks what is queued.
	for n := 0; n < 3; n++ {
		time.Sleep(50 * time.Millisecond)
		runtime.GC()
	}
	fmt.Printf("{\"ready\": true}\n")
	os.Stdin.Read(make([]byte, 1))
}
