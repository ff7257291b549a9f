#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static lull_status fail_disk(lull_error *err, const char *path, const char *what, int code)
{
    if (code == ENOSPC || code == EDQUOT)
        return lull_fail(err, LULL_EFULL,
                         "%s: no room left on the disk (%s): make room, or `lull gc`", path,
                         strerror(code));
    return lull_fail(err, LULL_EIO, "%s: cannot %s: %s", path, what, strerror(code));
}

lull_status lull_disk_write(int fd, const char *path, const void *data, size_t n_bytes,
                            uint64_t offset, lull_error *err)
{
    const char *p = data;
    size_t n_left = n_bytes;
    while (n_left > 0) {
        ssize_t n = pwrite(fd, p, n_left < (1u << 30) ? n_left : (1u << 30), (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            int code = n == 0 ? ENOSPC : errno;
            lull_status st = fail_disk(err, path, "write", code);
            if (st == LULL_EFULL)
                lull_fail(err, st, "%s: no room for %zu more bytes (%s): make room, or `lull gc`",
                          path, n_left, strerror(code));
            return st;
        }
        p += n;
        offset += (uint64_t)n;
        n_left -= (size_t)n;
    }
    return LULL_OK;
}

lull_status lull_disk_read(int fd, const char *path, void *data, size_t n_bytes, uint64_t offset,
                           lull_error *err)
{
    char *p = data;
    while (n_bytes > 0) {
        ssize_t n = pread(fd, p, n_bytes < (1u << 30) ? n_bytes : (1u << 30), (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail_disk(err, path, "read", errno);
        if (n == 0)
            return lull_fail(err, LULL_ECORRUPT, "%s: ends at offset %llu, %zu bytes too early",
                             path, (unsigned long long)offset, n_bytes);
        p += n;
        offset += (uint64_t)n;
        n_bytes -= (size_t)n;
    }
    return LULL_OK;
}

lull_status lull_disk_sync(int fd, const char *path, lull_error *err)
{
    return fdatasync(fd) < 0 ? fail_disk(err, path, "sync", errno) : LULL_OK;
}

lull_status lull_disk_sync_folder(const char *folder, lull_error *err)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return fail_disk(err, folder, "open", errno);
    lull_status st = fsync(fd) < 0 ? fail_disk(err, folder, "sync", errno) : LULL_OK;
    close(fd);
    return st;
}

lull_status lull_disk_cut(int fd, const char *path, uint64_t n_bytes, lull_error *err)
{
    return ftruncate(fd, (off_t)n_bytes) < 0 ? fail_disk(err, path, "cut", errno) : LULL_OK;
}

lull_status lull_disk_rename(const char *from, const char *to, lull_error *err)
{
    return rename(from, to) < 0 ? fail_disk(err, from, "rename", errno) : LULL_OK;
}

lull_status lull_disk_unlink(const char *path, lull_error *err)
{
    if (unlink(path) < 0 && errno != ENOENT) return fail_disk(err, path, "remove", errno);
    return LULL_OK;
}

lull_status lull_disk_size(int fd, const char *path, uint64_t *n_bytes, lull_error *err)
{
    struct stat info;
    if (fstat(fd, &info) < 0) return fail_disk(err, path, "ask about", errno);
    *n_bytes = (uint64_t)info.st_size;
    return LULL_OK;
}

uint64_t lull_disk_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void lull_disk_random(void *bytes, size_t n)
{
    randombytes_buf(bytes, n);
}
