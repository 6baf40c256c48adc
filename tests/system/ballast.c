/* Memory that nobody in the program knows of: preloaded into the server, it takes as
 * many megabytes as the file that BALLAST names says, and gives them back when that
 * says less. So a test can fill the memory budget to any level. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void *carry(void *path) {
    char *block = MAP_FAILED;
    size_t held = 0;
    for (;; usleep(20000)) {
        FILE *file = fopen(path, "r");
        unsigned megabytes = 0;
        int read = file ? fscanf(file, "%u", &megabytes) : 0;
        if (file)
            fclose(file);
        size_t wanted = (size_t)megabytes << 20;
        if (read != 1 || wanted == held)
            continue;
        if (held)
            munmap(block, held);
        block = wanted ? mmap(NULL, wanted, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : MAP_FAILED;
        if (block != MAP_FAILED)
            memset(block, 1, wanted);
        held = block == MAP_FAILED ? 0 : wanted;
    }
    return NULL;
}

__attribute__((constructor)) static void begin(void) {
    pthread_t thread;
    char *path = getenv("BALLAST");
    if (path && pthread_create(&thread, NULL, carry, path) == 0)
        pthread_setname_np(thread, "ballast");
}
