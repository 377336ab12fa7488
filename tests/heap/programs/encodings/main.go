// Encodings holds values of every kind and says how long encoding/json writes each, and how long its packed form is.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"
	"unsafe"
)

type Plain struct {
	A int
	B string
	C bool
	d int
}

type Tagged struct {
	Name      string            `json:"name"`
	Renamed   int               `json:"a<b>&c,omitempty"`
	Empty     string            `json:",omitempty"`
	Gone      string            `json:"-"`
	Dash      string            `json:"-,"`
	Quoted    int64             `json:"quoted,string"`
	QuotedF   float64           `json:",string"`
	QuotedB   bool              `json:",string"`
	QuotedS   string            `json:",string"`
	QuotedP   *int              `json:",string"`
	QuotedNo  []int             `json:",string"`
	Other     string            `xml:"x" json:"other" yaml:"y"`
	Odd       string            `json:"in\\valid"`
	EmptyMap  map[string]int    `json:",omitempty"`
	EmptySl   []string          `json:",omitempty"`
	EmptyPtr  *Plain            `json:",omitempty"`
	EmptyAny  any               `json:",omitempty"`
	EmptyArr  [0]int            `json:",omitempty"`
	FullArr   [2]int            `json:",omitempty"`
	EmptyT    time.Time         `json:",omitempty"`
	ZeroT     time.Time         `json:",omitzero"`
	ZeroS     Plain             `json:",omitzero"`
	FullS     Plain             `json:",omitzero"`
	ZeroSlice []int             `json:",omitzero"`
	NegZero   float64           `json:",omitempty"`
	Attrs     map[string]string `json:"attrs"`
}

type Inner struct {
	X, Y int
	Name string
}
type inner struct {
	Z      int
	hidden int
}
type Deep struct{ Inner }
type Conflict struct {
	Inner
	Deep2
}
type Deep2 struct{ Name string }
type Promoted struct {
	Inner
	inner
	*Deep
	Name string
	fmt.Stringer
}
type TagWins struct {
	Inner
	Deep2 `json:"deep"`
	Other string `json:"X"`
}
type level string
type Embeds struct {
	level
	Level
	sync.Mutex
}
type Level string

type Celsius float32
type Mixed struct {
	I8  int8
	I16 int16
	I32 int32
	U8  uint8
	U16 uint16
	U32 uint32
	U64 uint64
	UP  uintptr
	F32 float32
	C   Celsius
	_   int
	At  time.Time
	For time.Duration
	Raw json.RawMessage
	Num json.Number
	Arr [3]int16
	Buf [4]byte
	Bin []byte
	Any any
	Ptr **int
	Sub struct{ P, Q *Plain }
	mu  sync.RWMutex
}

type Node struct {
	Name     string
	Children []*Node
}

type twin struct {
	id    int
	name  string
	tags  []string
	inner *twin
}
type Twin struct {
	Id    int
	Name  string
	Tags  []string
	Inner *Twin
}

type wide struct{ Words [20]uint64 }

type Loop struct {
	Name string
	Self *Loop
}
type Unsupported struct {
	F func()
	C chan int
	P unsafe.Pointer
}

type Case struct {
	Name   string `json:"name"`
	JSON   int    `json:"json"`
	Packed int    `json:"packed"`
}

var (
	cases []any
	names []string
	spare []any // values whose JSON text does not exist or is not counted
)

func add(name string, v any) {
	names = append(names, name)
	cases = append(cases, v)
}

func tree(depth int) *Node {
	n := &Node{Name: strings.Repeat("n", depth)}
	for i := 0; i < depth; i++ {
		n.Children = append(n.Children, tree(depth-1))
	}
	return n
}

func fill[K comparable, V any](n int, key func(int) K, value func(int) V) map[K]V {
	m := map[K]V{}
	for i := 0; i < n; i++ {
		m[key(i)] = value(i)
	}
	return m
}

