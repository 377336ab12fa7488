// Command offheap takes memory that Go knows nothing of, by a known amount, says so, and waits.
package main

/*
#cgo LDFLAGS: -lpthread
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int ready[2], never[2];

static void take(size_t size, int count) {
	for (int i = 0; i < count; i++)
		memset(malloc(size), 1, size);
}

static void *deep(void *unused) {
	volatile char room[1 << 20];
	char byte = 1;
	memset((void *)room, 1, sizeof room);
	write(ready[1], &byte, 1);
	read(never[0], &byte, 1);
	return (void *)(size_t)room[byte];
}

static void start(int count) {
	pthread_t thread;
	char byte;
	pipe(ready);
	pipe(never);
	for (int i = 0; i < count; i++) {
		pthread_create(&thread, NULL, deep, NULL);
		read(ready[0], &byte, 1);
	}
}
*/
import "C"

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
)

const mebibyte = 1 << 20

func main() {
	runtime.LockOSThread()
	amount := 0
	switch os.Args[1] {
	case "small": // 65,536 blocks of 1 KiB
		C.take(1024, 65536)
		amount = 64 * mebibyte
	case "large": // 16 blocks of 4 MiB, which glibc maps one by one
		C.take(4*mebibyte, 16)
		amount = 64 * mebibyte
	case "threads": // 24 threads, each with a mebibyte of stack in use
		C.start(24)
		amount = 24 * mebibyte
	case "mapped": // 48 MiB of anonymous memory, mapped by Go code itself
		area, err := syscall.Mmap(-1, 0, 48*mebibyte, syscall.PROT_READ|syscall.PROT_WRITE,
			syscall.MAP_PRIVATE|syscall.MAP_ANON)
		if err != nil {
			panic(err)
		}
		for at := range area {
			area[at] = 3
		}
		amount = 48 * mebibyte
	}
	fmt.Printf("{\"amount\": %d}\n", amount)
	line := make([]byte, 8)
	syscall.Read(0, line)
}
