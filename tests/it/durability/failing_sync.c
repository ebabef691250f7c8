/* A disk that fails: once the file exists that FAILING_SYNC_ONCE names, nothing more is brought to it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int has_failed(void) {
    const char *trigger = getenv("FAILING_SYNC_ONCE");
    return trigger && access(trigger, F_OK) == 0;
}

int fsync(int fd) {
    if (has_failed()) return errno = EIO, -1;
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

int fdatasync(int fd) {
    if (has_failed()) return errno = EIO, -1;
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}

int sync_file_range(int fd, off64_t offset, off64_t bytes, unsigned flags) {
    if (has_failed()) return errno = EIO, -1;
    return ((int (*)(int, off64_t, off64_t, unsigned))dlsym(RTLD_NEXT, "sync_file_range"))(fd, offset, bytes, flags);
}
