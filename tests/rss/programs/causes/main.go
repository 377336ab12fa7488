// Command causes makes one share of its resident memory large, by a known amount, says how much, and waits.
//
// Usage: causes CAUSE. The line it prints is a JSON object: the amount in bytes, and what runtime/metrics says
// at that moment.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const mebibyte = 1 << 20

type record struct {
	payload [120]byte
	next    *record
}

type odd struct {
	payload [32]byte
	next    *odd
}

type ticket struct {
	body [512]byte
}

var (
	kept    []*record
	blocks  [][]byte
	pieces  []*[64]byte
	tickets []*ticket
	mapped  []byte
	odds    *odd
	blocked = make(chan bool)
	rested  = make(chan bool)
	sum     int
)

var causes = map[string]func() int{
	"live":       live,
	"garbage":    garbage,
	"headroom":   headroom,
	"fragments":  fragments,
	"unreturned": unreturned,
	"lazy":       lazy,
	"goroutines": goroutines,
	"deep":       deep,
	"finalizers": finalizers,
	"file":       file,
	"huge":       huge,
	"rounded":    rounded,
	"unforked":   unforked,
	"untouched":  untouched,
}

// live keeps 400,000 records of 128 bytes in a list.
func live() int {
	var head *record
	for i := 0; i < 400_000; i++ {
		head = &record{next: head}
	}
	kept = append(kept, head)
	runtime.GC()
	return 400_000 * 128
}

// rounded keeps 100,000 values of 40 bytes in slots of 48.
func rounded() int {
	for i := 0; i < 100_000; i++ {
		odds = &odd{next: odds}
	}
	runtime.GC()
	return 100_000 * 8
}

// garbage drops 400,000 records and lets no collection run.
func garbage() int {
	debug.SetGCPercent(-1)
	live()
	kept = nil
	return 400_000 * 128
}

// headroom keeps 8 MiB and lets the heap grow to nine times that before a collection. It collects with 56 MiB in
// use, so the runtime expects to need as much again and returns nothing (runtime/mgcscavenge.go, gcPaceScavenger).
func headroom() int {
	debug.SetGCPercent(800)
	blocks = append(blocks, fill(8*mebibyte))
	runtime.GC()
	for i := 0; i < 12; i++ {
		sum += len(fill(4 * mebibyte))
	}
	runtime.GC()
	return 48 * mebibyte
}

// fragments allocates a million slots of 64 bytes and keeps every tenth.
func fragments() int {
	debug.SetGCPercent(-1)
	pieces = make([]*[64]byte, 1_000_000)
	for i := range pieces {
		pieces[i] = &[64]byte{1}
	}
	for i := range pieces {
		if i%10 != 0 {
			pieces[i] = nil
		}
	}
	runtime.GC()
	return 900_000 * 64
}

// unreturned drops 64 MiB in large blocks after which the runtime keeps the pages: it has no goal without GOGC.
func unreturned() int {
	for i := 0; i < 16; i++ {
		blocks = append(blocks, fill(4*mebibyte))
	}
	debug.SetGCPercent(-1)
	blocks = nil
	runtime.GC()
	return 64 * mebibyte
}

// lazy gives 64 MiB back by MADV_FREE, so that they stay resident until the kernel wants them.
func lazy() int {
	unreturned()
	debug.FreeOSMemory()
	return 64 * mebibyte
}

// goroutines parks 100,000 of them, each with the smallest stack.
func goroutines() int {
	for i := 0; i < 100_000; i++ {
		go func() { <-blocked }()
	}
	for runtime.NumGoroutine() < 100_000 {
		time.Sleep(time.Millisecond)
	}
	runtime.GC()
	return 100_000 * 2048
}

// deep parks eight goroutines four mebibytes deep in a recursion: stacks of 8 MiB each.
func deep() int {
	for i := 0; i < 8; i++ {
		go descend(4 * mebibyte / 1024)
	}
	for i := 0; i < 8; i++ {
		<-rested
	}
	return 8 * 4 * mebibyte
}

//go:noinline
func descend(levels int) int {
	var frame [1024 - 64]byte
	if levels > 0 {
		frame[levels%len(frame)] = byte(levels)
		return descend(levels-1) + int(frame[0])
	}
	rested <- true
	<-blocked
	return int(frame[0])
}

