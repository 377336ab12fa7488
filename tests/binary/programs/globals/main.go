// Command globals declares package-level variables and locals of every kind, so that what heldby reads from
// the executable can be compared with what is written here.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

type entry struct {
	Name  string
	Tags  []string
	next  *entry
	Attrs map[string]any
}

type level int

type handler func(context.Context, *entry) error

type pair[K comparable, V any] struct {
	Key   K
	Value V
}

type store struct {
	mu      sync.Mutex
	entries map[string]*entry
	order   []*entry
	hits    atomic.Int64
}

func (s *store) add(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries[e.Name] = e
	s.order = append(s.order, e)
	s.hits.Add(1)
}

type shape interface{ Area() float64 }

type square struct{ side float64 }

func (s *square) Area() float64 { return s.side * s.side }

var (
	registry    = &store{entries: make(map[string]*entry)}
	byValue     store
	lookup      = make(map[int64][]string)
	sized       = make(map[string]int, 1000)
	head        *entry
	events      = make(chan pair[string, int], 16)
	callback    handler
	anything    any = 42
	figure      shape
	names       []string
	grid        [4][8]int32
	title       = "globals"
	severity    level = 3
	ready       bool
	ratio       float64
	pairs       []pair[string, *entry]
	failure     = errors.New("failed")
	shared      sync.Map
	pooled      = sync.Pool{New: func() any { return new(bytes.Buffer) }}
	current     atomic.Pointer[entry]
	anonymous   struct{ A, B int }
	static      = &entry{Name: "static", Tags: []string{"a", "b"}}
	table       = []entry{{Name: "one"}, {Name: "two"}}
	assignedLate map[string]*pair[int, string]
	madeLate     []*square
)

//go:noinline
func keep(prefix string, count int, e *entry, tags []string) func() string {
	total := 0
	seen := map[string]int{}
	for _, tag := range tags {
		seen[tag]++
		total += len(tag) * count
	}
	label := fmt.Sprint(prefix, total, seen)
	return func() string {
		total++
		return label + e.Name + fmt.Sprint(total)
	}
}

//go:noinline
func setLate(n int) {
	assignedLate = make(map[string]*pair[int, string])
	madeLate = make([]*square, n)
	for i := range madeLate {
		madeLate[i] = &square{side: float64(i)}
		assignedLate[fmt.Sprint(i)] = &pair[int, string]{Key: i, Value: "v"}
	}
	figure = &square{side: 2}
	head = &entry{Name: "head", next: head}
	names = append(names, "late")
	grid[n%4][n%8]++
	ready, ratio = true, float64(n)
	anonymous.A = n
	pairs = append(pairs, pair[string, *entry]{"k", head})
}

func main() {
	e := &entry{Name: "first"}
	registry.add(e)
	byValue.entries = map[string]*entry{}
	byValue.add(e)
	lookup[int64(len(os.Args))] = append(lookup[7], "x")
	sized[title]++
	callback = func(_ context.Context, e *entry) error { return errors.Join(failure, errors.New(e.Name)) }
	current.Store(e)
	shared.Store("a", e)
	buffer := pooled.Get().(*bytes.Buffer)
	setLate(len(os.Args))
	describe := keep("p", len(os.Args), e, []string{"a", "bb"})
	_ = json.NewEncoder(buffer).Encode(table)
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, describe(), severity) })
	select {
	case events <- pair[string, int]{"k", 1}:
	case <-time.After(time.Millisecond):
	}
	fmt.Println(describe(), callback(context.Background(), static), strings.ToUpper(title), anything, names)
}
