/* A disk that can be watched, and told to fail.
 *
 * Preloaded (LD_PRELOAD) into a process that keeps a store, it stands before the calls that change
 * files. Files other than the store's own are not its business.
 *
 *   FAULTS_STORE    the store, an absolute path without links; its logs are PATH-wal and PATH-journal.
 *   FAULTS_CONTROL  while this file exists, calls fail: `w28` fails writes with errno 28, `s5`
 *                   syncs with errno 5.
 *   FAULTS_TRACE    every change is written down there, in the order in which they were made. What
 *                   the process itself writes to PATH.marks is written down between them.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum { STORE, WAL, JOURNAL, MARKS, OTHER };

/* Before the bytes of a write; tests/crash/disk.py reads it. */
struct change {
    uint8_t kind; /* write, truncate, sync, unlink: by the first letter */
    uint8_t file;
    uint8_t unused[6];
    int64_t offset;
    int64_t length;
};

static const char *store, *control;
static int trace = -1;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_pwrite64)(int, const void *, size_t, off64_t);
static int (*real_ftruncate)(int, off_t);
static int (*real_ftruncate64)(int, off64_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_unlink)(const char *);

__attribute__((constructor)) static void begin(void)
{
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite");
    real_pwrite64 = dlsym(RTLD_NEXT, "pwrite64");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate");
    real_ftruncate64 = dlsym(RTLD_NEXT, "ftruncate64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    store = getenv("FAULTS_STORE");
    control = getenv("FAULTS_CONTROL");
    const char *path = getenv("FAULTS_TRACE");
    if (path != NULL)
        trace = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int named(const char *path)
{
    if (store == NULL)
        return OTHER;
    size_t length = strlen(store);
    if (strncmp(path, store, length) != 0)
        return OTHER;
    if (path[length] == '\0')
        return STORE;
    if (strcmp(path + length, "-wal") == 0)
        return WAL;
    if (strcmp(path + length, "-journal") == 0)
        return JOURNAL;
    return strcmp(path + length, ".marks") == 0 ? MARKS : OTHER;
}

static int file_of(int fd)
{
    if (store == NULL)
        return OTHER;
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return OTHER;
    path[length] = '\0';
    return named(path);
}

static int fails(int file, char kind)
{
    if (control == NULL || file == MARKS)
        return 0;
    int fd = open(control, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    char told[16] = "";
    ssize_t length = read(fd, told, sizeof told - 1);
    close(fd);
    if (length < 2 || told[0] != kind)
        return 0;
    errno = atoi(told + 1);
    return 1;
}

static void note(char kind, int file, int64_t offset, int64_t length, const void *bytes)
{
    if (trace < 0)
        return;
    int before = errno;
    struct change change = {.kind = kind, .file = file, .offset = offset, .length = length};
    if (real_write(trace, &change, sizeof change) != sizeof change)
        abort();
    if (bytes != NULL && real_write(trace, bytes, length) != length)
        abort();
    errno = before;
}

/* Do CALL, and write it down if it is done. */
#define DO(TYPE, FILE, FAILS_AS, CALL, NOTE)                                                       \
    do {                                                                                           \
        pthread_mutex_lock(&turn);                                                                 \
        TYPE done = fails(FILE, FAILS_AS) ? -1 : (CALL);                                           \
        if (done >= 0)                                                                             \
            NOTE;                                                                                  \
        pthread_mutex_unlock(&turn);                                                               \
        return done;                                                                               \
    } while (0)

ssize_t write(int fd, const void *bytes, size_t length)
{
    int file = file_of(fd);
    if (file == OTHER)
        return real_write(fd, bytes, length);
    off_t offset = lseek(fd, 0, SEEK_CUR);
    DO(ssize_t, file, 'w', real_write(fd, bytes, length),
       note('w', file, offset, done, bytes));
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
    int file = file_of(fd);
    if (file == OTHER)
        return real_pwrite(fd, bytes, length, offset);
    DO(ssize_t, file, 'w', real_pwrite(fd, bytes, length, offset),
       note('w', file, offset, done, bytes));
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset)
{
    int file = file_of(fd);
    if (file == OTHER)
        return real_pwrite64(fd, bytes, length, offset);
    DO(ssize_t, file, 'w', real_pwrite64(fd, bytes, length, offset),
       note('w', file, offset, done, bytes));
}

int ftruncate(int fd, off_t length)
{
    int file = file_of(fd);
    if (file == OTHER)
        return real_ftruncate(fd, length);
    DO(int, file, 'w', real_ftruncate(fd, length), note('t', file, 0, length, NULL));
}

int ftruncate64(int fd, off64_t length)
{
    int file = file_of(fd);
    if (file == OTHER)
        return real_ftruncate64(fd, length);
    DO(int, file, 'w', real_ftruncate64(fd, length), note('t', file, 0, length, NULL));
}

int fsync(int fd)
{
    int file = file_of(fd);
    if (file == OTHER)
        return real_fsync(fd);
    DO(int, file, 's', real_fsync(fd), note('s', file, 0, 0, NULL));
}

int fdatasync(int fd)
{
    int file = file_of(fd);
    if (file == OTHER)
        return real_fdatasync(fd);
    DO(int, file, 's', real_fdatasync(fd), note('s', file, 0, 0, NULL));
}

int unlink(const char *path)
{
    int file = named(path);
    if (file == OTHER)
        return real_unlink(path);
    DO(int, file, 'w', real_unlink(path), note('u', file, 0, 0, NULL));
}
