// Contention serves /debug/pprof after its goroutines have waited for each other, every wait sampled, and then is quiet.
package main

import (
	"fmt"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
)

var (
	lock    sync.Mutex
	shared  int
	waiting sync.WaitGroup
)

//go:noinline
func hold(long time.Duration) {
	lock.Lock()
	shared++
	time.Sleep(long)
	lock.Unlock()
}

//go:noinline
func receive(from chan int) int { return <-from }

func main() {
	fraction := 1
	if len(os.Args) > 1 {
		fraction, _ = strconv.Atoi(os.Args[1])
	}
	runtime.SetMutexProfileFraction(fraction)
	runtime.SetBlockProfileRate(1)
	for range 40 {
		waiting.Add(1)
		go func() { defer waiting.Done(); hold(time.Millisecond) }()
	}
	slow := make(chan int)
	go func() { time.Sleep(30 * time.Millisecond); slow <- 1 }()
	receive(slow)
	waiting.Wait()
	runtime.SetBlockProfileRate(0) // the waits of the endpoint itself would come in
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go http.Serve(listener, nil)
	fmt.Printf("{\"port\": %d}\n", listener.Addr().(*net.TCPAddr).Port)
	os.Stdin.Read(make([]byte, 1))
}
