/* Files: read-only maps, atomic replacement, and the folders that lull keeps things in.
 * All functions are safe to call from any thread. */
#ifndef LULL_BASE_FILE_H
#define LULL_BASE_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "error.h"

/* A whole file mapped read-only. data is a view that ends with lull_file_map_close; NULL when the
 * file is empty. inode, size and mtime identify the content well enough to cache a digest by. */
typedef struct lull_file_map {
    const uint8_t *data;
    size_t n_bytes;
    uint64_t device, inode;
    int64_t mtime_ns;
} lull_file_map;

/* Map a regular file.
 *   LULL_ENOTFOUND  no such file
 *   LULL_EIO        a directory or device, not readable, or the map failed; msg says which
 * On failure *map is zeroed. */
LULL_NODISCARD lull_status lull_file_map_open(const char *path, lull_file_map *map,
                                              lull_error *err);
void lull_file_map_close(lull_file_map *map); /* accepts a zeroed map */

/* Read a whole file, or standard input when path is "-", into *text (owned: free()),
 * NUL-terminated.
 *   LULL_ENOTFOUND  no such file
 *   LULL_EIO        not readable
 *   LULL_EINVAL     larger than max_bytes
 *   LULL_ENOMEM
 * On failure *text is NULL. */
LULL_NODISCARD lull_status lull_file_read(const char *path, size_t max_bytes, char **text,
                                          size_t *n_bytes, lull_error *err);

/* Replace path by data [n_bytes]: written beside it, then renamed, so that readers see the old or
 * the new bytes. Not synced: for caches. A failure leaves what was there:
 *   LULL_EINVAL     the path is too long
 *   LULL_ENOTFOUND  its folder is not there
 *   LULL_EIO        a full disk, no permission, and the like */
LULL_NODISCARD lull_status lull_file_replace(const char *path, const void *data, size_t n_bytes,
                                             lull_error *err);

/* Write all of data to an open file; LULL_EIO (a full disk among others) names `path`. */
LULL_NODISCARD lull_status lull_file_write_all(int fd, const char *path, const void *data,
                                               size_t n_bytes, lull_error *err);

/* Create path and its parents, mode 0700 for those that are new. A failure leaves those that were made.
 *   LULL_EINVAL     the path is empty or too long
 *   LULL_ENOTFOUND  a parent is a file, or was removed meanwhile
 *   LULL_EIO        path is a file, or one cannot be made */
LULL_NODISCARD lull_status lull_dir_create(const char *path, lull_error *err);

/* The cache folder: $LULL_CACHE, else $XDG_CACHE_HOME/lull, else $HOME/.cache/lull.
 * Writes at most cap bytes; LULL_ENOTFOUND when no variable is set, LULL_EINVAL when cap is short.
 */
LULL_NODISCARD lull_status lull_cache_dir(char *buf, size_t cap, lull_error *err);

#endif
