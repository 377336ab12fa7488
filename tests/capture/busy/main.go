// Busy is a service that checks its own answers. Tests capture it, and kill the capture, hundreds of times.
//
// Each worker does one kind of thing that a careless tracer breaks, compares the result with what it must be,
// and counts its rounds. A line on standard input asks for a report, one JSON object.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

type worker struct {
	name   string
	rounds atomic.Int64
}

var (
	workers []*worker
	mutex   sync.Mutex
	errors  []string
	started atomic.Int64 // children that we started ourselves
	chld    atomic.Int64 // SIGCHLD that came
	pausing atomic.Bool  // start no children
	ballast []byte
)

func fail(format string, arguments ...any) {
	mutex.Lock()
	defer mutex.Unlock()
	if len(errors) < 20 {
		errors = append(errors, fmt.Sprintf(format, arguments...))
	}
}

func work(name string, round func(n int64)) {
	w := &worker{name: name}
	workers = append(workers, w)
	go func() {
		for n := int64(0); ; n++ {
			round(n)
			w.rounds.Add(1)
		}
	}()
}

// arithmetic depends on every flag and register staying what they are.
func arithmetic(seed uint64) uint64 {
	sum, carry := seed, uint64(0)
	x := 1.0
	for i := uint64(0); i < 20000; i++ {
		previous := sum
		sum = sum*6364136223846793005 + i + carry
		if sum < previous {
			carry++
		}
		if int64(sum) > int64(previous) {
			carry ^= i
		}
		x = x*1.0000001 + float64(i&3)
	}
	return sum ^ carry ^ uint64(x)
}

type tree struct {
	left, right *tree
	value       int
}

func grow(depth int) *tree {
	if depth == 0 {
		return &tree{value: 1}
	}
	return &tree{left: grow(depth - 1), right: grow(depth - 1), value: 1}
}

func (t *tree) count() int {
	if t == nil {
		return 0
	}
	return t.value + t.left.count() + t.right.count()
}

func compute(seed uint64) {
	want := arithmetic(seed)
	work("arithmetic"+strconv.FormatUint(seed, 10), func(int64) {
		if got := arithmetic(seed); got != want {
			fail("arithmetic(%d) = %d, not %d", seed, got, want)
		}
		runtime.Gosched()
	})
}

func allocate() {
	keep := map[int]*tree{}
	work("allocation", func(n int64) {
		keep[int(n%50)] = grow(6)
		for key, t := range keep {
			if got := t.count(); got != 127 {
				fail("tree %d has %d nodes", key, got)
			}
		}
		time.Sleep(100 * time.Microsecond)
	})
}

func sleep() {
	work("sleep", func(int64) {
		before := time.Now()
		time.Sleep(2 * time.Millisecond)
		if took := time.Since(before); took < 2*time.Millisecond {
			fail("slept %v instead of 2ms", took)
		}
	})
	work("nanosleep", func(n int64) {
		if n == 0 {
			runtime.LockOSThread()
		}
		before := time.Now()
		left := syscall.Timespec{Nsec: 3e6}
		for syscall.Nanosleep(&left, &left) == syscall.EINTR {
		}
		if took := time.Since(before); took < 3*time.Millisecond {
			fail("nanosleep took %v instead of 3ms", took)
		}
	})
}

// pipes block in read(2) on threads of their own: a restarted system call must neither lose nor repeat bytes.
func pipes() {
	var fds [2]int
	if err := syscall.Pipe(fds[:]); err != nil {
		panic(err)
	}
	work("pipe-write", func(n int64) {
		if wrote, err := syscall.Write(fds[1], []byte(fmt.Sprintf("%08d", n%1e8))); wrote != 8 || err != nil {
			fail("write: %d %v", wrote, err)
		}
		time.Sleep(300 * time.Microsecond)
	})
	work("pipe-read", func(n int64) {
		data := make([]byte, 8)
		for got := 0; got < 8; {
			count, err := syscall.Read(fds[0], data[got:])
			if err == syscall.EINTR {
				continue
			}
			if err != nil {
				fail("read: %v", err)
			}
			got += count
		}
		if want := fmt.Sprintf("%08d", n%1e8); string(data) != want {
			fail("read %q, not %q", data, want)
		}
	})
}

