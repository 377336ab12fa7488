// Goroutines that block while their locals hold memory; deferred calls; context chains.
package main

import (
	"context"
	"io"
	"net"
	"runtime"
	"sync"
	"syscall"

	"scenarios/park"
)

type Buffer struct {
	Label string
	Data  [2000]byte
}

type Request struct {
	Body   *[40]uint64
	Fields map[string]string
}

type traceKey struct{}

var (
	never = make(chan struct{})
	mutex sync.Mutex
	group sync.WaitGroup
	chain context.Context // ten values, one over the other
)

// The constructors are not inlined: what they return would lie on the stack otherwise.
//
//go:noinline
func newRequest(i int) *Request {
	return &Request{Body: new([40]uint64), Fields: map[string]string{"number": park.Text(24, i)}}
}

//go:noinline
func newBuffer(i int) *Buffer { return &Buffer{Label: park.Text(16, i)} }

//go:noinline
func newBuffers(n int) []*Buffer {
	list := make([]*Buffer, n)
	for i := range list {
		list[i] = newBuffer(i)
	}
	return list
}

// receiver holds a pointer, a slice and a string over a receive that never comes.
//
//go:noinline
func receiver(i int) {
	request := newRequest(i)
	list := newBuffers(3)
	text := park.Text(100, i)
	park.Settled()
	<-never
	runtime.KeepAlive(request)
	runtime.KeepAlive(list)
	runtime.KeepAlive(text)
}

// finished does not need its buffer any more when it blocks: nothing holds that.
//
//go:noinline
func finished(i int) {
	buffer := newBuffer(i)
	buffer.Data[i]++
	park.Settled()
	<-never
}

// outer holds one thing, the function it calls another.
//
//go:noinline
func outer(i int) {
	request := newRequest(i)
	inner(i)
	runtime.KeepAlive(request)
}

//go:noinline
func inner(i int) {
	buffer := newBuffer(i)
	park.Settled()
	mutex.Lock()
	runtime.KeepAlive(buffer)
}

// deferring holds a request only through a deferred closure.
//
//go:noinline
func deferring(i int) {
	request := newRequest(i)
	defer func() { request.Body[0]++ }()
	park.Settled()
	group.Wait()
}

// looping defers in a loop, which puts the records on the heap.
//
//go:noinline
func looping(n int) {
	for i := 0; i < n; i++ {
		request := newRequest(i)
		defer func() { request.Body[0]++ }()
	}
	park.Settled()
	<-never
}

// reading blocks in a system call.
//
//go:noinline
func reading(descriptor int) {
	buffer := newBuffer(1)
	park.Settled()
	_, _ = syscall.Read(descriptor, buffer.Data[:])
	runtime.KeepAlive(buffer)
}

// polling blocks in the network poller.
//
//go:noinline
func polling(connection net.Conn) {
	buffer := newBuffer(1)
	park.Settled()
	_, _ = io.ReadFull(connection, buffer.Data[:])
	runtime.KeepAlive(buffer)
}

// growing makes its stack grow to 256 KiB with a pointer at the bottom.
//
//go:noinline
func growing(depth int, request *Request) uint64 {
	var room [128]uint64
	if depth == 0 {
		park.Settled()
		<-never
		return request.Body[0]
	}
	room[depth%128] = growing(depth-1, request)
	return room[0] + request.Body[1]
}

func main() {
	chain = context.Background()
	park.Measure("main.chain", func() {
		for i := 0; i < 10; i++ {
			chain = context.WithValue(chain, traceKey{}, newRequest(i))
		}
	})
	mutex.Lock()
	group.Add(1)
	var ends [2]int
	if err := syscall.Pipe(ends[:]); err != nil {
		panic(err)
	}
	ours, _ := net.Pipe()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	dialled, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		panic(err)
	}

	for i := 0; i < 10; i++ {
		go receiver(i)
	}
	for i := 0; i < 4; i++ {
		go finished(i)
	}
	for i := 0; i < 6; i++ {
		go outer(i)
	}
	for i := 0; i < 5; i++ {
		go deferring(i)
	}
	go looping(7)
	go reading(ends[0])
	go polling(dialled)
	go polling(ours)
	go growing(200, newRequest(1))
	park.AwaitSettled(10 + 4 + 6 + 5 + 1 + 1 + 2 + 1)
	park.Wait()
	runtime.KeepAlive(listener)
}
