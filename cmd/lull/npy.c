#include "npy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buffer.h"

enum { HEADER_BYTES = 128 };

static lull_status io_error(const lull_npy *w, const char *what, lull_error *err)
{
    return lull_fail(err, LULL_EIO, "%s: cannot %s: %s", w->path, what,
                     errno ? strerror(errno) : "write failed");
}

static lull_status write_header(lull_npy *w, size_t n_rows, size_t n_cols, lull_error *err)
{
    /* Magic, version 1.0, length of the rest (little-endian), a Python dict padded with blanks. */
    char header[HEADER_BYTES + 1] = "\x93NUMPY\x01";
    header[8] = HEADER_BYTES - 10;
    int n =
        snprintf(header + 10, HEADER_BYTES - 10,
                 "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu), }", n_rows, n_cols);
    memset(header + 10 + n, ' ', (size_t)(HEADER_BYTES - 10 - n));
    header[HEADER_BYTES - 1] = '\n';
    errno = 0;
    if (fwrite(header, HEADER_BYTES, 1, w->file) == 1) return LULL_OK;
    return io_error(w, "write", err);
}

/* The file that the rows go to. */
static lull_status open_target(lull_npy *w, const char *path, lull_error *err)
{
    struct stat st;
    bool exists = stat(path, &st) == 0;
    /* Through a symbolic link the file behind it is replaced, not the link. */
    w->path = exists && S_ISREG(st.st_mode) ? realpath(path, NULL) : strdup(path);
    if (!w->path) return lull_fail(err, LULL_ENOMEM, "no memory for the path %s", path);
    errno = EISDIR;
    if (exists && S_ISDIR(st.st_mode)) return io_error(w, "write", err);
    if (exists && !S_ISREG(st.st_mode)) {
        w->file = fopen(path, "wbe");
        return w->file ? LULL_OK : io_error(w, "open", err);
    }
    lull_buffer temp = {0};
    lull_buffer_printf(&temp, "%s.XXXXXX", w->path);
    w->temp_path = lull_buffer_take(&temp, NULL);
    if (!w->temp_path) return lull_fail(err, LULL_ENOMEM, "no memory for the path %s", path);
    int fd = mkostemp(w->temp_path, O_CLOEXEC);
    if (fd < 0) {
        free(w->temp_path);
        w->temp_path = NULL;
        return io_error(w, "create", err);
    }
    /* mkostemp gives 0600; the file gets what its predecessor had, or what any new file gets. */
    mode_t mask = umask(0);
    umask(mask);
    if (fchmod(fd, exists ? st.st_mode & 0777 : 0666 & ~mask) != 0) errno = 0;
    w->file = fdopen(fd, "wb");
    if (w->file) return LULL_OK;
    close(fd);
    return io_error(w, "open", err);
}

lull_status lull_npy_create(lull_npy *w, const char *path, size_t n_rows, size_t n_cols,
                            lull_error *err)
{
    *w = (lull_npy){0};
    lull_status st = LULL_OK;
    LULL_TRY(open_target(w, path, err));
    off_t n_bytes = (off_t)(HEADER_BYTES + n_rows * n_cols * sizeof(float));
    if (w->temp_path && fallocate(fileno(w->file), 0, 0, n_bytes) != 0 && errno == ENOSPC)
        LULL_TRY(io_error(w, "write", err));
    LULL_TRY(write_header(w, n_rows, n_cols, err));
done:
    if (st != LULL_OK) lull_npy_discard(w);
    return st;
}

lull_status lull_npy_write(lull_npy *w, const float *row, size_t n_cols, lull_error *err)
{
    errno = 0;
    if (fwrite(row, sizeof *row, n_cols, w->file) == n_cols) return LULL_OK;
    return io_error(w, "write", err);
}

lull_status lull_npy_commit(lull_npy *w, lull_error *err)
{
    lull_status st = LULL_OK;
    errno = 0;
    int rc = fclose(w->file);
    w->file = NULL;
    if (rc != 0) LULL_TRY(io_error(w, "write", err));
    if (w->temp_path && rename(w->temp_path, w->path) != 0) LULL_TRY(io_error(w, "create", err));
    free(w->temp_path);
    w->temp_path = NULL;
done:
    lull_npy_discard(w);
    return st;
}

void lull_npy_discard(lull_npy *w)
{
    if (w->file) fclose(w->file);
    if (w->temp_path) unlink(w->temp_path);
    free(w->temp_path);
    free(w->path);
    *w = (lull_npy){0};
}
