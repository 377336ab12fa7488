// Fields keeps known amounts behind plain fields: pointers, strings, bytes; each has one statement that keeps them.
//
// A line that ends in a comment "STORES name" is the statement that the tests expect for that holder. Every type
// has a decoy of the same shape, with statements of its own at the same offsets.
package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
)

const amount = 2000

// text returns a string of its own.
func text(i, n int) string { return strings.Repeat("x", n-10) + fmt.Sprintf("%010d", i) }

// node is a list made by hand; the statement that makes it longer keeps it.
type node struct {
	id   int
	next *node
	pad  [10]int
}

type chain struct {
	name string
	head *node
	n    int
}

//go:noinline
func (c *chain) push(i int) {
	fresh := &node{id: i}
	fresh.next = c.head // STORES main.pushed
	c.head = fresh
	c.n++
}

// link is a node's decoy.
type link struct {
	id   int
	next *link
	pad  [10]int
}

type decoyChain struct {
	name string
	head *link
	n    int
}

//go:noinline
func (c *decoyChain) push(i int) {
	fresh := &link{id: i}
	fresh.next = c.head
	c.head = fresh
}

// appended is a list whose end is known; the last node's field is stored into.
type entry struct {
	id   int
	next *entry
	pad  [10]int
}

type queue struct {
	name        string
	first, last *entry
}

//go:noinline
func (q *queue) put(e *entry) {
	if q.last == nil {
		q.first = e
	} else {
		q.last.next = e // STORES main.queued
	}
	q.last = e
}

// session keeps one large text.
type session struct {
	id   int
	body string
	user *session
}

type decoySession struct {
	id   int
	body string
	user *session
}

//go:noinline
func (s *session) login(i int) {
	s.body = text(i, 400000) // STORES main.logged.body
}

//go:noinline
func (s *decoySession) login(i int) {
	s.body = text(i, 10)
}

//go:noinline
func (s *session) logout() { s.body = "" }

// holder is set by a function that gets a pointer to it; only the type of its argument tells.
type frame struct {
	id     int
	pixels []byte
}

type decoyFrame struct {
	id     int
	pixels []byte
}

//go:noinline
func load(f *frame, n int) {
	f.pixels = make([]byte, n) // STORES main.loaded.pixels
}

//go:noinline
func loadDecoy(f *decoyFrame, n int) {
	f.pixels = make([]byte, n)
}

// inner lies inside of outer: a method of inner stores.
type inner struct {
	id  int
	raw string
}

type outer struct {
	id   int
	name string
	in   inner
}

//go:noinline
func (in *inner) set(i int) {
	in.raw = text(i, 300000) // STORES main.nested.in.raw
}

// closed is stored into by a closure.
type state struct {
	id   int
	last string
}

//go:noinline
func setter(s *state) func(int) {
	return func(i int) {
		s.last = text(i, 200000) // STORES main.closed.last
	}
}

// swapped is stored atomically.
type config struct {
	id  int
	big [20000]int
}

type server struct {
	id     int
	config atomic.Pointer[config]
}

//go:noinline
func (s *server) reload(i int) {
	s.config.Store(&config{id: i}) // STORES main.served.config
}

// any values: both types pass through one function, which tells them apart.
type left struct {
	id   int
	data string
}

type right struct {
	id   int
	data string
}

//go:noinline
func handle(x any, i int) {
	switch v := x.(type) {
	case *left:
		v.data = text(i, 150000) // STORES main.handled.data
	case *right:
		v.data = text(i, 20)
	}
}

var (
	pushed      *chain
	decoyPushed *decoyChain
	queued      *queue
	logged      *session
	decoyLogged *decoySession
	loaded      *frame
	decoyLoaded *decoyFrame
	nested      *outer
	closed      *state
	served      *server
	handled     *left
	also        *right
	static      = &session{}
	plain       string
	set         func(int)
	some        []any
)

// setUp allocates, so that a stripped program has the types' descriptors.
//
//go:noinline
func setUp() {
	pushed, decoyPushed = &chain{}, &decoyChain{}
	queued = &queue{}
	logged, decoyLogged = &session{}, &decoySession{}
	loaded, decoyLoaded = &frame{}, &decoyFrame{}
	nested, closed, served = &outer{}, &state{}, &server{}
	handled, also = &left{}, &right{}
}

//go:noinline
func work() {
	for i := 0; i < amount; i++ {
		pushed.push(i)
		queued.put(&entry{id: i})
	}
	decoyPushed.push(1)
	logged.login(1)
	decoyLogged.login(1)
	load(loaded, 500000)
	loadDecoy(decoyLoaded, 5)
	nested.in.set(1)
	set = setter(closed)
	set(1)
	served.reload(1)
	for i, each := range some {
		handle(each, i)
	}
	plain = text(1, 250000) // STORES main.plain
}

func main() {
	setUp()
	some = append(some, handled, also)
	handle(also, 1)
	work()
	if len(os.Args) > 1 {
		static.logout()
		logged.logout()
	}
	runtime.GC()
	runtime.GC()
	fmt.Println(`{"ready": true}`)
	io.Copy(io.Discard, os.Stdin)
	runtime.KeepAlive(some)
}
