// A plugin with a type, a global map and a goroutine of its own.
package main

type Piece struct {
	Name *string
	Next *Piece
	Data [10]uint64
}

var kept = map[string]*Piece{}

// Keep puts n pieces into the plugin's own map: 2 objects each, 96 + 16 bytes.
func Keep(n int) {
	for i := 0; i < n; i++ {
		name := text(i)
		kept[string(rune('a'+i%26))+name] = &Piece{Name: &name}
	}
}

func text(i int) string {
	digits := []byte("piece-00000000")
	for at := len(digits) - 1; i > 0; at-- {
		digits[at] = '0' + byte(i%10)
		i /= 10
	}
	return string(digits)
}

// Hold starts a goroutine whose code lies in the plugin, and that holds a piece.
func Hold(ready chan<- bool, end <-chan bool) {
	go func() {
		piece := &Piece{Data: [10]uint64{7}}
		ready <- true
		<-end
		piece.Data[0]++
		kept["end"] = piece
	}()
}

func main() {}
