#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buffer.h"

static lull_status fail_errno(lull_error *err, const char *path, int code)
{
    lull_status st = code == ENOENT || code == ENOTDIR ? LULL_ENOTFOUND : LULL_EIO;
    return lull_fail(err, st, "%s: %s", path, strerror(code));
}

/* Open a regular file for reading and stat it. */
static lull_status open_regular(const char *path, int *fd, struct stat *info, lull_error *err)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* not to hang on a pipe */
    if (*fd < 0) return fail_errno(err, path, errno);
    if (fstat(*fd, info) < 0) {
        int code = errno;
        close(*fd);
        return fail_errno(err, path, code);
    }
    if (!S_ISREG(info->st_mode)) {
        close(*fd);
        return lull_fail(err, LULL_EIO, "%s: %s, a regular file is needed", path,
                         S_ISDIR(info->st_mode) ? "is a directory" : "is not a regular file");
    }
    return LULL_OK;
}

lull_status lull_file_map_open(const char *path, lull_file_map *map, lull_error *err)
{
    *map = (lull_file_map){0};
    int fd;
    struct stat info;
    lull_status st = open_regular(path, &fd, &info, err);
    if (st != LULL_OK) return st;
    void *data = NULL;
    if (info.st_size > 0) {
        data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (data == MAP_FAILED) st = fail_errno(err, path, errno);
    }
    close(fd);
    if (st != LULL_OK) return st;
    *map = (lull_file_map){
        .data = data,
        .n_bytes = (size_t)info.st_size,
        .device = info.st_dev,
        .inode = info.st_ino,
        .mtime_ns = (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec,
    };
    return LULL_OK;
}

void lull_file_map_close(lull_file_map *map)
{
    if (map->data) munmap((void *)(uintptr_t)map->data, map->n_bytes);
    *map = (lull_file_map){0};
}

lull_status lull_file_read(const char *path, size_t max_bytes, char **text, size_t *n_bytes,
                           lull_error *err)
{
    *text = NULL;
    *n_bytes = 0;
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = STDIN_FILENO;
    if (!is_stdin) {
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) return fail_errno(err, path, errno);
    }
    lull_status st = LULL_OK;
    lull_buffer b = {0};
    char chunk[64 * 1024];
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            st = fail_errno(err, is_stdin ? "standard input" : path, errno);
            break;
        }
        if (n == 0) break;
        if ((size_t)n > max_bytes - b.n_bytes) {
            st = lull_fail(err, LULL_EINVAL, "%s: larger than %zu bytes", path, max_bytes);
            break;
        }
        lull_buffer_append(&b, chunk, (size_t)n);
    }
    if (!is_stdin) close(fd);
    if (st == LULL_OK && !(*text = lull_buffer_take(&b, n_bytes)))
        st = lull_fail(err, LULL_ENOMEM, "%s: out of memory", path);
    lull_buffer_fini(&b);
    return st;
}

lull_status lull_file_write_all(int fd, const char *path, const void *data, size_t n_bytes,
                                lull_error *err)
{
    const char *p = data;
    while (n_bytes > 0) {
        ssize_t n = write(fd, p, n_bytes < (1u << 30) ? n_bytes : (1u << 30));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail_errno(err, path, errno);
        p += n;
        n_bytes -= (size_t)n;
    }
    return LULL_OK;
}

lull_status lull_file_replace(const char *path, const void *data, size_t n_bytes, lull_error *err)
{
    char temp[4096];
    int n = snprintf(temp, sizeof temp, "%s.%ld.tmp", path, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof temp) return lull_fail(err, LULL_EINVAL, "file name too long");
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return fail_errno(err, temp, errno);
    lull_status st = lull_file_write_all(fd, path, data, n_bytes, err);
    if (close(fd) < 0 && st == LULL_OK) st = fail_errno(err, path, errno);
    if (st == LULL_OK && rename(temp, path) < 0) st = fail_errno(err, path, errno);
    if (st != LULL_OK) unlink(temp);
    return st;
}

lull_status lull_dir_create(const char *path, lull_error *err)
{
    char part[4096];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof part)
        return lull_fail(err, LULL_EINVAL, "folder name has %zu bytes", n);
    memcpy(part, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (part[i] != '/' && part[i] != '\0') continue;
        char saved = part[i];
        part[i] = '\0';
        if (mkdir(part, 0700) < 0 && errno != EEXIST) return fail_errno(err, part, errno);
        part[i] = saved;
    }
    struct stat info;
    if (stat(path, &info) < 0) return fail_errno(err, path, errno);
    if (!S_ISDIR(info.st_mode)) return lull_fail(err, LULL_EIO, "%s: is not a folder", path);
    return LULL_OK;
}

lull_status lull_cache_dir(char *buf, size_t cap, lull_error *err)
{
    const char *own = getenv("LULL_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n;
    if (own && *own)
        n = snprintf(buf, cap, "%s", own);
    else if (xdg && *xdg)
        n = snprintf(buf, cap, "%s/lull", xdg);
    else if (home && *home)
        n = snprintf(buf, cap, "%s/.cache/lull", home);
    else
        return lull_fail(err, LULL_ENOTFOUND, "no cache folder: set LULL_CACHE or HOME");
    if (n < 0 || (size_t)n >= cap) return lull_fail(err, LULL_EINVAL, "cache folder name too long");
    return LULL_OK;
}
