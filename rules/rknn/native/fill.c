/* fill: a preloaded library that gives never-written memory a known content.
 *
 * The Rockchip compiler writes members of structures that it never set into the .rknn file. What those bytes hold is
 * whatever the heap or the stack held before. Under this library they hold a byte of our choosing, so that two
 * compilations differ only where something really random (an address) is written, and a compilation with another
 * byte shows which bytes were never set.
 *
 *   - memory handed out by malloc and its kin is filled with the byte MEGBUILD_FILL (two hex digits, 00 by default);
 *   - so are MARGIN bytes behind it, because the compiler reads beyond the end of some arrays: without them it would
 *     find the allocator's own figures there, which depend on addresses;
 *   - every call also fills the dead part of the calling thread's stack, DEPTH bytes below the caller's frame, which
 *     the frames of later calls will be made of.
 *
 * There is no state beside the byte, read once while the library is loaded: threads and forks need no care. Calls
 * before that (from the dynamic linker) are filled with 00. errno is left alone by everything done here.
 *
 * Build:  cc -shared -fPIC -O2 -fno-builtin -fno-stack-protector -o fill.so fill.c        (glibc only)
 * Use:    LD_PRELOAD=.../fill.so MEGBUILD_FILL=5a program
 */
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of dead stack that are filled. A thread must have this much left: the smallest pthread stack is 16 KiB. */
#define DEPTH 8192
/* Bytes behind every block that belong to it and hold the fill. */
#define MARGIN 256
#define EXPORTED __attribute__((visibility("default")))

/* glibc's allocator under its second names: no dlsym, hence no allocation while looking up the allocator. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *memory);

static unsigned char fill;

__attribute__((constructor)) static void read_fill(void) {
    const char *text = getenv("MEGBUILD_FILL");
    if (text) fill = (unsigned char)strtoul(text, NULL, 16);
}

/* Everything below the stack pointer is dead. This frame is laid over it, filled and given back. The barrier makes
 * the compiler believe that the array is read, so that the stores stay. */
static void __attribute__((noinline)) fill_stack(void) {
    unsigned char dead[DEPTH];
    memset(dead, fill, sizeof dead);
    __asm__ volatile("" : : "r"(dead) : "memory");
}

/* Fills a block from the given byte up to its real end. */
static void *filled(void *block, size_t from) {
    if (block) {
        size_t end = malloc_usable_size(block);
        if (from < end) memset((char *)block + from, fill, end - from);
    }
    fill_stack();
    return block;
}

/* The size with its margin; one that has no room for it is left for the allocator to refuse. */
static size_t wide(size_t size) { return size > SIZE_MAX - MARGIN ? size : size + MARGIN; }

EXPORTED void *malloc(size_t size) { return filled(__libc_malloc(wide(size)), 0); }

EXPORTED void free(void *block) {
    __libc_free(block);
    fill_stack();
}

EXPORTED void *calloc(size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return filled(__libc_calloc(1, wide(bytes)), bytes); /* zeros are promised; only what lies behind them is ours */
}

EXPORTED void *realloc(void *block, size_t size) {
    if (!block) return malloc(size);
    if (!size) {
        free(block);
        return NULL;
    }
    size_t before = malloc_usable_size(block); /* what was not asked for of this holds the fill already */
    return filled(__libc_realloc(block, wide(size)), size < before ? size : before);
}

EXPORTED void *reallocarray(void *block, size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(block, bytes);
}

EXPORTED void *memalign(size_t alignment, size_t size) { return filled(__libc_memalign(alignment, wide(size)), 0); }

EXPORTED void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

EXPORTED void *valloc(size_t size) { return memalign(4096, size); }

EXPORTED int posix_memalign(void **result, size_t alignment, size_t size) {
    if (alignment % sizeof(void *) || alignment & (alignment - 1) || !alignment) return EINVAL;
    int saved = errno;
    void *block = memalign(alignment, size);
    errno = saved;
    if (!block) return ENOMEM;
    *result = block;
    return 0;
}
