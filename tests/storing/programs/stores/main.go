// Stores keeps known amounts in one holder of each kind; each has one statement that keeps them.
//
// A line that ends in a comment "STORES name" is the statement that the tests expect for that holder.
package main

import (
	"container/list"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
)

const amount = 2000

// text returns a string of its own of 200 bytes.
func text(i int) string { return strings.Repeat("x", 190) + fmt.Sprintf("%010d", i) }

type entry struct {
	name string
	pad  [10]int
}

type registry struct {
	lock    sync.Mutex
	name    string
	entries map[int]entry
}

func (r *registry) add(i int) {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.entries[i] = entry{name: text(i)} // STORES main.structs.entries
}

type history struct {
	count int
	Seen  []string
}

// other has a []string too, elsewhere.
type other struct{ Names []string }

func (o *other) add(name string) { o.Names = append(o.Names, name) }

func (h *history) add(i int) {
	h.count++
	h.Seen = append(h.Seen, text(i)) // STORES main.appended.Seen
}

type item struct {
	id   int
	text string
}

type shelf struct {
	label string
	items []*item
}

func (s *shelf) push(it *item) {
	s.items = append(s.items, it) // STORES main.helped.items
}

func fill(s *shelf, n int) {
	for i := 0; i < n; i++ {
		s.push(&item{i, text(i)})
	}
}

type cache[K comparable, V any] struct {
	hits int
	m    map[K]V
}

func (c *cache[K, V]) put(k K, v V) {
	c.m[k] = v // STORES main.generic.m
}

type queue struct {
	name string
	jobs chan *item
}

func (q *queue) send(i int) {
	q.jobs <- &item{i, text(i)} // STORES main.queued.jobs
}

type row struct{ text string }

// twins are two maps of one type: each has a statement of its own.
type twins struct{ left, right map[string]*row }

func (t *twins) addLeft(i int) {
	key := text(i)[180:]
	t.left[key] = &row{text(i)} // STORES main.pair.left
}

func (t *twins) addRight(i int) {
	key := text(i)[180:]
	t.right[key] = &row{text(i)} // STORES main.pair.right
}

// table is made and filled; nobody appends to it, though others append to slices of its type.
type table struct{ rows []*row }

func (t *table) fill() {
	t.rows = make([]*row, amount)
	for i := range t.rows {
		t.rows[i] = &row{text(i)}
	}
}

func longest(rows []*row) (found []*row) {
	for _, each := range rows {
		if len(each.text) > 1000 {
			found = append(found, each)
		}
	}
	return found
}

// wide lies behind a header that says its type, as all values of more than 512 bytes do.
type wide struct {
	pad   [80]int
	parts []*item
}

func (w *wide) grow(i int) {
	w.parts = append(w.parts, &item{i, text(i)}) // STORES main.broad.parts
}

// wider has a slice of the same type one word further on, where the other's would be if the header counted.
type wider struct {
	pad   [81]int
	parts []*item
}

func (w *wider) grow(i int) { w.parts = append(w.parts, &item{i, ""}) }

type roll struct {
	count int
	names []*row
}

//go:noinline
func with(rows []*row, r *row) []*row { return append(rows, r) }

func (r *roll) call(i int) {
	r.names = with(r.names, &row{text(i)}) // STORES main.called.names
}

var (
	pair     = &twins{map[string]*row{}, map[string]*row{}}
	filled   = &table{}
	structs  = registry{entries: map[int]entry{}}
	appended = &history{}
	others   = &other{}
	helped   shelf
	generic  = cache[uint16, string]{m: map[uint16]string{}}
	queued   = &queue{jobs: make(chan *item, amount)}
	byNumber = map[int64]string{}
	lines    []string
	events   = make(chan string, amount)
	linked   = list.New()
	synced   sync.Map
	remember func(int)
	broad    *wide
	broader  *wider
	called   *roll
)

//go:noinline
func work() {
	for i := 0; i < amount; i++ {
		structs.add(i)
		appended.add(i)
		generic.put(uint16(i), text(i))
		queued.send(i)
		byNumber[int64(i)] = text(i)   // STORES main.byNumber
		lines = append(lines, text(i)) // STORES main.lines
		events <- text(i)              // STORES main.events
		linked.PushBack(text(i))       // STORES main.linked
		synced.Store(i, text(i))       // STORES main.synced
		remember(i)
		pair.addLeft(i)
		pair.addRight(i)
		broad.grow(i)
		called.call(i)
	}
	broader.grow(1)
	others.add("one")
	fill(&helped, amount)
	filled.fill()
	if len(longest(filled.rows)) > 0 {
		panic("no text is that long")
	}
}

// remembering returns a closure that keeps what it is told.
func remembering() func(int) {
	var told []string
	return func(i int) {
		told = append(told, text(i)) // STORES main.remember
	}
}

func main() {
	broad, broader, called = &wide{}, &wider{}, &roll{}
	remember = remembering()
	work()
	runtime.GC()
	runtime.GC()
	fmt.Println(`{"ready": true}`)
	io.Copy(io.Discard, os.Stdin)
	runtime.KeepAlive(others)
}
