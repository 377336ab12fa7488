package main

import (
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"heldby.example/baselines/measurement"
)

// window is how long a baseline takes samples; afterwards it is dropped.
const window = time.Minute

// A Baseline is what is usual for one path during one window.
type Baseline struct {
	Path    string
	Window  time.Time
	Updated time.Time

	// Count, Mean and m2 are Welford's running variance.
	Count int
	Mean  float64
	m2    float64

	// Seen lists the samples counted so far. Delivery is at least once: a batch may come twice.
	Seen []string
}

// Add counts the samples of m that it has not counted before.
func (b *Baseline) Add(m *measurement.Message) {
	for i := range m.Samples {
		sample := &m.Samples[i]
		if slices.Contains(b.Seen, sample.ID) {
			continue
		}
		b.Seen = append(b.Seen, sample.ID)
		b.Count++
		delta := sample.Value - b.Mean
		b.Mean += delta / float64(b.Count)
		b.m2 += delta * (sample.Value - b.Mean)
	}
	b.Updated = time.Now()
}

// Deviation returns the standard deviation of the samples.
func (b *Baseline) Deviation() float64 {
	if b.Count < 2 {
		return 0
	}
	return math.Sqrt(b.m2 / float64(b.Count-1))
}

// A BaselineManager holds the baselines of all paths whose window is open.
type BaselineManager struct {
	mu       sync.Mutex
	paths    map[string]*Baseline
	messages int
}

// NewBaselineManager returns a manager without baselines.
func NewBaselineManager() *BaselineManager {
	return &BaselineManager{paths: make(map[string]*Baseline)}
}

// key is the same for every spelling of a path, and different for each window.
func key(path string, window time.Time) string {
	path = strings.TrimSuffix(strings.ToLower(path), "/")
	return path + "@" + window.UTC().Format(time.RFC3339)
}

// Add counts the samples of a message in the baseline of its path and window.
func (bm *BaselineManager) Add(m *measurement.Message) {
	bm.mu.Lock()
	defer bm.mu.Unlock()

	k := key(m.Path, m.Window)
	b, ok := bm.paths[k]
	if !ok {
		b = &Baseline{Path: m.Path, Window: m.Window}
		bm.paths[k] = b
	}
	b.Add(m)
	bm.messages++
}

// Expire drops the baselines whose window had closed at now.
func (bm *BaselineManager) Expire(now time.Time) {
	bm.mu.Lock()
	defer bm.mu.Unlock()

	for _, b := range bm.paths {
		if now.Sub(b.Window) > window {
			delete(bm.paths, b.Path)
		}
	}
}

// Stats is what the manager holds.
type Stats struct {
	Messages  int `json:"messages"`
	Baselines int `json:"baselines"`
	Seen      int `json:"seen"`
	SeenBytes int `json:"seen_bytes"`
	SeenSlots int `json:"seen_slots"`
}

// Stats counts what the manager holds; it visits every sample's ID.
func (bm *BaselineManager) Stats() Stats {
	bm.mu.Lock()
	defer bm.mu.Unlock()

	s := Stats{Messages: bm.messages, Baselines: len(bm.paths)}
	for _, b := range bm.paths {
		s.Seen += len(b.Seen)
		s.SeenSlots += cap(b.Seen)
		for _, id := range b.Seen {
			s.SeenBytes += len(id)
		}
	}
	return s
}
