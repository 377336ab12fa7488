// Dropping holds data, and when told to lets go of some of it and says what the collector freed.
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
)

type Session struct {
	Name string
	Tags *[256]byte
}

type Node struct {
	Data *[100]uint64
	Next *Node
}

type Cache struct {
	entries map[int]*Session
	spare   *[5000]byte
}

var (
	sessions = make(map[int]*Session, 300)
	recent   []*Session // every third of them
	first    *Node      // a list of 40
	second   *Node      // an element before the same list
	fixed    = &Cache{} // laid out by the linker
)

func fill() {
	for i := 0; i < 300; i++ {
		s := &Session{Tags: new([256]byte)}
		sessions[i] = s
		if i%3 == 0 {
			recent = append(recent, s)
		}
	}
	for i := 0; i < 40; i++ {
		first = &Node{new([100]uint64), first}
	}
	second = &Node{new([100]uint64), first}
	fixed.entries = make(map[int]*Session, 50)
	for i := 0; i < 50; i++ {
		fixed.entries[i] = &Session{Tags: new([256]byte)}
	}
	fixed.spare = new([5000]byte)
}

func drop(what string) {
	switch what {
	case "main.sessions[*].Tags":
		for _, s := range sessions {
			s.Tags = nil
		}
	case "main.recent[*].Tags":
		for _, s := range recent {
			s.Tags = nil
		}
	case "main.first(.Next)*.Data":
		for n := first.Next; n != nil; n = n.Next {
			n.Data = nil
		}
	case "main.fixed":
		fixed = nil
	case "main.fixed.entries":
		fixed.entries = nil
	case "main.sessions":
		sessions = nil
	}
}

func live() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

func main() {
	runtime.GOMAXPROCS(1) // fewer threads, whose records would be counted
	fill()
	debug.SetGCPercent(-1)
	lines := bufio.NewScanner(os.Stdin)
	live()
	fmt.Println(`{"ready": true}`)
	for lines.Scan() {
		what := lines.Text()
		before := live()
		drop(what)
		fmt.Printf("{\"freed\": %d}\n", int64(before-live()))
	}
	fmt.Println(len(sessions), len(recent), first, second, fixed)
}
