// What several roots hold together and none alone, in the shapes that mislead: two owners, a diamond, a
// server that a hundred goroutines hold, a cycle with two ways in.
package main

import (
	"runtime"

	"scenarios/park"
)

type Document struct {
	Title string
	Pages [][]byte
}

type Index struct{ documents map[string]*Document }

type Server struct {
	sessions map[uint64]*Session
	log      []string
}

type Session struct {
	server *Server
	User   string
	Buffer *[64]uint64
}

type Part struct {
	Whole *Part
	Other *Part
	Load  [20]uint64
}

var (
	byTitle *Index // 50 documents, in both indexes
	byDate  *Index
	left    *Part // left and right meet in one bottom
	right   *Part
	first   *Part // a cycle of three with two ways in
	second  *Part
	never   = make(chan struct{})
)

func newServer() *Server {
	s := &Server{sessions: make(map[uint64]*Session), log: make([]string, 100)}
	for i := uint64(0); i < 200; i++ {
		s.sessions[i] = &Session{server: s, User: park.Text(32, int(i)), Buffer: new([64]uint64)}
	}
	for i := range s.log {
		s.log[i] = park.Text(128, i)
	}
	return s
}

// serve is one of a hundred goroutines, which alone hold the server: no global does.
//
//go:noinline
func (s *Server) serve(i int) {
	request := newRequest(i)
	park.Settled()
	<-never
	s.log[0] = "done"
	runtime.KeepAlive(request)
}

// newRequest is not inlined: what it returns would lie on the stack otherwise.
//
//go:noinline
func newRequest(i int) *[30]uint64 { return &[30]uint64{uint64(i)} }

func main() {
	park.Measure("main.byTitle", func() {
		byTitle = &Index{documents: make(map[string]*Document)}
		byDate = &Index{documents: make(map[string]*Document)}
		for i := 0; i < 50; i++ {
			document := &Document{Title: park.Text(40, i), Pages: make([][]byte, 4)}
			for page := range document.Pages {
				document.Pages[page] = make([]byte, 256)
			}
			byTitle.documents[document.Title] = document
			byDate.documents[park.Text(16, i)] = document
		}
	})
	park.Measure("main.left", func() {
		bottom := &Part{Other: &Part{}}
		left, right = &Part{Other: bottom}, &Part{Other: bottom}
	})
	park.Measure("main.first", func() {
		a, b, c := &Part{}, &Part{}, &Part{}
		a.Other, b.Other, c.Other = b, c, a
		first, second = &Part{Other: a}, &Part{Other: b}
	})
	start()
	park.AwaitSettled(100)
	park.Wait()
}

//go:noinline
func start() {
	server := newServer()
	for i := 0; i < 100; i++ {
		go server.serve(i)
	}
}
