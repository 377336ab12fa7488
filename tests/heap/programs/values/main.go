// Values holds one value of every kind on the heap, and says where they lie.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/big"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

type Inner struct {
	Count int32
	label string
}

type Level uint8

type Scalars struct {
	Yes, No bool
	I       int
	I8      int8
	I16     int16
	I32     int32
	I64     int64
	U       uint
	U8      uint8
	U16     uint16
	U32     uint32
	U64     uint64
	Ptr     uintptr
	F32     float32
	F64     float64
	NaN     float64
	C64     complex64
	C128    complex128
	Level   Level
	hidden  int
	Text    string
	Empty   string
	Escaped string
	Long    string
	Wait    time.Duration
	Month   time.Month
	_       int
	Last    [2]int16
}

type Times struct {
	Zero  time.Time
	UTC   time.Time
	Far   time.Time
	Wall  time.Time // with a monotonic reading
	Zoned time.Time
	Old   time.Time
}

type Leading struct {
	Nil       *Inner
	To        *Inner
	Twice     **Inner
	Slice     []Inner
	Strings   []string
	NilSlice  []int
	NoItems   []int
	Part      []int
	Bytes     []byte
	Array     [3]Inner
	Hash      [4]byte
	Any       any
	AnyText   any
	AnyPtr    any
	AnyNil    any
	AnyNumber any
	Reader    io.Reader
	Embedded
	Unsafe   unsafe.Pointer
	IP       net.IP
	Big      *big.Int
	Negative *big.Int
	Raw      json.RawMessage
}

type Embedded struct{ Deep int }

type Maps struct {
	Nil    map[string]int
	Empty  map[string]int
	Small  map[string]int
	Large  map[int]string
	Wide   map[string][40]uint64 // elements of 320 bytes lie behind pointers
	Struct map[[2]int16]Inner
	Any    map[any]bool
	Set    map[string]struct{}
	Thin   map[int]int // many were deleted
}

type Errors struct {
	Plain, Wrapped, Joined, Path, Number, Sys, Errno, Deadline, Own, Nil error
}

type OwnError struct{ Code int }

func (e *OwnError) Error() string { return "own" }

type Channels struct {
	Nil, Empty, Full, Closed chan int
	Ring                     chan string
	Waited                   chan bool
	Receive                  <-chan int
}

type Funcs struct {
	Nil, Plain, Closure func() int
	Method              func(int) string
}

type Locks struct {
	Free, Held sync.Mutex
	Reading    sync.RWMutex
	Writing    sync.RWMutex
	Group      sync.WaitGroup
	Done, Not  sync.Once
	I64        atomic.Int64
	Bool       atomic.Bool
	Ptr        atomic.Pointer[Inner]
	Any        atomic.Value
}

type Node struct {
	Name string
	Next *Node
	All  []any
}

// Host has fields that are called as the facts of an object are.
type Host struct {
	Address        string
	retained_bytes int
	fields         uint64
}

func (i *Inner) describe(n int) string { return i.label + strconv.Itoa(n) }

//go:noinline
func seven() int { return 7 }

//go:noinline
func closure(first *Inner, second string, third int) func() int {
	return func() int { return int(first.Count) + len(second) + third }
}

var (
	scalars  *Scalars
	times    *Times
	leading  *Leading
	maps     *Maps
	failures *Errors
	channels *Channels
	funcs    *Funcs
	locks    *Locks
	loop     *Node
	run      []Inner
	host     *Host
	counter  int64 = 77
	plain          = Inner{5, "global"}
	garbage  uintptr
	lost     *Inner
)

