/* A disk that fails, for tests: see README.md. Stands between a program and its files (LD_PRELOAD), notes every write that
 * no fsync has made durable yet, and lets a chosen fsync fail. Must never change what a program without the variables
 * sees, and stops the program loudly where it would have to guess. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "journal.h"

#define FDS_MAX 65536
#define FILES_MAX 64

struct file {
    char path[PATH_MAX];
    int journal;  /* -1 without DISK_JOURNAL */
    uint64_t seq; /* of the last write */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct file files[FILES_MAX];
static int file_count;
static unsigned char watched[FDS_MAX]; /* 0, or 1 + the number of a file */
static const char *wanted, *folder, *trigger;

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) { dprintf(2, "libdisk: no %s\n", name); _exit(99); }
    return found;
}

static void stop(const char *what, const char *path) {
    dprintf(2, "libdisk: %s: %s (%s)\n", what, path, strerror(errno));
    _exit(99);
}

__attribute__((constructor)) static void start(void) {
    wanted = getenv("DISK_FILES");
    folder = getenv("DISK_JOURNAL");
    trigger = getenv("DISK_FAIL");
}

static int is_watched_path(const char *path) {
    size_t len = strlen(path);
    if (!wanted || !*wanted || !strstr(path, wanted)) return 0;
    if (folder && strncmp(path, folder, strlen(folder)) == 0) return 0;
    if (len > 4 && strcmp(path + len - 4, "-shm") == 0) return 0;
    return !(len > 5 && strcmp(path + len - 5, ".lock") == 0);
}

static void append(int journal, const void *bytes, size_t len) {
    const char *at = bytes;
    while (len > 0) {
        ssize_t done = REAL(write)(journal, at, len);
        if (done < 0) stop("the journal cannot be written", folder);
        at += done;
        len -= (size_t)done;
    }
}

