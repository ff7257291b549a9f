/* Runs a fuzz target over files instead of random bytes: replay PATH...
 * A folder stands for the files in it. Each input is copied to memory of exactly its length, so
 * that a sanitizer sees a read past the end. Exits 1 when there was nothing to run. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static int n_run;

static void fail(const char *path, const char *what)
{
    fprintf(stderr, "replay: %s: %s\n", path, what);
    exit(1);
}

static void run_file(const char *path, size_t n_bytes)
{
    FILE *f = fopen(path, "rb");
    if (!f) fail(path, "cannot be opened");
    uint8_t *data = malloc(n_bytes ? n_bytes : 1);
    if (!data) fail(path, "out of memory");
    if (fread(data, 1, n_bytes, f) != n_bytes) fail(path, "cannot be read");
    fclose(f);
    printf("%s (%zu bytes)\n", path, n_bytes);
    fflush(stdout); /* so that the last line names the input that crashes */
    LLVMFuzzerTestOneInput(data, n_bytes);
    free(data);
    n_run++;
}

static void run_path(const char *path)
{
    struct stat info;
    if (stat(path, &info) < 0) fail(path, "not found");
    if (!S_ISDIR(info.st_mode)) {
        run_file(path, (size_t)info.st_size);
        return;
    }
    struct dirent **entries;
    int n = scandir(path, &entries, NULL, alphasort);
    if (n < 0) fail(path, "cannot be listed");
    for (int i = 0; i < n; i++) {
        if (entries[i]->d_name[0] != '.') {
            char child[4096];
            int len = snprintf(child, sizeof child, "%s/%s", path, entries[i]->d_name);
            if (len < 0 || (size_t)len >= sizeof child) fail(path, "name too long");
            run_path(child);
        }
        free(entries[i]);
    }
    free(entries);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) run_path(argv[i]);
    printf("%d inputs\n", n_run);
    return n_run == 0;
}
