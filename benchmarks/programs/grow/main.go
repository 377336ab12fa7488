// Grow fills its heap with linked nodes of 64 bytes up to the mebibytes of its first argument, touches and gives
// up as much again if the second argument is "garbage", keeps the number of threads of its third argument in
// system calls, prints a line and then answers the clock every millisecond: it prints the longest gap when
// its standard input ends.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"
)

type node struct {
	next *node
	data [7]uint64
}

var keep *node

func fill(megabytes int, head **node) {
	for i := 0; i < megabytes<<20/64; i++ {
		*head = &node{next: *head, data: [7]uint64{uint64(i), 1}}
	}
}

func main() {
	megabytes, _ := strconv.Atoi(os.Args[1])
	threads, _ := strconv.Atoi(os.Args[3])
	if os.Args[2] == "garbage" {
		var waste *node
		fill(megabytes, &waste)
		waste = nil
		debug.FreeOSMemory()
	}
	fill(megabytes, &keep)
	runtime.GC()
	for range threads {
		go func() {
			runtime.LockOSThread()
			for {
				wait := syscall.Timespec{Sec: 3600}
				_ = syscall.Nanosleep(&wait, nil)
			}
		}()
	}
	time.Sleep(200 * time.Millisecond)
	fmt.Println("{}")
	go func() {
		bufio.NewReader(os.Stdin).ReadString('\n')
		fmt.Printf("{\"gap_ms\": %f}\n", float64(gap.Microseconds())/1000)
		os.Exit(0)
	}()
	last := time.Now()
	for {
		time.Sleep(time.Millisecond)
		now := time.Now()
		gap = max(gap, now.Sub(last))
		last = now
	}
}

var gap time.Duration
