/* A program in C that loads a library in Go and calls it. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

int main(int count, char **arguments) {
    void *library = dlopen(arguments[1], RTLD_NOW);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    void (*fill)(int) = (void (*)(int))dlsym(library, "Fill");
    fill(2000);
    getchar();
    return 0;
}
