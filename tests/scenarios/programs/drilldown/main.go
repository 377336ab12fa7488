// What questions after the first screen are asked about: a map of entries, what two types hold together and
// neither alone, what a field shares with a variable, a pool, and goroutines with a request each.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"unsafe"

	"scenarios/park"
)

type Entry struct { // 32 bytes
	Name string
	Blob *[1024]byte
	Next *Entry
}

type Manager struct {
	paths map[int]*Entry
	spare *Spare
	chain *Entry
}

type Spare struct{ room [4096]byte }

type Twin struct { // 32 bytes
	Common *Common
	own    [3]uint64
}

type Common struct{ room [8192]byte }

type Request struct{ body [500]byte } // a slot of 512

type Final struct{ room [3000]byte } // a slot of 3072

// Index and map[int32]*int32 are made of groups, or buckets, of one and the same type.
type Index map[int32]*int32

type Buffer struct{ room [2000]byte } // a slot of 2048

var (
	manager *Manager
	keeper  *Spare // also held by manager.spare
	twinA   *Twin
	twinB   *Twin
	pool    sync.Pool
	never   = make(chan struct{})
	index   = make(Index, 100)
	plain   = make(map[int32]*int32, 60)
	boxed   any // an interface with a Request of its own
)

//go:noinline
func newRequest() *Request { return new(Request) }

//go:noinline
func serve(r *Request) {
	park.Settled()
	<-never
	runtime.KeepAlive(r)
}

func main() {
	// A map that grew may refer to a value twice (up to Go 1.23): this one has its size from the beginning.
	manager = &Manager{paths: make(map[int]*Entry, 100)}
	for i := 0; i < 100; i++ {
		manager.paths[i] = &Entry{Name: park.Text(48, i), Blob: new([1024]byte)}
	}
	for i := 0; i < 50; i++ {
		manager.chain = &Entry{Next: manager.chain}
	}
	keeper = new(Spare)
	manager.spare = keeper
	common := new(Common)
	twinA, twinB = &Twin{Common: common}, &Twin{Common: common}
	boxed = new(Request)
	for i := int32(0); i < 100; i++ {
		index[i] = nil
	}
	for i := int32(0); i < 60; i++ {
		plain[i] = nil
	}
	for i := 0; i < 7; i++ {
		go serve(newRequest())
	}
	park.AwaitSettled(7)
	type watched struct{ word *int }
	seen := &watched{new(int)}
	last := new(Final)
	runtime.SetFinalizer(seen, func(*watched) { last.room[0] = 1 })
	for i := 0; i < 3; i++ {
		runtime.GC()
	}
	pool.Put(new(Buffer)) // nothing collects any more
	fmt.Printf("{\"ready\": true, \"entry\": %d, \"common\": %d}\n",
		uintptr(unsafe.Pointer(manager.paths[7])), uintptr(unsafe.Pointer(common)))
	os.Stdin.Read(make([]byte, 1))
	runtime.KeepAlive(seen)
}
