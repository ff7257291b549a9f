/* The few calls by which the store changes a disk: every byte, sync and name goes through here, so
 * that what can fail is in one place. Messages name the file and what to do.
 *
 * Statuses: LULL_EFULL for a full disk or quota, else LULL_EIO. Safe from any thread. */
#ifndef LULL_STATE_DISK_H
#define LULL_STATE_DISK_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

/* Write all of data at offset. What was written before a failure stays there. */
LULL_NODISCARD lull_status lull_disk_write(int fd, const char *path, const void *data,
                                           size_t n_bytes, uint64_t offset, lull_error *err);
/* Read exactly n_bytes at offset. LULL_ECORRUPT when the file ends before. */
LULL_NODISCARD lull_status lull_disk_read(int fd, const char *path, void *data, size_t n_bytes,
                                          uint64_t offset, lull_error *err);
/* Make the bytes of a file durable. After a failure the system may have dropped them and forgotten
 * that it did: neither the bytes nor a second sync can be relied upon. */
LULL_NODISCARD lull_status lull_disk_sync(int fd, const char *path, lull_error *err);
/* Make a folder's entries durable. */
LULL_NODISCARD lull_status lull_disk_sync_folder(const char *folder, lull_error *err);
LULL_NODISCARD lull_status lull_disk_cut(int fd, const char *path, uint64_t n_bytes,
                                         lull_error *err);
LULL_NODISCARD lull_status lull_disk_rename(const char *from, const char *to, lull_error *err);
/* A file that is not there is no failure. */
LULL_NODISCARD lull_status lull_disk_unlink(const char *path, lull_error *err);
/* The bytes that a file has now. */
LULL_NODISCARD lull_status lull_disk_size(int fd, const char *path, uint64_t *n_bytes,
                                          lull_error *err);
/* Milliseconds since 1970. */
uint64_t lull_disk_now_ms(void);
/* n bytes that no other process draws. */
void lull_disk_random(void *bytes, size_t n);

#endif
