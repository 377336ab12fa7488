// Goroutines that can never run again, in every way that Go 1.27's goroutineleak profile knows, beside
// goroutines that look the same and may run. The program says by itself which is which: functions called
// leaked... and waiting....
package main

import (
	"bufio"
	"encoding/json"
	"os"
	"runtime"
	"runtime/pprof"
	"sync"
	"time"
)

type Load struct{ bytes [1000]byte } // a slot of 1,024 bytes

type Locked struct {
	mu sync.Mutex
	rw sync.RWMutex
	wg sync.WaitGroup
	n  int
}

type Guard struct { // too large to share a slot with other small values
	mu  sync.Mutex
	pad [56]byte
}

var (
	started sync.WaitGroup
	global  = make(chan int)
	shared  = &Locked{}
	hub     = struct{ out chan int }{make(chan int)}
)

//go:noinline
func newLoad() *Load { return new(Load) }

//go:noinline
func leakedReceive() {
	c, load := make(chan int), newLoad()
	started.Done()
	<-c
	runtime.KeepAlive(load)
}

//go:noinline
func leakedSend() {
	c, load := make(chan *Load), newLoad()
	started.Done()
	c <- load
}

//go:noinline
func leakedSelect() {
	a, b := make(chan int), make(chan *Load)
	started.Done()
	select {
	case <-a:
	case <-b:
	}
}

//go:noinline
func leakedForNothing() {
	started.Done()
	select {}
}

//go:noinline
func leakedNilReceive() {
	var c chan int
	started.Done()
	<-c
}

//go:noinline
func leakedNilSend() {
	var c chan int
	started.Done()
	c <- 1
}

// Each of the two waits for the other.
//
//go:noinline
func leakedPair(mine, other chan int) {
	started.Done()
	<-mine
	other <- 1
}

// Three in a row: the first is leaked, so the others are.
//
//go:noinline
func leakedChain(from, to chan int) {
	started.Done()
	v := <-from
	to <- v
}

//go:noinline
func leakedLock(l *Locked) {
	started.Done()
	l.mu.Lock()
	l.n++
}

//go:noinline
func leakedRLock(l *Locked) {
	started.Done()
	l.rw.RLock()
	l.n++
}

//go:noinline
func leakedWLock(l *Locked) {
	started.Done()
	l.rw.Lock()
	l.n++
}

//go:noinline
func leakedGroup(l *Locked) {
	started.Done()
	l.wg.Wait()
	l.n++
}

//go:noinline
func leakedCond(c *sync.Cond) {
	c.L.Lock()
	started.Done()
	c.Wait()
	c.L.Unlock()
}

//go:noinline
func waitingGlobal() {
	load := newLoad()
	started.Done()
	<-global
	runtime.KeepAlive(load)
}

//go:noinline
func waitingField() {
	started.Done()
	hub.out <- 1
}

//go:noinline
func waitingSelect() {
	c := make(chan int)
	started.Done()
	select {
	case <-c:
	case <-global:
	}
}

//go:noinline
func waitingTimer() {
	started.Done()
	<-time.After(time.Hour)
}

//go:noinline
func waitingTicker() {
	t := time.NewTicker(time.Hour)
	started.Done()
	for range t.C {
	}
}

//go:noinline
func waitingSleep() {
	started.Done()
	time.Sleep(time.Hour)
}

//go:noinline
func waitingLock() {
	started.Done()
	shared.mu.Lock()
	shared.n++
}

//go:noinline
func waitingGroup() {
	started.Done()
	shared.wg.Wait()
	shared.n++
}

//go:noinline
func waitingCond(c *sync.Cond) {
	c.L.Lock()
	started.Done()
	c.Wait()
	c.L.Unlock()
}

// The first of the three waits on the global channel and may wake the second, which may wake the third.
//
//go:noinline
func waitingChain(from, to chan int) {
	started.Done()
	v := <-from
	to <- v
}

//go:noinline
func waitingForMain(c chan int) {
	started.Done()
	<-c
}

func run(n int, f func()) {
	started.Add(n)
	for i := 0; i < n; i++ {
		go f()
	}
}

var conditions [2]*sync.Cond

func start() chan int {
	run(5, leakedReceive)
	run(3, leakedSend)
	run(2, leakedSelect)
	run(1, leakedForNothing)
	run(1, leakedNilReceive)
	run(1, leakedNilSend)
	a, b := make(chan int), make(chan int)
	run(1, func() { leakedPair(a, b) })
	run(1, func() { leakedPair(b, a) })
	c, d, e, f := make(chan int), make(chan int), make(chan int), make(chan int)
	run(1, func() { leakedChain(c, d) })
	run(1, func() { leakedChain(d, e) })
	run(1, func() { leakedChain(e, f) })
	l := &Locked{}
	l.mu.Lock()
	l.rw.Lock()
	l.wg.Add(1)
	run(2, func() { leakedLock(l) })
	run(2, func() { leakedRLock(l) })
	run(1, func() { leakedWLock(l) })
	run(2, func() { leakedGroup(l) })
	cond := sync.NewCond(&new(Guard).mu)
	run(3, func() { leakedCond(cond) })

	run(4, waitingGlobal)
	run(1, waitingField)
	run(2, waitingSelect)
	run(1, waitingTimer)
	run(1, waitingTicker)
	run(1, waitingSleep)
	shared.mu.Lock()
	shared.wg.Add(1)
	run(2, waitingLock)
	run(1, waitingGroup)
	conditions[0] = sync.NewCond(&new(Guard).mu)
	run(2, func() { waitingCond(conditions[0]) })
	g, h, i := make(chan int), make(chan int), make(chan int)
	run(1, func() { waitingChain(global, g) })
	run(1, func() { waitingChain(g, h) })
	run(1, func() { waitingChain(h, i) })
	mine := make(chan int)
	run(1, func() { waitingForMain(mine) })
	return mine
}

func main() {
	mine := start()
	started.Wait()
	time.Sleep(50 * time.Millisecond)
	for i := 0; i < 3; i++ {
		runtime.GC()
	}
	os.Stdout.WriteString("{\"ready\": true}\n")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		// The runtime's own answer: "goroutine 7 [chan receive (leaked)]:" and so on.
		var text writer
		if leak := pprof.Lookup("goroutineleak"); leak != nil {
			leak.WriteTo(&text, 2)
		}
		json.NewEncoder(os.Stdout).Encode(map[string]string{"profile": string(text)})
	}
	mine <- 1
}

type writer []byte

func (w *writer) Write(b []byte) (int, error) { *w = append(*w, b...); return len(b), nil }