func text(i int) string { return strings.Repeat(string(rune('a'+i%26)), i%40) + fmt.Sprint(i) }

func build() {
	seven := 7
	pseven := &seven
	add("nil", nil)
	add("bools", []bool{true, false})
	for _, n := range []int64{0, 1, -1, 9, 10, 99, 100, 9999, 10000, -10000, 99999, 123456789, math.MaxInt64, math.MinInt64} {
		add("int64", n)
		add("int32", int32(n))
		add("uint64", uint64(n))
		add("float of int", float64(n))
	}
	for _, f := range []float64{0, math.Copysign(0, -1), 1, 0.1, -2.5, 1.0 / 3, 1e6, 123456.789, 1e20, 1e21, 1e22, 1e-6, 9.9e-7, 1e-7, 5e-324, math.MaxFloat64,
		math.SmallestNonzeroFloat64, 2.2250738585072014e-308, 4.35, 100, 1e-9, 1.5e-10, 123456789012345678, 1e100, 3.0e-5, 6.02214076e23, 9007199254740993} {
		add("float64", f)
		add("float32", float32(math.Mod(f, 1e30)))
		add("floats", []float64{f, -f})
	}
	for i, s := range []string{"", "plain", "quote\" back\\slash", "\b\f\n\r\t\x00\x1f\x7f", "<html>&amp;</html>", "\u2028 and \u2029", "é日本語🎉", "\xff\xfe", "a\xc0\x80b",
		"\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x80", "cut \xf0\x9f\x98", strings.Repeat("long ", 1000), strings.Repeat("x", 4095) + "\n<", "\u2027\u202a", "\xc2\x80\xdf\xbf"} {
		add(fmt.Sprint("string ", i), s)
		add(fmt.Sprint("substring ", i), ("pad" + s)[3:])
		add(fmt.Sprint("quoted ", i), struct {
			S string `json:",string"`
		}{s})
		add(fmt.Sprint("key ", i), map[string]int{s: i})
	}
	add("plain", Plain{1, "b", true, 4})
	add("plain pointer", &Plain{1, "b", true, 4})
	add("tagged", Tagged{Name: "n", Quoted: -5, QuotedF: 1.5, QuotedB: true, QuotedS: "a\"\n<", QuotedNo: []int{1}, FullS: Plain{A: 1}, NegZero: math.Copysign(0, -1)})
	add("tagged full", Tagged{Renamed: 3, Empty: "e", Gone: "gone", Dash: "dash", QuotedP: pseven, Other: "o", Odd: "odd", EmptyMap: map[string]int{"a": 1},
		EmptySl: []string{""}, EmptyPtr: &Plain{}, EmptyAny: 0, ZeroT: time.Unix(1, 0).UTC(), ZeroS: Plain{d: 1}, ZeroSlice: []int{}, Attrs: map[string]string{"k": "v", "<": "&"}})
	add("empty map not omitted", struct {
		M map[string]int `json:",omitzero"`
	}{map[string]int{}})
	add("promoted", Promoted{Inner: Inner{1, 2, "x"}, inner: inner{3, 4}, Deep: &Deep{Inner{5, 6, "y"}}, Name: "outer"})
	add("promoted nil", Promoted{})
	add("conflict", Conflict{Inner{1, 2, "lost"}, Deep2{"lost too"}})
	add("tag wins", TagWins{Inner{1, 2, "x"}, Deep2{"n"}, "wins"})
	add("embeds", &Embeds{level: "dropped", Level: "kept"})
	add("mixed", Mixed{I8: -128, I16: -300, I32: 70000, U8: 255, U16: 65535, U32: 4000000000, U64: math.MaxUint64, UP: 3, F32: 0.1, C: 36.6,
		At: time.Date(2026, 11, 22, 20, 0, 0, 120000000, time.UTC), For: time.Minute, Raw: json.RawMessage(` { "a" : [ 1 , "x y<" ] } `), Num: "12.50",
		Arr: [3]int16{1, -2, 300}, Buf: [4]byte{1, 20, 255, 0}, Bin: []byte("12345"), Any: map[string]any{"k": []any{1, "s", nil, true, 2.5}}, Ptr: &pseven})
	add("mixed zero", &Mixed{Raw: nil})
	for i := 0; i < 8; i++ {
		add("bytes", make([]byte, i))
	}
	add("nil bytes", []byte(nil))
	add("nil slice", []int(nil))
	add("empty slice", []int{})
	add("nil map", map[string]int(nil))
	add("empty map", map[string]int{})
	add("empty structs", []struct{}{{}, {}, {}})
	add("spare capacity", append(make([]string, 0, 100), "a", "b"))
	add("tree", tree(5))
	add("anys", []any{1, "two", 3.5, nil, []any{}, map[string]any{"deep": map[string]any{"er": []string{"x"}}}, Plain{}, &Plain{}, errors.New("text")})
	add("small map", fill(8, text, func(i int) int { return i }))
	add("one table", fill(500, text, text))
	add("many tables", fill(20_000, text, func(i int) *Plain { return &Plain{A: i, B: text(i)} }))
	// Of buckets, 6,656 entries fill 1,024 (6.5 each); the next one starts to move two of them with each insertion.
	add("growing map", fill(6757, text, func(i int) *Plain { return &Plain{A: i, B: text(i)} }))
	add("growing map without pointers", fill(6757, func(i int) int { return i }, func(i int) uint32 { return uint32(i * i) }))
	add("int keys", fill(300, func(i int) int { return 10 - i*i }, func(i int) float64 { return float64(i) / 8 }))
	add("uint8 keys", fill(256, func(i int) uint8 { return uint8(i) }, func(i int) bool { return i%2 == 0 }))
	add("wide elements", fill(50, text, func(i int) wide { return wide{Words: [20]uint64{uint64(i)}} }))
	deleted := fill(1000, text, func(i int) []string { return []string{text(i), text(i + 1)} })
	for i := 0; i < 900; i++ {
		delete(deleted, text(i))
	}
	add("deleted entries", deleted)
	zone := time.FixedZone("there", 2*3600)
	for _, t := range []time.Time{{}, time.Unix(1e9, 0).UTC(), time.Unix(1e9, 1).UTC(), time.Unix(1e9, 500_000_000).In(zone), time.Now().UTC(), time.Now().In(zone),
		time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC), time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(5, 0).In(time.FixedZone("none", 0))} {
		add("time", t)
	}
	shared := &Plain{B: "shared"}
	add("shared within", []*Plain{shared, shared, nil})
	add("hidden", Twin{1, "n", []string{"a", "b"}, &Twin{Name: "in"}})
	add("hidden", twin{1, "n", []string{"a", "b"}, &twin{name: "in"}})

	loop := &Loop{Name: "loop"}
	loop.Self = loop
	spare = []any{loop, Unsupported{F: func() {}, C: make(chan int), P: unsafe.Pointer(pseven)}, math.NaN(), complex(1, 2), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
		map[[2]int]int{{1, 2}: 3}, map[[17]int]string{{1}: "v"}}
}

func main() {
	build()
	measured := make([]Case, len(cases))
	for i, v := range cases {
		encoded, err := json.Marshal(v)
		if err != nil {
			panic(names[i] + ": " + err.Error())
		}
		size := 1
		if v != nil {
			size = 2 + packed(reflect.ValueOf(v))
		}
		measured[i] = Case{names[i], len(encoded), size}
	}
	debug.SetGCPercent(-1)
	runtime.GC()
	line, _ := json.Marshal(map[string]any{
		"cases": measured, "addr": fmt.Sprint(uintptr(unsafe.Pointer(&cases[0]))), "spare": fmt.Sprint(uintptr(unsafe.Pointer(&spare[0]))),
	})
	fmt.Println(string(line))
	os.Stdin.Read(make([]byte, 1))
	runtime.KeepAlive(measured)
}
