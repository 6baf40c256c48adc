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

#define MEGABYTE (1 << 20)
#define MOST 4096

static void *carry(void *path) {
    static void *blocks[MOST];
    unsigned held = 0, wanted = 0;
    for (;; usleep(20000)) {
        FILE *file = fopen(path, "r");
        if (file) {
            if (fscanf(file, "%u", &wanted) != 1 || wanted > MOST)
                wanted = held;
            fclose(file);
        }
        for (; held < wanted; held++) {
            blocks[held] = mmap(NULL, MEGABYTE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (blocks[held] == MAP_FAILED)
                break;
            memset(blocks[held], 1, MEGABYTE);
        }
        while (held > wanted)
            munmap(blocks[--held], MEGABYTE);
    }
    return NULL;
}

__attribute__((constructor)) static void begin(void) {
    pthread_t thread;
    char *path = getenv("BALLAST");
    if (path && pthread_create(&thread, NULL, carry, path) == 0)
        pthread_setname_np(thread, "ballast");
}
