/* Asleep keeps one thread in vfork(2), in uninterruptible sleep, for the seconds of its argument, with memory
 * that a fork must not inherit beside it: prints the addresses of a page with MADV_WIPEONFORK, one with
 * MADV_DONTFORK and a plain one, each full of sevens, then lines when the thread goes on. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void *sleeper(void *seconds) {
	if (vfork() == 0) {
		usleep(atof(seconds) * 1e6);
		_exit(0);
	}
	printf("{\"awake\": true}\n");
	fflush(stdout);
	for (;;)
		sleep(1000);
}

static unsigned long page(int advice) {
	void *p = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(p, 7, 4096);
	if (advice)
		madvise(p, 4096, advice);
	return (unsigned long)p;
}

int main(int argc, char **argv) {
	pthread_t thread;
	unsigned long wiped = page(MADV_WIPEONFORK), kept = page(MADV_DONTFORK), plain = page(0);
	pthread_create(&thread, 0, sleeper, argv[1]);
	usleep(50000);
	printf("{\"wiped\": %lu, \"kept\": %lu, \"plain\": %lu}\n", wiped, kept, plain);
	fflush(stdout);
	for (;;)
		sleep(1000);
}
