/* A clock that a test moves: loaded into every process before the C library, it adds the
   nanoseconds in the file that MOVED_CLOCK names to whatever asks for the time of day. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *moved;
static int (*real_gettime)(clockid_t, struct timespec *);
static int (*real_utimensat)(int, const char *, const struct timespec *, int);
static int (*real_sem_timedwait)(sem_t *, const struct timespec *);

__attribute__((constructor)) static void find(void) {
    const char *path = getenv("MOVED_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file >= 0) {
        void *page = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
        if (page != MAP_FAILED) moved = page;
        close(file);
    }
    real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    real_utimensat = dlsym(RTLD_NEXT, "utimensat");
    real_sem_timedwait = dlsym(RTLD_NEXT, "sem_timedwait");
}

static void add(struct timespec *moment, int64_t nanoseconds) {
    int64_t sum = moment->tv_nsec + nanoseconds % 1000000000;
    moment->tv_sec += nanoseconds / 1000000000;
    if (sum < 0) { sum += 1000000000; moment->tv_sec -= 1; }
    if (sum >= 1000000000) { sum -= 1000000000; moment->tv_sec += 1; }
    moment->tv_nsec = sum;
}

int clock_gettime(clockid_t clock, struct timespec *moment) {
    if (!real_gettime) find();
    int failed = real_gettime(clock, moment);
    if (!failed && moved && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        add(moment, *moved);
    return failed;
}

int gettimeofday(struct timeval *restrict moment, void *restrict zone) {
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    moment->tv_sec = now.tv_sec;
    moment->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *seconds) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (seconds) *seconds = now.tv_sec;
    return now.tv_sec;
}

/* The kernel would write its own time on a file that is touched. */
int utimensat(int directory, const char *path, const struct timespec times[2], int flags) {
    struct timespec now[2];
    if (!real_utimensat) find();
    if (times || !moved) return real_utimensat(directory, path, times, flags);
    clock_gettime(CLOCK_REALTIME, &now[0]);
    now[1] = now[0];
    return real_utimensat(directory, path, now, flags);
}

/* And would wait until its own clock shows the moment. */
int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict until) {
    struct timespec kernels = *until;
    if (!real_sem_timedwait) find();
    if (moved) add(&kernels, -*moved);
    return real_sem_timedwait(semaphore, &kernels);
}
