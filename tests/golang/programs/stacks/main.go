// Command stacks parks goroutines that each keep one object alive in one way, prints the objects' addresses
// and waits for its standard input to end. With "collect" it collects garbage before; with another argument it runs
// instead of parking: see running.go.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// Payload is what the goroutines hold: an object of its own with a pointer in it.
type Payload struct {
	next  *Payload
	stamp int64
	pad   [48]byte
}

// Poke is a method to make method values from.
func (p *Payload) Poke() { p.stamp++ }

// Wait parks while it is called through reflection.
func (p *Payload) Wait(other *Payload) {
	parked.Done()
	park()
	other.stamp++
}

var (
	mutex     sync.Mutex
	addresses = map[string]string{}
	block     = make(chan *Payload)
	never     = make(chan *Payload)
	locked    sync.Mutex
	parked    sync.WaitGroup
	nowhere   *int
)

// fresh makes a payload and notes its address as text only.
//
//go:noinline
func fresh(name string) *Payload {
	p := new(Payload)
	mutex.Lock()
	addresses[name] = fmt.Sprintf("%#x", uintptr(unsafe.Pointer(p)))
	mutex.Unlock()
	return p
}

func park() { <-block }

//go:noinline
func touch(p *Payload) { p.stamp++ }

func holdLocal() {
	p := fresh("local")
	parked.Done()
	park()
	touch(p)
}

// dropLocal leaves a pointer in its frame that is dead while it waits.
func dropLocal() {
	p := fresh("dead local")
	touch(p)
	touch(p)
	parked.Done()
	park()
}

// takeTenth has more arguments than there are registers for them, so the last lies in the caller's frame.
//
//go:noinline
func takeTenth(a, b, c, d, e, f, g, h, i int, p *Payload) int {
	parked.Done()
	park()
	touch(p)
	return a + b + c + d + e + f + g + h + i
}

func holdArgument() {
	takeTenth(1, 2, 3, 4, 5, 6, 7, 8, 9, fresh("argument"))
}

type box struct {
	label int
	p     *Payload
}

//go:noinline
func touchBox(b *box) { b.p.stamp++ }

//go:noinline
func pick(one, two *box, second bool) *box {
	if second {
		return two
	}
	return one
}

// holdStackObject has two variables whose address is taken; only one of them can be reached while it waits.
//
//go:noinline
func holdStackObject(second bool) {
	var one, two box
	one.p = fresh("stack object")
	two.p = fresh("dead stack object")
	touchBox(&one)
	touchBox(&two)
	chosen := pick(&one, &two, second)
	parked.Done()
	park()
	touchBox(chosen)
}

func holdDefer() {
	p := fresh("open-coded defer")
	defer func() { touch(p) }()
	parked.Done()
	park()
}

func holdLoopDefers() {
	for _, name := range []string{"loop defer 0", "loop defer 1"} {
		p := fresh(name)
		defer func() { touch(p) }()
	}
	parked.Done()
	park()
}

//go:noinline
func call(f func()) { f() }

func holdMethodValue() {
	poke := fresh("method value").Poke
	parked.Done()
	park()
	call(poke)
}

//go:noinline
func hold[T any](value *T, use func(*T)) {
	parked.Done()
	park()
	use(value)
}

func holdGeneric() { hold(fresh("generic"), touch) }

//go:noinline
func recurse(depth int, p *Payload) int64 {
	if depth == 0 {
		parked.Done()
		park()
		return p.stamp
	}
	return recurse(depth-1, p) + p.stamp
}

func holdDeep() { recurse(5000, fresh("deep")) }

func holdPanicking() {
	p := fresh("panicking")
	defer func() {
		parked.Done()
		park()
		_ = recover()
		touch(p)
	}()
	panic(fresh("panic value"))
}

// fault dereferences nil; its frame never goes on, so what it holds is dead.
//
//go:noinline
func fault(p *Payload) {
	*nowhere = 1
	touch(p)
}

func holdFault() {
	p := fresh("fault")
	defer func() {
		parked.Done()
		park()
		_ = recover()
		touch(p)
	}()
	fault(fresh("dead by fault"))
	touch(p)
}

func holdMakeFunc() {
	wait := func(arguments []reflect.Value) []reflect.Value {
		parked.Done()
		park()
		return nil
	}
	made := reflect.MakeFunc(reflect.TypeOf(func(*Payload, int) {}), wait).Interface().(func(*Payload, int))
	made(fresh("reflect.MakeFunc"), 1)
}

func holdReflectMethod() {
	receiver := reflect.ValueOf(fresh("reflect receiver"))
	receiver.Method(1).Interface().(func(*Payload))(fresh("reflect argument"))
}

func holdSelect() {
	p := fresh("select")
	parked.Done()
	select {
	case q := <-never:
		touch(q)
	case never <- p:
	}
	touch(p)
}

func holdMutex() {
	p := fresh("mutex")
	parked.Done()
	locked.Lock()
	touch(p)
}

func holdSleep() {
	p := fresh("sleep")
	parked.Done()
	time.Sleep(time.Hour)
	touch(p)
}

func holdRead() {
	p := fresh("read")
	var ends [2]int
	if err := syscall.Pipe(ends[:]); err != nil {
		panic(err)
	}
	parked.Done()
	var one [1]byte
	_, _ = syscall.Read(ends[0], one[:])
	touch(p)
}

func holdAccept() {
	p := fresh("accept")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	parked.Done()
	_, _ = listener.Accept()
	touch(p)
}

func holdLocked() {
	runtime.LockOSThread()
	p := fresh("locked thread")
	parked.Done()
	park()
	touch(p)
}

func ready() {
	mutex.Lock()
	line, err := json.Marshal(map[string]any{"addresses": addresses})
	if err != nil {
		panic(err)
	}
	line = append(line, '\n')
	// A raw write: the scheduler does not hear of it, so what waits to run goes on waiting.
	_, _, _ = syscall.RawSyscall(syscall.SYS_WRITE, 1, uintptr(unsafe.Pointer(&line[0])), uintptr(len(line)))
	mutex.Unlock()
}

func main() {
	collect := len(os.Args) > 1 && os.Args[1] == "collect"
	if len(os.Args) > 1 && !collect {
		run(os.Args[1])
	}
	locked.Lock()
	for _, start := range []func(){
		holdLocal, dropLocal, holdArgument, func() { holdStackObject(len(os.Args) > 5) }, holdDefer,
		holdLoopDefers, holdMethodValue, holdGeneric, holdDeep, holdPanicking, holdFault, holdMakeFunc,
		holdReflectMethod, holdSelect, holdMutex, holdSleep, holdRead, holdAccept, holdLocked,
	} {
		parked.Add(1)
		go start()
	}
	parked.Wait()
	time.Sleep(100 * time.Millisecond)
	if collect {
		runtime.GC()
		runtime.GC()
	}
	ready()
	_, _ = io.Copy(io.Discard, os.Stdin)
}
