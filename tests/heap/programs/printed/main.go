// Printed holds maps, numbers and errors on the heap, and says what fmt prints of each.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"os"
	"reflect"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// Mark is told from all that a key may consist of.
type Mark int

func (m Mark) String() string { return "‹" + strconv.Itoa(int(m)) + "›" }

type Point struct {
	X, Y  int32
	Of    Inner
	Width float32
}

type Inner struct {
	Name string
	Any  any
	Last [2]bool
}

type Blank struct {
	First uint8
	_     uint8
	Last  uint8
}

type Maps struct {
	Ints     map[int16]Mark
	Words    map[uint64]Mark
	Floats   map[float64]Mark
	Singles  map[float32]Mark
	Complex  map[complex128]Mark
	Halves   map[complex64]Mark
	Bools    map[bool]Mark
	Texts    map[string]Mark
	Long     map[string]Mark
	Addrs    map[netip.Addr]Mark
	Ports    map[netip.AddrPort]Mark
	Prefixes map[netip.Prefix]Mark
	Structs  map[Point]Mark
	Blanks   map[Blank]Mark
	Arrays   map[[3]int8]Mark
	Nested   map[[2][2]string]Mark
	Wide     map[[40]int64]Mark // keys of 320 bytes lie behind pointers
	Hashes   map[[4]byte]Mark
	Any      map[any]Mark
	Readers  map[io.Reader]Mark
	Pointers map[*int]Mark
	Channels map[chan int]Mark
	Large    map[float64]Mark
}

type Numbers struct {
	Floats  []float64
	Singles []float32
	Complex []complex128
	Halves  []complex64
}

type Errors struct {
	Dial, Unconnected, Unix, Listen, Closed, Lookup, NoServer, Address, NoAddress, Parse, Config, Network, Invalid, Strange error
}

type Deep struct {
	Slice  [][][]int
	Map    map[string]map[string]int
	Empty  [][]int
	Queue  chan [][]string
	Values []int
}

// Own is an address whose text is code.
type Own struct{ net.Addr }

func (Own) String() string { return "own" }

var (
	maps    *Maps
	numbers *Numbers
	errs    *Errors
	deep    *Deep
)

func marked[K comparable](keys ...K) map[K]Mark {
	found := make(map[K]Mark, len(keys))
	for i, key := range keys {
		found[key] = Mark(i)
	}
	return found
}

