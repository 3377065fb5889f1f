/* Plays a power cut after the program was killed: takes back what no fsync had made durable. See README.md. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal.h"

#define SECTOR 512

static uint64_t luck;

static uint64_t dice(void) {
    luck ^= luck >> 12;
    luck ^= luck << 25;
    luck ^= luck >> 27;
    return luck * 0x2545F4914F6CDD1DULL >> 33;
}

static void stop(const char *what, const char *path) {
    fprintf(stderr, "powercut: %s: ", path);
    perror(what);
    exit(1);
}

static void put(int fd, const char *bytes, uint64_t len, uint64_t offset, const char *path) {
    if (pwrite(fd, bytes, len, (off_t)offset) != (ssize_t)len) stop("write", path);
}

/* Sectors that got onto the disk, each or none. */
static int put_sectors(int fd, const char *bytes, const struct record *record, const char *path) {
    int dropped = 0;
    for (uint64_t at = 0; at < record->new_len;) {
        uint64_t step = SECTOR - (record->offset + at) % SECTOR;
        if (step > record->new_len - at) step = record->new_len - at;
        if (dice() & 1) put(fd, bytes + at, step, record->offset + at, path);
        else dropped = 1;
        at += step;
    }
    return dropped;
}

static void cut(char *journal, size_t len, const char *how) {
    const char *path = journal, *end = journal + len;
    char *at = journal + strlen(path) + 1;
    size_t count = 0, room = 0, undurable = 0, dropped = 0;
    struct record **records = NULL;
    uint64_t durable = 0;
    while (at + sizeof(struct record) <= end) {
        struct record *record = (struct record *)at;
        char *next = at + sizeof *record + record->old_len + record->new_len;
        if (next > end) break; /* the kill came between noting and writing */
        if (count == room) {
            room = room ? room * 2 : 1024;
            records = realloc(records, room * sizeof *records);
            if (!records) stop("memory", path);
        }
        records[count++] = record;
        if (record->kind == RECORD_SYNC && record->seq > durable) durable = record->seq;
        at = next;
    }
    int fd = open(path, O_RDWR);
    if (fd < 0) { printf("%s: gone\n", path); free(records); return; }
    for (size_t n = count; n-- > 0;) {
        struct record *record = records[n];
        if (record->kind == RECORD_SYNC || record->seq <= durable) continue;
        put(fd, (char *)(record + 1), record->old_len, record->offset, path);
        if (ftruncate(fd, (off_t)record->size) != 0) stop("ftruncate", path);
        undurable++;
    }
    for (size_t n = 0; n < count; n++) {
        struct record *record = records[n];
        if (record->kind == RECORD_SYNC || record->seq <= durable) continue;
        int torn = strcmp(how, "torn") == 0 && record->kind == RECORD_WRITE;
        int keep = strcmp(how, "none") == 0 || (strcmp(how, "all") != 0 && dice() & 1);
        if (torn) dropped += (size_t)put_sectors(fd, (char *)(record + 1) + record->old_len, record, path);
        else if (!keep) dropped++;
        else if (record->kind == RECORD_WRITE) put(fd, (char *)(record + 1) + record->old_len, record->new_len, record->offset, path);
        else if (ftruncate(fd, (off_t)record->offset) != 0) stop("ftruncate", path);
    }
    if (fsync(fd) != 0) stop("fsync", path);
    close(fd);
    free(records);
    printf("%s: %zu undurable, %zu dropped\n", path, undurable, dropped);
}

int main(int argc, char **argv) {
    const char *ways[] = {"all", "none", "some", "torn"};
    int known = 0;
    for (size_t n = 0; argc == 4 && n < 4; n++) known |= strcmp(argv[2], ways[n]) == 0;
    if (!known) { fprintf(stderr, "usage: powercut DIR all|none|some|torn SEED\n"); return 2; }
    luck = strtoull(argv[3], NULL, 10) | 1;
    DIR *dir = opendir(argv[1]);
    if (!dir) stop("opendir", argv[1]);
    for (struct dirent *entry; (entry = readdir(dir));) {
        char name[PATH_MAX];
        struct stat now;
        size_t len = strlen(entry->d_name);
        if (len < 8 || strcmp(entry->d_name + len - 8, ".journal") != 0) continue;
        snprintf(name, sizeof name, "%s/%s", argv[1], entry->d_name);
        int fd = open(name, O_RDONLY);
        if (fd < 0 || fstat(fd, &now) != 0) stop("open", name);
        char *journal = calloc(1, (size_t)now.st_size + 1);
        if (!journal || read(fd, journal, (size_t)now.st_size) != now.st_size) stop("read", name);
        close(fd);
        cut(journal, (size_t)now.st_size, argv[2]);
        free(journal);
        unlink(name);
    }
    closedir(dir);
    return 0;
}
