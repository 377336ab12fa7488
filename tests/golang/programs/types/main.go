// Holds a known number of objects of each kind of type and waits until its standard input ends.
package main

import (
	"container/list"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"example.com/types/deep/names"
)

type Leaf struct{ name string }

type Node struct {
	next *Node
	leaf *Leaf
	rank int32
	flag bool
}

type Inner struct{ left, right *Leaf }

type Outer struct {
	Inner
	named Inner
	many  [3]Inner
	Tags  []string
}

type Shape interface{ Area() float64 }

type Circle struct {
	radius float64
	owner  *Leaf
}

func (c *Circle) Area() float64 { return c.radius }

type Square struct{ width, height float64 }

func (s Square) Area() float64 { return s.width * s.height }

type Value struct {
	id    int
	label *string
}

type WideKey struct {
	text string
	rest [15]uint64
}

type WideElem struct {
	text string
	rest [19]uint64
}

type Message struct {
	body []byte
	next *Message
}

type Counter struct{ n *int64 }

type Session struct{ user *Leaf }

type Config struct {
	limits []uint32
	parent *Config
}

type Pair[K comparable, V any] struct {
	Key   K
	Value *V
	rest  [3]*V
}

type Item struct{ a, b *Item }

type Buffer struct {
	data [4]*Leaf
	used int
}

type Hidden struct {
	leaf  *Leaf
	other unsafe.Pointer
	mark  uint64
	last  *Hidden
}

type Huge struct {
	rows [100]*Leaf
	name string
}

type Flat struct {
	x, y, z float64
	w       [5]uint16
}

var (
	nodes    *Node
	outers   []*Outer
	shapes   []Shape
	small    = map[string]*Value{}
	table    = map[string]*Value{}
	tables   = map[string]*Value{}
	numbers  = map[uint32]uint32{}
	wide     = map[WideKey]WideElem{}
	messages = make(chan *Message, 20)
	integers = make(chan int64, 30)
	counters []func() int64
	methods  []func() float64
	sessions sync.Map
	configs  [10]atomic.Pointer[Config]
	pairs    []*Pair[string, Leaf]
	items    = list.New()
	buffers  = sync.Pool{New: func() any { return new(Buffer) }}
	hidden   unsafe.Pointer
	huge     []*Huge
	hugeRow  []Huge
	flats    []*Flat
	flatRow  []Flat
	timers   []*time.Timer
	interior **Leaf
	document any
	contexts context.Context
	cancels  []context.CancelFunc
	places   []*names.Place
	others   []*Place
)

// Registry is a map with a name: its descriptor says more than those of other maps.
type Registry map[uint16]bool

var registry any = Registry{}

// Place has the name of another package's type.
type Place struct{ where *Leaf }

func leaf(kind string, i int) *Leaf { return &Leaf{name: fmt.Sprintf("%s leaf number %06d", kind, i)} }

func build() {
	for i := 0; i < 100; i++ {
		nodes = &Node{next: nodes, leaf: leaf("node", i), rank: int32(i), flag: i%2 == 0}
	}
	for i := 0; i < 40; i++ {
		o := &Outer{Tags: make([]string, 2, 3)}
		o.left, o.named.right, o.many[1].left = leaf("left", i), leaf("right", i), leaf("many", i)
		o.Tags[0] = fmt.Sprintf("tag of outer %06d", i)
		outers = append(outers, o)
	}
	for i := 0; i < 50; i++ {
		shapes = append(shapes, &Circle{radius: float64(i), owner: leaf("circle", i)})
	}
	for i := 0; i < 30; i++ {
		shapes = append(shapes, Square{float64(i), 1})
	}
	for i := 0; i < 6; i++ {
		fill(small, i)
	}
	for i := 0; i < 200; i++ {
		fill(table, i)
	}
	for i := 0; i < 5000; i++ {
		fill(tables, i)
		numbers[uint32(i)] = uint32(i)
	}
	for i := 0; i < 60; i++ {
		wide[WideKey{text: fmt.Sprintf("wide key number %06d", i)}] = WideElem{text: fmt.Sprintf("wide elem number %06d", i)}
	}
	for i := 0; i < 12; i++ {
		messages <- &Message{body: make([]byte, 300)}
		integers <- int64(i)
	}
	for i := 0; i < 25; i++ {
		n := int64(i)
		c := &Counter{n: &n}
		counters = append(counters, func() int64 { *c.n++; return *c.n })
		circle := &Circle{radius: 1, owner: leaf("method", i)}
		methods = append(methods, circle.Area)
	}
	for i := 0; i < 64; i++ {
		sessions.Store(fmt.Sprintf("session key %06d", i), &Session{user: leaf("session", i)})
	}
	for i := range configs {
		configs[i].Store(&Config{limits: make([]uint32, 50), parent: &Config{}})
	}
	for i := 0; i < 15; i++ {
		pairs = append(pairs, &Pair[string, Leaf]{Key: fmt.Sprintf("pair number %06d", i), Value: leaf("pair", i)})
	}
	for n := 0; n < 70; n++ {
		items.PushBack(&Item{})
	}
	h := &Hidden{leaf: leaf("hidden", 0), mark: 7}
	for i := 0; i < 19; i++ {
		h = &Hidden{leaf: leaf("hidden", i), mark: 7, last: h}
	}
	hidden = unsafe.Pointer(h)
	for i := 0; i < 5; i++ {
		g := &Huge{name: fmt.Sprintf("huge number %06d", i)}
		g.rows[50] = leaf("huge", i)
		huge = append(huge, g)
		flats = append(flats, &Flat{x: 1})
	}
	hugeRow, flatRow = make([]Huge, 50), make([]Flat, 1000)
	for n := 0; n < 9; n++ {
		timers = append(timers, time.NewTimer(time.Hour))
	}
	interior = &(&Outer{Inner: Inner{left: leaf("interior", 0)}, Tags: make([]string, 1)}).named.right
	if err := json.Unmarshal([]byte(`{"list": [true, "text of the document", {"a": 1.5}], "more": null}`), &document); err != nil {
		panic(err)
	}
	contexts = context.Background()
	for i := 0; i < 7; i++ {
		var cancel context.CancelFunc
		contexts, cancel = context.WithCancel(context.WithValue(contexts, i, leaf("context", i)))
		cancels = append(cancels, cancel)
	}
	for i := 0; i < 11; i++ {
		places = append(places, &names.Place{North: leaf("place", i).name})
		others = append(others, &Place{where: leaf("other", i)})
	}
}

func fill(m map[string]*Value, i int) {
	label := fmt.Sprintf("label of value %06d", i)
	m[fmt.Sprintf("key of value %06d", i)] = &Value{id: i, label: &label}
}

func main() {
	runtime.GOMAXPROCS(1)
	build()
	runtime.GC()
	runtime.GC()
	for n := 0; n < 8; n++ {
		buffers.Put(new(Buffer))
	}
	fmt.Println(`{"ready": true}`)
	io.Copy(io.Discard, os.Stdin)
	runtime.KeepAlive(contexts)
	fmt.Println(interior, numbers, flatRow, hugeRow, hidden, document, methods, places, others, cancels)
}
