// Sites allocates known amounts at known places for known holders:
//
//	          allocated by  small   large   inlined
//	main.left               4,096     512         -
//	main.right              8,192      64     2,048
//	nobody (garbage)        2,048       -         -
//
// small makes objects of 1,024 bytes, large of 65,536, and inlined, which has no frame of its own, of 4,096. The
// first argument is the rate of the memory profile; "heap FILE" on standard input writes the profile there.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
)

type (
	small  [1024]byte
	large  [65536]byte
	middle [4096]byte
)

type shelf struct {
	Small  []*small
	Large  []*large
	Middle []*middle
}

var (
	left  shelf
	right shelf
	lost  []*small
)

//go:noinline
func newSmall() *small { return new(small) }

//go:noinline
func newLarge() *large { return new(large) }

func newInlined() *middle { return new(middle) }

//go:noinline
func fill(s *shelf, smalls, larges, middles int) {
	s.Small = make([]*small, smalls)
	for i := range s.Small {
		s.Small[i] = newSmall()
	}
	s.Large = make([]*large, larges)
	for i := range s.Large {
		s.Large[i] = newLarge()
	}
	s.Middle = make([]*middle, middles)
	for i := range s.Middle {
		s.Middle[i] = newInlined()
	}
}

//go:noinline
func lose(count int) {
	lost = make([]*small, count)
	for i := range lost {
		lost[i] = newSmall()
	}
	lost = nil
}

func main() {
	rate, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	runtime.MemProfileRate = rate
	debug.SetGCPercent(-1)
	lines := bufio.NewScanner(os.Stdin)
	fill(&left, 4096, 512, 0)
	fill(&right, 8192, 64, 2048)
	runtime.GC()
	runtime.GC()
	lose(2048)
	fmt.Println(`{"ready": true}`)
	for lines.Scan() {
		file, err := os.Create(strings.TrimPrefix(lines.Text(), "heap "))
		if err != nil {
			panic(err)
		}
		if err := pprof.WriteHeapProfile(file); err != nil {
			panic(err)
		}
		file.Close()
		fmt.Println(`{"written": true}`)
	}
	runtime.KeepAlive(left)
	runtime.KeepAlive(right)
}