static int open_journal(const char *path, int number) {
    char name[PATH_MAX];
    struct stat now;
    if (!folder) return -1;
    snprintf(name, sizeof name, "%s/%d.journal", folder, number);
    int journal = REAL(open)(name, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (journal < 0 || fstat(journal, &now) != 0) stop("the journal cannot be opened", name);
    if (now.st_size > 0) stop("an earlier process left a journal: run powercut first", name);
    append(journal, path, strlen(path) + 1);
    return journal;
}

/* Under the lock. */
static struct file *file_of(const char *path) {
    for (int n = 0; n < file_count; n++)
        if (strcmp(files[n].path, path) == 0) return &files[n];
    if (file_count == FILES_MAX) stop("too many files", path);
    struct file *file = &files[file_count];
    snprintf(file->path, sizeof file->path, "%s", path);
    file->journal = open_journal(path, file_count);
    file_count++;
    return file;
}

static struct file *of_fd(int fd) {
    return fd >= 0 && fd < FDS_MAX && watched[fd] ? &files[watched[fd] - 1] : NULL;
}

/* Under the lock; what stands where the write will go is noted first. */
static void note(struct file *file, int fd, uint32_t kind, uint64_t offset, const void *bytes, uint64_t len) {
    struct stat now;
    file->seq++;
    if (file->journal < 0) return;
    if (fstat(fd, &now) != 0) stop("fstat", file->path);
    uint64_t size = (uint64_t)now.st_size;
    uint64_t end = kind == RECORD_WRITE ? offset + len : size;
    if (end > size) end = size;
    uint64_t old_len = end > offset ? end - offset : 0;
    char *old = malloc(old_len + 1);
    /* The descriptor may be open for writing only. */
    int reader = REAL(open)(file->path, O_RDONLY | O_CLOEXEC);
    if (!old || reader < 0 || pread(reader, old, old_len, (off_t)offset) != (ssize_t)old_len) stop("read", file->path);
    REAL(close)(reader);
    struct record record = {kind, 0, file->seq, offset, kind == RECORD_WRITE ? len : 0, old_len, size};
    append(file->journal, &record, sizeof record);
    append(file->journal, old, old_len);
    append(file->journal, bytes, record.new_len);
    free(old);
}

static int opened(int fd, const char *path) {
    char full[PATH_MAX];
    if (fd < 0 || fd >= FDS_MAX || !realpath(path, full) || !is_watched_path(full)) return fd;
    pthread_mutex_lock(&lock);
    watched[fd] = (unsigned char)(file_of(full) - files + 1);
    pthread_mutex_unlock(&lock);
    return fd;
}

/* Truncating on opening is a truncation like any other. */
static void before_open(const char *path, int flags) {
    char full[PATH_MAX];
    if (!(flags & O_TRUNC) || !realpath(path, full) || !is_watched_path(full)) return;
    int fd = REAL(open)(full, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    pthread_mutex_lock(&lock);
    note(file_of(full), fd, RECORD_TRUNCATE, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    REAL(close)(fd);
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }

int open(const char *path, int flags, ...) {
    MODE(flags)
    before_open(path, flags);
    return opened(REAL(open)(path, flags, mode), path);
}

int open64(const char *path, int flags, ...) {
    MODE(flags)
    before_open(path, flags);
    return opened(REAL(open64)(path, flags, mode), path);
}

int openat(int dir, const char *path, int flags, ...) {
    MODE(flags)
    int plain = dir == AT_FDCWD || path[0] == '/';
    if (plain) before_open(path, flags);
    int fd = REAL(openat)(dir, path, flags, mode);
    return plain ? opened(fd, path) : fd;
}

int openat64(int dir, const char *path, int flags, ...) {
    MODE(flags)
    int plain = dir == AT_FDCWD || path[0] == '/';
    if (plain) before_open(path, flags);
    int fd = REAL(openat64)(dir, path, flags, mode);
    return plain ? opened(fd, path) : fd;
}

/* A duplicate is the same file. */
static int duplicated(int from, int to) {
    if (from >= 0 && from < FDS_MAX && to >= 0 && to < FDS_MAX) watched[to] = watched[from];
    return to;
}

int dup(int fd) {
    return duplicated(fd, REAL(dup)(fd));
}

#define FCNTL(name) \
    int name(int fd, int command, ...) { \
        va_list rest; \
        va_start(rest, command); \
        void *argument = va_arg(rest, void *); \
        va_end(rest); \
        int result = REAL(name)(fd, command, argument); \
        int duplicates = command == F_DUPFD || command == F_DUPFD_CLOEXEC; \
        return duplicates ? duplicated(fd, result) : result; \
    }

FCNTL(fcntl)
FCNTL(fcntl64)

int close(int fd) {
    if (fd >= 0 && fd < FDS_MAX) watched[fd] = 0;
    return REAL(close)(fd);
}

static ssize_t write_at(struct file *file, int fd, const void *bytes, size_t len, off_t offset) {
    pthread_mutex_lock(&lock);
    note(file, fd, RECORD_WRITE, (uint64_t)offset, bytes, len);
    ssize_t done = REAL(pwrite)(fd, bytes, len, offset);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset) {
    struct file *file = of_fd(fd);
    return file ? write_at(file, fd, bytes, len, offset) : REAL(pwrite)(fd, bytes, len, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t offset) {
    struct file *file = of_fd(fd);
    return file ? write_at(file, fd, bytes, len, offset) : REAL(pwrite64)(fd, bytes, len, offset);
}

ssize_t write(int fd, const void *bytes, size_t len) {
    struct file *file = of_fd(fd);
    if (!file) return REAL(write)(fd, bytes, len);
    int flags = fcntl(fd, F_GETFL);
    off_t offset = lseek(fd, 0, flags & O_APPEND ? SEEK_END : SEEK_CUR);
    ssize_t done = write_at(file, fd, bytes, len, offset);
    if (done > 0) lseek(fd, offset + done, SEEK_SET);
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (of_fd(fd)) stop("writev is not watched", of_fd(fd)->path);
    return REAL(writev)(fd, parts, count);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    if (of_fd(fd)) stop("pwritev is not watched", of_fd(fd)->path);
    return REAL(pwritev)(fd, parts, count, offset);
}

static int truncate_to(struct file *file, int fd, off_t len) {
    pthread_mutex_lock(&lock);
    note(file, fd, RECORD_TRUNCATE, (uint64_t)len, NULL, 0);
    int done = REAL(ftruncate)(fd, len);
    pthread_mutex_unlock(&lock);
    return done;
}

int ftruncate(int fd, off_t len) {
    struct file *file = of_fd(fd);
    return file ? truncate_to(file, fd, len) : REAL(ftruncate)(fd, len);
}

int ftruncate64(int fd, off64_t len) {
    struct file *file = of_fd(fd);
    return file ? truncate_to(file, fd, len) : REAL(ftruncate64)(fd, len);
}

/* Whether this fsync is the one to fail: the trigger is there, and names the file or none. */
static int fails(const struct file *file) {
    char text[PATH_MAX] = "";
    if (!trigger) return 0;
    int fd = REAL(open)(trigger, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t len = read(fd, text, sizeof text - 1);
    REAL(close)(fd);
    text[len > 0 ? len : 0] = 0;
    text[strcspn(text, "\n")] = 0;
    /* Of several at once, the one that takes the trigger away. */
    return strstr(file->path, text) && unlink(trigger) == 0;
}

static int sync_with(struct file *file, int fd, int (*sync)(int)) {
    pthread_mutex_lock(&lock);
    uint64_t upto = file->seq;
    int failing = fails(file);
    pthread_mutex_unlock(&lock);
    if (failing) { errno = EIO; return -1; }
    int done = sync(fd);
    if (done != 0 || file->journal < 0) return done;
    pthread_mutex_lock(&lock);
    if (file->seq == upto) { /* nothing undurable is left */
        if (REAL(ftruncate)(file->journal, (off_t)strlen(file->path) + 1) != 0) stop("ftruncate", folder);
    } else {
        struct record record = {RECORD_SYNC, 0, upto, 0, 0, 0, 0};
        append(file->journal, &record, sizeof record);
    }
    pthread_mutex_unlock(&lock);
    return done;
}

int fsync(int fd) {
    struct file *file = of_fd(fd);
    return file ? sync_with(file, fd, REAL(fsync)) : REAL(fsync)(fd);
}

int fdatasync(int fd) {
    struct file *file = of_fd(fd);
    return file ? sync_with(file, fd, REAL(fdatasync)) : REAL(fdatasync)(fd);
}