//go:noinline
func build() {
	inf, zero := math.Inf(1), math.Copysign(0, -1)
	ints := []int{3, 1, 2}
	addr := netip.MustParseAddr
	large := make(map[float64]Mark, 6000)
	for i := range make([]struct{}, 6000) {
		large[float64(i*7919%6000)/8-100] = Mark(i)
	}
	maps = &Maps{
		Ints: marked[int16](5, -3, 0, 32767, -32768), Words: marked[uint64](1<<63, 5, math.MaxUint64, 0),
		Floats:  marked(0.1, -3.5, inf, -inf, 1e21, 1e6, 100000, 1e-5, math.NaN(), 5e-324, 3),
		Singles: marked[float32](0.1, -3.5, float32(inf), 16777216, 2),
		Complex: marked(complex(1, 2), complex(-2, 0), complex(1, -2), complex(0, inf), complex(inf, -0.5)),
		Halves:  marked[complex64](complex(0.1, 2), complex(-2, 0.3)), Bools: marked(true, false),
		Texts: marked("b", "", "ä", "a", "B", "ab"),
		Long:  marked(strings.Repeat("x", 3000)+"2", strings.Repeat("x", 3000)+"1", strings.Repeat("x", 3000)),
		Addrs: marked(addr("10.0.0.2"), addr("10.0.0.1"), addr("2001:db8::1"), addr("fe80::1%eth0"), addr("::"),
			addr("255.255.255.255"), addr("2001:0:0:1:0:0:0:1"), netip.Addr{}),
		Ports:    marked(netip.MustParseAddrPort("10.0.0.1:81"), netip.MustParseAddrPort("10.0.0.1:80"), netip.MustParseAddrPort("[fe80::1%eth0]:443"), netip.AddrPort{}),
		Prefixes: marked(netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/0"), netip.MustParsePrefix("2001:db8::/32"), netip.Prefix{}),
		Structs: marked(Point{1, 2, Inner{"b", nil, [2]bool{}}, 1}, Point{1, 2, Inner{"a", nil, [2]bool{true, false}}, 1.5}, Point{-1, 2, Inner{}, 0},
			Point{1, 2, Inner{"a", nil, [2]bool{true, false}}, -0.5}),
		Blanks: marked(Blank{First: 2, Last: 1}, Blank{First: 1, Last: 2}, Blank{First: 1, Last: 1}),
		Arrays: marked([3]int8{1, 2, 3}, [3]int8{1, -2, 3}, [3]int8{-1, 2, 3}),
		Nested: marked([2][2]string{{"b", "a"}, {"x", "y"}}, [2][2]string{{"a", "b"}, {"x", "y"}}, [2][2]string{{"a", "b"}, {"x", ""}}),
		Wide:   marked([40]int64{39: 2}, [40]int64{39: 1}, [40]int64{20: 1}), Hashes: marked([4]byte{2}, [4]byte{0, 200}, [4]byte{0, 1}),
		Any: marked[any](int8(1), int64(1), "1", 1, 1.0, nil, [2]any{nil, 2}, [2]any{nil, 1}, time.Second, 'x', true, false, Point{X: 1}, "0", uint8(7),
			complex64(complex(0, 1)), &ints[0], addr("10.0.0.1")),
		Readers:  marked[io.Reader](nil, strings.NewReader("b"), strings.NewReader("a"), &io.LimitedReader{}, io.MultiReader()),
		Pointers: marked(&ints[2], &ints[0], nil, &ints[1]), Channels: marked(make(chan int), nil, make(chan int, 1), make(chan int, 2)),
		Large: large,
	}
	floats := []float64{0, zero, 1, -1, 0.1, 99999, 100000, 999999, 1e6, 1234567, 123456789.5, 1e20, 1e21, 1e22, 1e100, 1e-4, 1.5e-4, 1e-5, 1.234e-5,
		math.MaxFloat64, math.SmallestNonzeroFloat64, math.Pi, 1.0 / 3, 2.5, -0.001, 123456, 123456.789, inf, -inf, math.NaN()}
	numbers = &Numbers{Floats: floats}
	for i, each := range floats {
		numbers.Singles = append(numbers.Singles, float32(each))
		numbers.Complex = append(numbers.Complex, complex(each, floats[len(floats)-1-i]))
		numbers.Halves = append(numbers.Halves, complex64(complex(each, floats[len(floats)-1-i])))
	}
	refused := os.NewSyscallError("connect", syscall.ECONNREFUSED)
	local, remote := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 4000}, &net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 443, Zone: "eth0"}
	errs = &Errors{
		Dial: &net.OpError{Op: "dial", Net: "tcp", Source: local, Addr: remote, Err: refused}, Unconnected: &net.OpError{Op: "dial", Net: "udp", Addr: &net.UDPAddr{Port: 53}, Err: refused},
		Unix:   &net.OpError{Op: "write", Net: "unix", Source: &net.UnixAddr{}, Addr: &net.UnixAddr{Name: "/run/x.sock"}, Err: syscall.EPIPE},
		Listen: &net.OpError{Op: "listen", Err: errors.New("no \"quotes\"\n")}, Closed: &net.OpError{Op: "accept", Net: "ip", Source: (*net.IPAddr)(nil), Addr: &net.IPAddr{IP: net.IPv4(1, 2, 3, 4).To4()}, Err: net.ErrClosed},
		Lookup: &net.DNSError{Err: "no such host", Name: "example.invalid", Server: "10.0.0.53:53", IsNotFound: true}, NoServer: &net.DNSError{Err: "unknown port", Name: "tcp/nosuch"},
		Address: &net.AddrError{Err: "missing port in address", Addr: "host"}, NoAddress: &net.AddrError{Err: "bad"}, Parse: &net.ParseError{Type: "IP address", Text: "1.2.3"},
		Config: &net.DNSConfigError{Err: refused}, Network: net.UnknownNetworkError("tcp9"), Invalid: net.InvalidAddrError("nothing"),
		Strange: &net.OpError{Op: "dial", Net: "own", Addr: Own{}, Err: refused},
	}
	deep = &Deep{
		Slice: [][][]int{{{1, 2}}, {{3}}}, Map: map[string]map[string]int{"a": {"b": 1}, "e": {}, "n": nil}, Empty: [][]int{{}, nil},
		Queue: make(chan [][]string, 2), Values: []int{1, 2, 3},
	}
	deep.Queue <- [][]string{{"q"}}
}

// printed returns what fmt prints of each field.
func printed(of any) map[string]string {
	texts, value := map[string]string{}, reflect.ValueOf(of).Elem()
	for i := 0; i < value.NumField(); i++ {
		texts[value.Type().Field(i).Name] = fmt.Sprintf("%v", value.Field(i).Interface())
	}
	return texts
}

func main() {
	runtime.GC()
	debug.SetGCPercent(-1)
	build()
	at := func(p unsafe.Pointer) uint64 { return uint64(uintptr(p)) }
	line, _ := json.Marshal(map[string]any{
		"maps": at(unsafe.Pointer(maps)), "numbers": at(unsafe.Pointer(numbers)), "errors": at(unsafe.Pointer(errs)), "deep": at(unsafe.Pointer(deep)),
		"printed": map[string]any{"maps": printed(maps), "numbers": printed(numbers), "errors": printed(errs)},
	})
	fmt.Println(string(line))
	os.Stdin.Read(make([]byte, 1))
}