func network() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				fail("accept: %v", err)
				return
			}
			go func() { _, _ = io.Copy(connection, connection); connection.Close() }()
		}
	}()
	payload := make([]byte, 64<<10)
	for i := range payload {
		payload[i] = byte(i * 7)
	}
	want := crc32.ChecksumIEEE(payload)
	work("network", func(int64) {
		connection, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			fail("dial: %v", err)
			time.Sleep(time.Second)
			return
		}
		go func() { _, _ = connection.Write(payload); connection.(*net.TCPConn).CloseWrite() }()
		// A copy that kept the descriptor open would keep the end of the stream from coming.
		connection.SetDeadline(time.Now().Add(20 * time.Second))
		echo, err := io.ReadAll(connection)
		connection.Close()
		if err != nil || crc32.ChecksumIEEE(echo) != want {
			fail("echo of %d bytes: %v", len(echo), err)
		}
		time.Sleep(time.Millisecond)
	})
}

func children() {
	work("children", func(int64) {
		if pausing.Load() {
			time.Sleep(time.Millisecond)
			return
		}
		started.Add(1)
		if err := exec.Command("/bin/true").Run(); err != nil {
			fail("child: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	})
	ended := make(chan os.Signal, 1000)
	signal.Notify(ended, syscall.SIGCHLD)
	go func() {
		for range ended {
			chld.Add(1)
		}
	}()
}

// threads are born and end all the time: a goroutine that ends while locked takes its thread along.
func threads() {
	work("threads", func(n int64) {
		answer := make(chan int64)
		go func() {
			runtime.LockOSThread()
			answer <- n * 3
		}()
		if got := <-answer; got != n*3 {
			fail("a thread answered %d, not %d", got, n*3)
		}
		time.Sleep(time.Millisecond)
	})
}

func signals() {
	received := make(chan os.Signal, 16)
	signal.Notify(received, syscall.SIGUSR1)
	work("signals", func(int64) {
		if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
			fail("kill: %v", err)
		}
		select {
		case <-received:
		case <-time.After(20 * time.Second):
			fail("a signal was lost")
		}
		time.Sleep(500 * time.Microsecond)
	})
}

func entries(path string) []string {
	found, err := os.ReadDir(path)
	if err != nil {
		fail("%v", err)
	}
	names := make([]string, len(found))
	for i, entry := range found {
		names[i] = entry.Name()
	}
	return names
}

func childIDs() []string {
	ids := []string{}
	for _, task := range entries("/proc/self/task") {
		data, err := os.ReadFile("/proc/self/task/" + task + "/children")
		if err == nil && len(data) > 0 {
			ids = append(ids, string(data))
		}
	}
	return ids
}

func report() map[string]any {
	rounds := map[string]int64{}
	for _, w := range workers {
		rounds[w.name] = w.rounds.Load()
	}
	mutex.Lock()
	defer mutex.Unlock()
	return map[string]any{
		"rounds":   rounds,
		"errors":   append([]string{}, errors...),
		"threads":  len(entries("/proc/self/task")),
		"machines": pprof.Lookup("threadcreate").Count(),
		"children": childIDs(),
		"started":  started.Load(),
		"sigchld":  chld.Load(),
		"ballast":  crc32.ChecksumIEEE(ballast),
	}
}

func main() {
	megabytes, _ := strconv.Atoi(os.Args[1])
	ballast = make([]byte, megabytes<<20)
	for i := range ballast {
		ballast[i] = byte(i>>3) | 1
	}
	compute(1)
	compute(2)
	allocate()
	sleep()
	pipes()
	network()
	children()
	threads()
	signals()
	output := json.NewEncoder(os.Stdout)
	_ = output.Encode(report())
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		pausing.Store(input.Text() == "quiet")
		_ = output.Encode(report())
	}
}
