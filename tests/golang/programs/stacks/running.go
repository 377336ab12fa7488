package main

import (
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"
)

var (
	started atomic.Int32
	sink    int64
)

// spin holds its payload in a register or in its frame, and never calls anything.
//
//go:noinline
func spin(p *Payload) {
	started.Add(1)
	for {
		p.stamp++
	}
}

// readClock spends its time in the vDSO, on the system stack.
//
//go:noinline
func readClock(p *Payload) {
	started.Add(1)
	for {
		p.stamp = time.Now().UnixNano()
	}
}

// allocate spends its time in the allocator.
//
//go:noinline
func allocate(p *Payload) {
	started.Add(1)
	for {
		p.next = &Payload{stamp: p.stamp}
	}
}

// callSystem spends its time entering and leaving system calls.
//
//go:noinline
func callSystem(p *Payload) {
	started.Add(1)
	for {
		p.stamp += int64(yield())
	}
}

// grow makes its stack grow and shrink.
//
//go:noinline
func grow(p *Payload) {
	started.Add(1)
	for {
		sink += deepen(200, p)
	}
}

//go:noinline
func deepen(depth int, p *Payload) int64 {
	var room [16]int64
	if depth == 0 {
		return p.stamp
	}
	room[depth&15] = deepen(depth-1, p)
	return room[depth&15] + p.stamp
}

func run(what string) {
	switch what {
	case "busy":
		// All of them take turns on two threads: some run, the others were preempted between two instructions.
		runtime.GOMAXPROCS(2)
		for _, start := range []func(){
			func() { spin(fresh("spin 0")) },
			func() { spin(fresh("spin 1")) },
			func() { spin(fresh("spin 2")) },
			func() { readClock(fresh("clock")) },
			func() { allocate(fresh("allocate")) },
			func() { callSystem(fresh("system call")) },
			func() { grow(fresh("grow")) },
		} {
			go start()
		}
		for started.Load() < 7 {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(100 * time.Millisecond)
		ready()
		select {}
	case "unstarted":
		// With one processor, no collections and no preemption (GODEBUG) the new goroutine never gets its turn.
		runtime.GOMAXPROCS(1)
		debug.SetGCPercent(-1)
		p := fresh("unstarted")
		go touch(p)
		q := fresh("main spins")
		ready()
		for {
			q.stamp++
		}
	}
}
