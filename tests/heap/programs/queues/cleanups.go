//go:build go1.24

package main

import (
	"fmt"
	"runtime"
)

func abandonWithCleanup(i int) {
	runtime.AddCleanup(newResource(i, 500), func(b []byte) {
		<-blocked
		fmt.Println(len(b))
	}, make([]byte, 2000))
}