// finalizers queues 60,000 finalizers behind one that never returns.
func finalizers() int {
	runtime.SetFinalizer(&ticket{}, func(*ticket) { rested <- true; <-blocked })
	runtime.GC()
	<-rested
	for i := 0; i < 60_000; i++ {
		runtime.SetFinalizer(&ticket{[512]byte{1, 511: 1}}, func(*ticket) { sum++ })
	}
	runtime.GC()
	runtime.GC()
	return 60_000 * 512
}

// file maps a file of 32 MiB and reads it.
func file() int {
	name := os.Args[2]
	check(os.WriteFile(name, fill(32*mebibyte), 0o600))
	opened, err := os.Open(name)
	check(err)
	mapped, err = syscall.Mmap(int(opened.Fd()), 0, 32*mebibyte, syscall.PROT_READ, syscall.MAP_SHARED)
	check(err)
	for at := 0; at < len(mapped); at += 4096 {
		sum += int(mapped[at])
	}
	debug.FreeOSMemory()
	return 32 * mebibyte
}

// unforked keeps 16 MiB that a fork of the process does not get.
func unforked() int {
	area, err := syscall.Mmap(-1, 0, 16*mebibyte, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	check(err)
	check(syscall.Madvise(area, 10))
	for at := range area {
		area[at] = 3
	}
	mapped = area
	return 16 * mebibyte
}

// huge writes one byte in every 2 MiB of a block of 64 MiB that it asked huge pages for.
func huge() int {
	block := make([]byte, 66*mebibyte)
	blocks = append(blocks, block)
	start := uintptr(unsafe.Pointer(&block[0]))
	skip := int(-start & (2*mebibyte - 1))
	area := block[skip : skip+64*mebibyte]
	_, _, failed := syscall.Syscall(syscall.SYS_MADVISE, uintptr(unsafe.Pointer(&area[0])), uintptr(len(area)), 14)
	if failed != 0 {
		check(failed)
	}
	for at := 0; at < len(area); at += 2 * mebibyte {
		area[at] = 1
	}
	return 64 * mebibyte
}

// untouched keeps 64 MiB that it never writes to, 32 of which it reads.
func untouched() int {
	block := make([]byte, 64*mebibyte)
	blocks = append(blocks, block)
	for at := 0; at < len(block)/2; at += 4096 {
		sum += int(block[at])
	}
	return 64 * mebibyte
}

func fill(size int) []byte {
	block := make([]byte, size)
	for at := range block {
		block[at] = byte(at>>12) | 1
	}
	return block
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// figures returns /memory/classes, /gc and /cpu of runtime/metrics, all numbers.
func figures() map[string]any {
	var samples []metrics.Sample
	for _, description := range metrics.All() {
		if description.Kind != metrics.KindFloat64Histogram && !strings.HasPrefix(description.Name, "/godebug") {
			samples = append(samples, metrics.Sample{Name: description.Name})
		}
	}
	metrics.Read(samples)
	metrics.Read(samples)
	found := map[string]any{}
	for _, sample := range samples {
		switch sample.Value.Kind() {
		case metrics.KindUint64:
			found[sample.Name] = sample.Value.Uint64()
		case metrics.KindFloat64:
			found[sample.Name] = sample.Value.Float64()
		}
	}
	return found
}

// main says first that it is ready, without allocating, and on a line of input what it measured before that: so
// what runtime/metrics said and what a reader finds in between are the same state.
func main() {
	ready := []byte("{\"ready\": true}\n")
	line := make([]byte, 64)
	runtime.MemProfile(nil, false) // or the linker would drop the memory profile
	figures()
	amount := causes[os.Args[1]]()
	measured := figures()
	syscall.Write(1, ready)
	syscall.Read(0, line)
	text, err := json.Marshal(map[string]any{"amount": amount, "metrics": measured})
	check(err)
	fmt.Println(string(text))
	syscall.Read(0, line)
	fmt.Println(sum, len(kept), len(blocks), len(pieces), len(tickets), len(mapped), odds)
}
