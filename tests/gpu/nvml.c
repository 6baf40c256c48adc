/* A driver that tells of one GPU, on which two processes run: the one that asks, and another. */

#include <stddef.h>
#include <unistd.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, INSUFFICIENT_SIZE = 7, MB = 1 << 20 };

struct memory { unsigned version; unsigned long long total, reserved, free, used; };
struct process { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; };

int nvmlInit_v2(void) { return SUCCESS; }
int nvmlShutdown(void) { return SUCCESS; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    static int only;
    *device = &only;
    return index == 0 ? SUCCESS : INVALID_ARGUMENT;
}

int nvmlDeviceGetMemoryInfo_v2(void *device, struct memory *memory) {
    (void)device;
    memory->total = 8000ULL * MB;
    memory->used = 3000ULL * MB;
    return SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *count, struct process *processes) {
    (void)device;
    if (processes == NULL || *count < 2) {
        *count = 2;
        return INSUFFICIENT_SIZE;
    }
    *count = 2;
    processes[0] = (struct process){1, 2000ULL * MB, 0, 0};
    processes[1] = (struct process){(unsigned)getpid(), 700ULL * MB, 0, 0};
    return SUCCESS;
}
