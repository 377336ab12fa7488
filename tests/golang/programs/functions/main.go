// Command functions asks the runtime what it calls a sample of addresses and of calls, prints the answers and
// waits for its standard input to end.
package main

import (
	"encoding/json"
	"io"
	"os"
	"reflect"
	"runtime"

	"example.com/dotted.path/functions/under.score"
)

type place struct {
	Function string `json:"function"`
	File     string `json:"file"`
	Line     int    `json:"line"`
}

type sample struct {
	PC uint64 `json:"pc"`
	place
}

type chain struct {
	PC    uint64  `json:"pc"`
	Calls []place `json:"calls"`
}

var chains []chain

// note keeps the return address to its caller and the calls that lead here.
//
//go:noinline
func note() {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	found := chain{PC: uint64(pcs[0])}
	for {
		frame, more := frames.Next()
		found.Calls = append(found.Calls, place{frame.Function, frame.File, frame.Line})
		if !more {
			break
		}
	}
	chains = append(chains, found)
}

func innermost() { note() }

func middle[T any](value T) T {
	innermost()
	return value
}

type point struct{ x, y int }

func (p point) moved() point {
	p.x = middle(p.x)
	return p
}

//go:noinline
func outermost() point { return point{1, 2}.moved() }

func samples() []sample {
	found := []sample{}
	anchor := reflect.ValueOf(main).Pointer()
	low := anchor
	for runtime.FuncForPC(low-4096) != nil {
		low -= 4096
	}
	for pc := low; runtime.FuncForPC(pc) != nil; pc += 1009 {
		if next := runtime.FuncForPC(pc + 1); next == nil || next.Entry() == pc+1 {
			continue // a return address of pc+1 would belong to the next function
		}
		frame, _ := runtime.CallersFrames([]uintptr{pc + 1}).Next()
		found = append(found, sample{uint64(pc), place{frame.Function, frame.File, frame.Line}})
	}
	return found
}

func main() {
	outermost()
	score.Add(note)
	line, err := json.Marshal(map[string]any{"samples": samples(), "chains": chains})
	if err != nil {
		panic(err)
	}
	os.Stdout.Write(append(line, '\n'))
	_, _ = io.Copy(io.Discard, os.Stdin)
}
