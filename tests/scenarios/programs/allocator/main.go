// What Go's allocator does: tiny blocks, every size class with and without pointers, large objects.
package main

import (
	"scenarios/park"
	"unsafe"
)

type Small struct{ A, B uint32 } // 8 bytes without pointers: two share a tiny block

type List struct {
	Next *List
	Rest [5]uint64
}

var (
	tiny        []*Small   // 1,000 in 500 blocks of 16 bytes
	lonely      []*uint32  // 100, of whose blocks the rest is garbage
	bytes       [][]byte   // one of every size class
	pointers    [][]*Small // the same with pointers
	largeBytes  [][]byte   // 40,000 to 200,000 bytes
	largeArrays [][]*Small // the same with pointers
	largeOne    *[50_000]*List
	justLarge   []byte   // 32,769 bytes: the smallest large object
	justSmall   []byte   // 32,768 bytes: the largest small one
	edge        []*Small // 4,096 pointers: 32,768 bytes, which the header makes large
	header      []*Small // 64 pointers: 512 bytes, the last without a header
)

// classes are Go's size classes, runtime/sizeclasses.go.
var classes = [...]int{
	8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256, 288, 320, 352, 384, 416,
	448, 480, 512, 576, 640, 704, 768, 896, 1024, 1152, 1280, 1408, 1536, 1792, 2048, 2304, 2688, 3072, 3200,
	3456, 4096, 4864, 5376, 6144, 6528, 6784, 6912, 8192, 9472, 9728, 10240, 10880, 12288, 13568, 14336, 16384,
	18432, 19072, 20480, 21760, 24576, 27264, 28672, 32768,
}

func main() {
	park.Measure("main.tiny", func() {
		tiny = make([]*Small, 1000)
		for i := range tiny {
			tiny[i] = &Small{A: uint32(i)}
		}
	})
	park.Measure("main.lonely", func() {
		lonely = make([]*uint32, 100)
		for i := 0; i < 400; i++ {
			number := new(uint32)
			if i%4 == 0 {
				lonely[i/4] = number
			}
		}
	})
	park.Measure("main.bytes", func() {
		bytes = make([][]byte, len(classes))
		for i, size := range classes {
			bytes[i] = make([]byte, size)
		}
	})
	park.Measure("main.pointers", func() {
		pointers = make([][]*Small, len(classes))
		for i, size := range classes {
			words := size / 8
			if size > 512 {
				words-- // the malloc header
			}
			pointers[i] = make([]*Small, words)
		}
	})
	park.Measure("main.largeBytes", func() {
		largeBytes = make([][]byte, 5)
		for i := range largeBytes {
			largeBytes[i] = make([]byte, 40_000*(i+1))
		}
	})
	park.Measure("main.largeArrays", func() {
		largeArrays = make([][]*Small, 5)
		for i := range largeArrays {
			largeArrays[i] = make([]*Small, 5_000*(i+1))
		}
	})
	park.Measure("main.largeOne", func() {
		largeOne = new([50_000]*List)
		for i := 0; i < 100; i++ {
			largeOne[i*500] = &List{Next: &List{}}
		}
	})
	park.Measure("main.justLarge", func() { justLarge = make([]byte, 32_769) })
	park.Measure("main.justSmall", func() { justSmall = make([]byte, 32_768) })
	park.Measure("main.edge", func() { edge = make([]*Small, 4096) })
	park.Measure("main.header", func() { header = make([]*Small, 64) })
	park.Fact("main.largeOne", uint64(uintptr(unsafe.Pointer(largeOne))))
	park.Wait()
}
