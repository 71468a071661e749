/* A clock that is ahead by CLOCK_AHEAD seconds, for one process: linked in before the C library (LD_PRELOAD). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t id, struct timespec *now) {
    int (*real)(clockid_t, struct timespec *) = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(id, now);
    const char *ahead = getenv("CLOCK_AHEAD");
    if (failed == 0 && ahead != NULL && id == CLOCK_REALTIME) {
        now->tv_sec += atol(ahead);
    }
    return failed;
}