//go:noinline
func build() {
	scalars = &Scalars{
		Yes: true, I: -1, I8: -128, I16: -32768, I32: math.MinInt32, I64: math.MinInt64,
		U: 1, U8: 255, U16: 65535, U32: math.MaxUint32, U64: math.MaxUint64, Ptr: 0xdead,
		F32: 0.1, F64: 0.1, NaN: math.NaN(), C64: complex(1, -2), C128: complex(0.5, 3), Level: 3, hidden: 42,
		Text: strings.Clone("grüße"), Escaped: strings.Clone("a\n\"b\"\x1b[31m\xff"), Long: strings.Repeat("x", 5000),
		Wait: 90*time.Minute + 1500*time.Millisecond, Month: time.March, Last: [2]int16{3, -4},
	}
	utc := time.Date(2024, 2, 29, 12, 30, 45, 123456789, time.UTC)
	times = &Times{
		UTC: utc, Far: time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC), Wall: time.Now(),
		Zoned: utc.In(time.FixedZone("here", 3600)), Old: time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC),
	}
	inner := &Inner{9, "nine"}
	backing := []int{10, 11, 12, 13, 14, 15}
	number, _ := new(big.Int).SetString("123456789012345678901234567890", 10)
	leading = &Leading{
		To: inner, Twice: &inner, Slice: []Inner{{1, "one"}, {2, "two"}}, Strings: []string{"s", ""},
		NoItems: []int{}, Part: backing[1:3], Bytes: []byte("bytes\x00"), Array: [3]Inner{{}, {1, "in"}, {}}, Hash: [4]byte{1, 2, 3, 4},
		Any: Inner{3, "boxed"}, AnyText: strings.Clone("text"), AnyPtr: inner, AnyNumber: 123456, Reader: strings.NewReader("read me"),
		Embedded: Embedded{6}, Unsafe: unsafe.Pointer(inner), IP: net.ParseIP("192.0.2.7"), Big: number,
		Negative: big.NewInt(-5), Raw: json.RawMessage(`{"a":1}`),
	}
	maps = &Maps{
		Empty: map[string]int{}, Small: map[string]int{"b": 2, "a": 1, "c": 3}, Large: map[int]string{},
		Wide: map[string][40]uint64{"w": {39: 7}}, Struct: map[[2]int16]Inner{{1, 2}: {4, "four"}},
		Any: map[any]bool{1: true, "x": false}, Set: map[string]struct{}{"only": {}}, Thin: map[int]int{},
	}
	for i := 0; i < 1000; i++ {
		maps.Large[i] = strconv.Itoa(i)
	}
	for i := 0; i < 5000; i++ {
		maps.Thin[i] = i
	}
	for i := 0; i < 5000; i++ {
		if i != 4321 {
			delete(maps.Thin, i)
		}
	}
	base := errors.New("base")
	_, path := os.Open("/no/such/file")
	_, bad := strconv.Atoi("x")
	failures = &Errors{
		Plain: base, Wrapped: fmt.Errorf("outer: %w", base), Joined: errors.Join(base, errors.New("other")), Path: path,
		Number: bad, Sys: os.NewSyscallError("read", syscall.EAGAIN), Errno: syscall.ENOENT, Deadline: context.DeadlineExceeded, Own: &OwnError{3},
	}
	var pathError *fs.PathError
	if !errors.As(path, &pathError) {
		panic(path)
	}
	channels = &Channels{
		Empty: make(chan int, 3), Full: make(chan int, 2), Closed: make(chan int, 1), Ring: make(chan string, 3), Waited: make(chan bool),
	}
	channels.Full <- 1
	channels.Full <- 2
	channels.Closed <- 8
	close(channels.Closed)
	channels.Receive = channels.Full
	for _, text := range []string{"p", "q", "r"} {
		channels.Ring <- text
	}
	<-channels.Ring
	<-channels.Ring
	channels.Ring <- "s"
	go func() { <-channels.Waited }()
	funcs = &Funcs{Plain: seven, Closure: closure(inner, strings.Clone("second"), 3), Method: inner.describe}
	locks = new(Locks)
	locks.Held.Lock()
	locks.Reading.RLock()
	locks.Reading.RLock()
	locks.Writing.Lock()
	locks.Group.Add(2)
	locks.Done.Do(func() {})
	locks.I64.Store(-3)
	locks.Bool.Store(true)
	locks.Ptr.Store(inner)
	locks.Any.Store("stored")
	loop = &Node{Name: "loop"}
	loop.Next = loop
	loop.All = []any{nil, loop}
	loop.All[0] = loop.All
	host = &Host{strings.Clone("host.example.internal"), -5, 7}
	run = []Inner{{1, "r1"}, {2, "r2"}, {3, "r3"}}
	lost = &Inner{13, "lost"}
	garbage = uintptr(unsafe.Pointer(lost))
	lost = nil
}

func main() {
	runtime.GC()
	debug.SetGCPercent(-1)
	build()
	time.Sleep(50 * time.Millisecond) // the goroutine must wait
	var local int
	at := func(p unsafe.Pointer) uint64 { return uint64(uintptr(p)) }
	line, _ := json.Marshal(map[string]any{
		"scalars": at(unsafe.Pointer(scalars)), "times": at(unsafe.Pointer(times)), "leading": at(unsafe.Pointer(leading)),
		"maps": at(unsafe.Pointer(maps)), "errors": at(unsafe.Pointer(failures)), "channels": at(unsafe.Pointer(channels)),
		"funcs": at(unsafe.Pointer(funcs)), "locks": at(unsafe.Pointer(locks)), "loop": at(unsafe.Pointer(loop)),
		"run": at(unsafe.Pointer(&run[0])), "counter": at(unsafe.Pointer(&counter)), "plain": at(unsafe.Pointer(&plain)),
		"garbage": uint64(garbage), "inner": at(unsafe.Pointer(leading.To)), "local": at(unsafe.Pointer(&local)),
		"text": at(unsafe.Pointer(unsafe.StringData(scalars.Text))), "now": times.Wall.UTC().Format(time.RFC3339Nano),
		"header": *(*uint64)(unsafe.Pointer(&maps.Small)), "channel": *(*uint64)(unsafe.Pointer(&channels.Ring)),
		"closure": *(*uint64)(unsafe.Pointer(&funcs.Closure)), "host": at(unsafe.Pointer(host)), "code": **(**uint64)(unsafe.Pointer(&funcs.Closure)),
	})
	fmt.Println(string(line))
	os.Stdin.Read(make([]byte, 1))
	runtime.KeepAlive(local)
	runtime.KeepAlive(plain)
}
