// Allocations serves /debug/pprof and allocates known amounts with every allocation sampled.
package main

import (
	"fmt"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"runtime"
	"strings"
)

type pair[K comparable, V any] struct {
	key   K
	value V
}

type cache[K comparable, V any] struct{ entries map[K][]pair[K, V] }

func (c *cache[K, V]) put(k K, v V) {
	if c.entries == nil {
		c.entries = map[K][]pair[K, V]{}
	}
	c.entries[k] = append(c.entries[k], pair[K, V]{k, v})
}

var (
	numbers cache[int, string]
	kept    = make([][]byte, 0, 200) // never grows: what blocks allocates is the blocks
)

//go:noinline
func blocks(count, size int) {
	for range count {
		kept = append(kept, make([]byte, size))
	}
}

//go:noinline
func recursive(depth int) {
	if depth > 0 {
		recursive(depth - 1)
		return
	}
	blocks(3, 16384)
}

func texts(count int) {
	for i := range count {
		numbers.put(i%50, strings.Repeat("x", i%300+1))
	}
}

func main() {
	runtime.MemProfileRate = 1
	blocks(100, 8192)
	recursive(4)
	texts(3000)
	http.HandleFunc("/more", func(http.ResponseWriter, *http.Request) {
		kept = kept[:50] // the others are garbage: negative in a comparison
		clear(kept[50:cap(kept)])
		blocks(7, 32768)
		texts(100)
		runtime.GC()
		runtime.GC()
	})
	for range 5 {
		go func() { select {} }()
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	runtime.GC()
	runtime.GC()
	go http.Serve(listener, nil)
	fmt.Printf("{\"port\": %d}\n", listener.Addr().(*net.TCPAddr).Port)
	os.Stdin.Read(make([]byte, 1))
}
