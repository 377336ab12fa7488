// Leaking serves /debug/pprof; seven of its goroutines receive and four send where nobody ever will, two wait for main.
package main

import (
	"fmt"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"time"
)

//go:noinline
func forgottenReceiver(from chan int) { <-from }

//go:noinline
func forgottenSender(to chan int) { to <- 1 }

//go:noinline
func patient(from chan int) { <-from }

//go:noinline
func start(mine chan int) {
	for range 7 {
		go forgottenReceiver(make(chan int))
	}
	for range 4 {
		go forgottenSender(make(chan int))
	}
	for range 2 {
		go patient(mine)
	}
}

func main() {
	mine := make(chan int)
	start(mine)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go http.Serve(listener, nil)
	time.Sleep(20 * time.Millisecond)
	fmt.Printf("{\"port\": %d}\n", listener.Addr().(*net.TCPAddr).Port)
	os.Stdin.Read(make([]byte, 1))
	mine <- 1
}
