/* One entry of a journal, which begins with the file's path and a zero byte. */
#include <stdint.h>

enum { RECORD_SYNC = 1, RECORD_TRUNCATE = 2, RECORD_WRITE = 3 };

/* Followed by the old bytes, then the new ones. */
struct record {
    uint32_t kind;
    uint32_t unused;
    uint64_t seq;     /* of a sync: the last write that it made durable */
    uint64_t offset;  /* of a truncation: the new length */
    uint64_t new_len;
    uint64_t old_len;
    uint64_t size;    /* of the file before */
};
