/* clock: a preloaded library under which it is always the same moment.
 *
 * The compiler of Sophgo writes the time of its run into what it makes. Under this library every way of asking for the
 * time of day gives the first second of the year 2000 (UTC). Clocks that measure intervals go on.
 *
 * Build:  cc -shared -fPIC -O2 -o clock.so clock.c        (Linux only)
 * Use:    LD_PRELOAD=.../clock.so TZ=UTC0 program
 */
#define _GNU_SOURCE
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define MOMENT 946684800 /* seconds from 1970 to 2000 */
#define EXPORTED __attribute__((visibility("default")))

EXPORTED time_t time(time_t *result) {
    if (result) *result = MOMENT;
    return MOMENT;
}

EXPORTED int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    if (now) *now = (struct timeval){MOMENT, 0};
    if (zone) *(struct timezone *)zone = (struct timezone){0, 0};
    return 0;
}

EXPORTED int clock_gettime(clockid_t clock, struct timespec *now) {
    if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE && clock != CLOCK_TAI)
        return (int)syscall(SYS_clock_gettime, clock, now);
    *now = (struct timespec){MOMENT, 0};
    return 0;
}

EXPORTED int timespec_get(struct timespec *now, int base) {
    if (base != TIME_UTC) return 0;
    *now = (struct timespec){MOMENT, 0};
    return base;
}
