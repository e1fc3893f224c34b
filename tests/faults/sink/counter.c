/* Preloaded into one child: counts the state-changing calls on files under RED_TEST_STORE while it
   is armed, and at one of them kills the process or lets the call fail with ENOSPC.

   chDB calls libc through the dynamic symbol table, but loads itself with RTLD_DEEPBIND, which hides
   a preloaded library; so dlopen is here too, without that flag. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { COUNT, KILL, HALF, ONCE, ON };  /* what happens at call `target` */
static atomic_int armed, mode;
static atomic_long seen, target;
static const char *folder;
static size_t length;
static int trace = -1;

__attribute__((constructor)) static void begin(void) {
    const char *told = getenv("RED_TEST_TRACE");
    folder = getenv("RED_TEST_STORE");
    length = folder ? strlen(folder) : 0;
    if (told) trace = (int)syscall(SYS_openat, AT_FDCWD, told, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

void sink_arm(int how, long at) {
    mode = how, target = at, seen = 0, armed = 1;
}
long sink_disarm(void) {
    armed = 0;
    return seen;
}

static void die(void) {
    syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
    for (;;) pause();
}

static int is_ours(int directory, const char *path, char *full) {
    char link[40];
    ssize_t size = 0;
    if (path == NULL || path[0] != '/') {
        if (directory == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
        else snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
        size = readlink(link, full, PATH_MAX - 1);
        if (size < 0) return 0;
    }
    full[size] = 0;
    if (path) snprintf(full + size, (size_t)(PATH_MAX - size), size ? "/%s" : "%s", path);
    return strncmp(full, folder, length) == 0;
}

/* 0: go on; -1: this call fails; 1: half of this write, then die. */
static int gate(const char *name, int directory, const char *path) {
    char full[2 * PATH_MAX], line[3 * PATH_MAX];
    int before = errno;
    if (!armed || !length || !is_ours(directory, path, full)) {
        errno = before;
        return 0;
    }
    long number = ++seen;
    if (trace >= 0) {
        int size = snprintf(line, sizeof line, "%ld %s %s\n", number, name, full + length);
        syscall(SYS_write, trace, line, size);
    }
    errno = before;
    if (mode == KILL && number == target) die();
    if (mode == HALF && number == target) return 1;
    if ((mode == ONCE && number == target) || (mode == ON && number >= target)) {
        errno = ENOSPC;
        return -1;
    }
    return 0;
}

#define REAL(name) __typeof__(name) *real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
#define GATED(type, name, parameters, directory, path, values) \
    type name parameters {                                     \
        REAL(name);                                            \
        if (gate(#name, directory, path) < 0) return (type)-1; \
        return real values;                                    \
    }

void *dlopen(const char *name, int flags) {
    REAL(dlopen);
    return real(name, flags & ~RTLD_DEEPBIND);
}

#define CHANGES(flags) ((flags) & (O_CREAT | O_TRUNC) || ((flags) & O_DIRECTORY) == O_DIRECTORY)
#define OPEN(name)                                                                        \
    int name(const char *path, int flags, ...) {                                          \
        va_list more;                                                                     \
        va_start(more, flags);                                                            \
        mode_t rights = va_arg(more, mode_t);                                             \
        va_end(more);                                                                     \
        REAL(name);                                                                       \
        if (CHANGES(flags) && gate("open", AT_FDCWD, path) < 0) return -1;                \
        return real(path, flags, rights);                                                 \
    }
OPEN(open)
OPEN(open64)
int openat(int directory, const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t rights = va_arg(more, mode_t);
    va_end(more);
    REAL(openat);
    if ((flags & (O_CREAT | O_TRUNC)) && gate("openat", directory, path) < 0) return -1;
    return real(directory, path, flags, rights);
}

ssize_t write(int file, const void *bytes, size_t size) {
    REAL(write);
    int what = gate("write", file, NULL);
    if (what < 0) return -1;
    if (what) real(file, bytes, size / 2), die();
    return real(file, bytes, size);
}
ssize_t pwrite64(int file, const void *bytes, size_t size, off64_t at) {
    REAL(pwrite64);
    int what = gate("pwrite", file, NULL);
    if (what < 0) return -1;
    if (what) real(file, bytes, size / 2, at), die();
    return real(file, bytes, size, at);
}
ssize_t pwrite(int file, const void *bytes, size_t size, off_t at) { return pwrite64(file, bytes, size, at); }

GATED(int, creat, (const char *path, mode_t rights), AT_FDCWD, path, (path, rights))
GATED(ssize_t, writev, (int file, const struct iovec *parts, int count), file, NULL, (file, parts, count))
GATED(int, rename, (const char *from, const char *to), AT_FDCWD, to, (from, to))
GATED(int, renameat, (int at, const char *from, int there, const char *to), there, to, (at, from, there, to))
GATED(int, renameat2, (int at, const char *from, int there, const char *to, unsigned flags), there, to,
      (at, from, there, to, flags))
GATED(int, link, (const char *from, const char *to), AT_FDCWD, to, (from, to))
GATED(int, linkat, (int at, const char *from, int there, const char *to, int flags), there, to,
      (at, from, there, to, flags))
GATED(int, symlink, (const char *text, const char *path), AT_FDCWD, path, (text, path))
GATED(int, unlink, (const char *path), AT_FDCWD, path, (path))
GATED(int, unlinkat, (int at, const char *path, int flags), at, path, (at, path, flags))
GATED(int, remove, (const char *path), AT_FDCWD, path, (path))
GATED(int, mkdir, (const char *path, mode_t rights), AT_FDCWD, path, (path, rights))
GATED(int, rmdir, (const char *path), AT_FDCWD, path, (path))
GATED(int, truncate, (const char *path, off_t size), AT_FDCWD, path, (path, size))
GATED(int, ftruncate, (int file, off_t size), file, NULL, (file, size))
GATED(int, ftruncate64, (int file, off64_t size), file, NULL, (file, size))
GATED(int, fallocate, (int file, int how, off_t at, off_t size), file, NULL, (file, how, at, size))
GATED(int, fsync, (int file), file, NULL, (file))
GATED(int, fdatasync, (int file), file, NULL, (file))
GATED(int, fchmod, (int file, mode_t rights), file, NULL, (file, rights))
GATED(int, chmod, (const char *path, mode_t rights), AT_FDCWD, path, (path, rights))
