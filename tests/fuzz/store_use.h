/* What the fuzz targets of the store do with one that opened: everything. */
#ifndef LULL_TESTS_STORE_USE_H
#define LULL_TESTS_STORE_USE_H

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store.h"
#include "store_recipe.h"

static volatile uint8_t sink;

static inline void touch(const void *p, size_t n)
{
    const uint8_t *bytes = p;
    uint8_t sum = 0;
    for (size_t i = 0; i < n; i++) sum ^= bytes[i];
    sink ^= sum;
}

static inline void write_file(const char *path, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(bytes, 1, n, f) == n && fclose(f) == 0);
}

/* A folder that is this process's own, in memory where there is such. */
static inline const char *own_folder(void)
{
    static char folder[64];
    if (*folder) return folder;
    snprintf(folder, sizeof folder, "/dev/shm/lull-fuzz-XXXXXX");
    if (mkdtemp(folder)) return folder;
    snprintf(folder, sizeof folder, "/tmp/lull-fuzz-XXXXXX");
    CHECK(mkdtemp(folder));
    return folder;
}

static inline void empty_folder(const char *path)
{
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        char child[512];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        snprintf(child, sizeof child, "%.200s/%.255s", path, e->d_name);
        empty_folder(child);
        if (rmdir(child) < 0) unlink(child);
    }
    if (dir) closedir(dir);
}

static inline void remove_own_folder(void)
{
    empty_folder(own_folder());
    rmdir(own_folder());
}

static char last_finding[1024];

static inline bool count_finding(void *user, const char *file, uint64_t offset, const char *what)
{
    CHECK(*file && *what);
    snprintf(last_finding, sizeof last_finding, "%s: %llu: %s", file, (unsigned long long)offset,
             what);
    ++*(size_t *)user;
    return true;
}

/* Map a state, compare its planes with their checksums, and read them: a view is inside its file. */
static inline void use_pages(lull_store *s, int64_t id, size_t n_pages, size_t n_tail)
{
    lull_error err;
    lull_store_view *views = calloc(n_pages + 1, sizeof *views);
    CHECK(views);
    if (lull_store_map(s, id, views, &err) == LULL_OK) {
        for (size_t i = 0; i < n_pages + (n_tail > 0); i++) {
            touch(views[i].tokens, 4 * (i < n_pages ? 64 : n_tail));
            if (lull_store_check(s, &views[i], &err) != LULL_OK) continue;
            for (int k = 0; k < LULL_STORE_PLANES; k++)
                if (views[i].planes[k]) touch(views[i].planes[k], views[i].plane_bytes[k]);
        }
        lull_store_unpin(s, views, n_pages + (n_tail > 0));
    }
    free(views);
}

static inline void use_state(lull_store *s, int64_t id)
{
    lull_error err;
    lull_store_state got;
    if (lull_store_get(s, id, true, &got, &err) != LULL_OK) return;
    CHECK(got.id == id && got.n_tail < 64 && got.n_tokens == 64 * got.n_pages + got.n_tail);
    touch(got.card, strlen(got.card));
    touch(got.session, strlen(got.session));
    for (size_t i = 0; i < got.n_names; i++) {
        int64_t named;
        size_t token, n;
        lull_store_move *moves;
        if (lull_store_resolve(s, got.names[i], &named, &token, &err) == LULL_OK)
            CHECK(named == id || strpbrk(got.names[i], ":@#"));
        if (lull_store_history(s, got.names[i], &moves, &n, &err) == LULL_OK) {
            CHECK(n > 0 && moves[0].state == id);
            free(moves);
        }
    }
    for (size_t i = 0; i < got.n_tags; i++) touch(got.tags[i], strlen(got.tags[i]));
    use_pages(s, id, got.n_pages, got.n_tail);
    int32_t *tokens;
    size_t n_tokens;
    if (lull_store_get_tokens(s, id, &tokens, &n_tokens, &err) == LULL_OK) {
        CHECK(n_tokens == got.n_tokens);
        touch(tokens, 4 * n_tokens);
        free(tokens);
    }
    lull_store_state_fini(&got);
}

/* Returns how many findings verify has; SIZE_MAX when it could not look. */
static inline size_t use_store(lull_store *s)
{
    lull_error err;
    int64_t *ids;
    size_t n, n_bad = 0, n_told = 0;
    if (lull_store_list(s, &ids, &n, &err) == LULL_OK) {
        for (size_t i = 0; i < n; i++) use_state(s, ids[i]);
        free(ids);
    }
    lull_store_info info;
    lull_status st = lull_store_get_info(s, &info, &err);
    st = lull_store_verify(s, count_finding, &n_told, &n_bad, &err);
    CHECK(n_told == n_bad);
    return st == LULL_OK ? n_bad : SIZE_MAX;
}

static inline void use_clean_store(lull_store *s)
{
    size_t n_bad = use_store(s);
    if (n_bad > 0) fprintf(stderr, "%s\n", last_finding);
    CHECK(n_bad == 0);
}

/* A sleep of our own, whatever else is there: *id is 0 when it was refused. */
static inline void sleep_own(lull_store *s, int64_t *id)
{
    static const uint8_t plane[4096] = {1, 2, 3};
    static const int32_t tokens[3] = {5, 6, 7};
    lull_error err;
    lull_store_draft d = {
        .card = "{}",
        .session = "",
        .kv_identity.bytes = "not of any input",
        .tail_tokens = tokens,
        .n_tail = 3,
        .tail_planes = {plane},
        .tail_plane_bytes = {sizeof plane},
    };
    if (lull_store_sleep(s, &d, "own", -1, id, &err) != LULL_OK) *id = 0;
}

/* What was slept wakes, with its bytes. */
static inline void wake_own(lull_store *s, int64_t id)
{
    lull_error err;
    lull_store_view view;
    int64_t named;
    size_t token;
    CHECK(lull_store_resolve(s, "own", &named, &token, &err) == LULL_OK && named == id);
    CHECK(lull_store_map(s, id, &view, &err) == LULL_OK);
    CHECK(lull_store_check(s, &view, &err) == LULL_OK);
    CHECK(view.plane_bytes[0] == 4096 && memcmp(view.planes[0], "\1\2\3", 4) == 0);
    CHECK(view.tokens[2] == 7);
    lull_store_unpin(s, &view, 1);
}

#endif
