// Package measurement is the message that agents publish and that the baselines service reads.
package measurement

import "time"

// Subject is the root of all measurements; an agent publishes on Subject + "." + its service's name.
const Subject = "measurements"

// A Message is one batch of samples of one measured path, as one agent sees it.
type Message struct {
	Host    string            `json:"host"`
	Path    string            `json:"path"`
	Window  time.Time         `json:"window"`
	Tags    map[string]string `json:"tags"`
	Samples []Sample          `json:"samples"`
	Labels  []Label           `json:"labels"`
}

// A Sample is one measured request.
type Sample struct {
	// ID names the request everywhere: region, cluster, namespace, pod, route and W3C trace context.
	ID       string    `json:"id"`
	Offset   int       `json:"offset_ms"`
	Value    float64   `json:"value"`
	Phases   []float64 `json:"phases,omitempty"`
	Exemplar *Exemplar `json:"exemplar,omitempty"`
}

// An Exemplar is attached to the few samples whose trace was kept.
type Exemplar struct {
	Status int               `json:"status"`
	Attrs  map[string]string `json:"attrs"`
}

// A Label is a property of the agent.
type Label struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}
