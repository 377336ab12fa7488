// Advice is large for a reason that its first argument names:
//
//	leak      300 goroutines wait for a channel that nobody else has, each with 128 KiB of its own
//	garbage   GOGC=400: 32 MiB are kept when the collector runs; 96 MiB of garbage follow, less than the goal
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
)

const (
	leaking = 300
	size    = 64 << 10
	load    = 128 << 10 // too large for a stack
)

var (
	kept   [][]byte
	once   [][]byte
	online = make(chan struct{})
)

func wait(done chan int) {
	mine := make([]byte, load)
	for at := range mine {
		mine[at] = 1
	}
	online <- struct{}{}
	<-done
	runtime.KeepAlive(mine)
}

func leak() {
	for i := 0; i < leaking; i++ {
		go wait(make(chan int))
		<-online
	}
}

func fill(mebibytes int) [][]byte {
	var made [][]byte
	for i := 0; i < mebibytes*16; i++ {
		block := make([]byte, size)
		for at := range block {
			block[at] = 1
		}
		made = append(made, block)
	}
	return made
}

func main() {
	switch os.Args[1] {
	case "leak":
		leak()
	case "garbage":
		debug.SetGCPercent(400)
		kept = fill(32)
		runtime.GC()
		once = fill(96)
		once = nil
	}
	fmt.Printf("{\"ready\": true, \"pid\": %d}\n", os.Getpid())
	_, _ = os.Stdin.Read(make([]byte, 1))
	runtime.KeepAlive(kept)
}
