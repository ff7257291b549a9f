/* States made of nothing but their keys, for the tests of the store: the bytes of a page follow from
 * its key, so whatever comes back can be compared without keeping a copy. */
#ifndef LULL_TESTS_STORE_CHECK_H
#define LULL_TESTS_STORE_CHECK_H

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store.h"

enum { PLANE0_BYTES = 8192, PLANE1_BYTES = 4096, MAX_PAGES = 160 };

/* Numbers from a seed (xorshift64*, Vigna 2016). */
static inline uint64_t draw(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * 2685821657736338717u;
}

static inline void fill_plane(const lull_digest *key, int plane, uint8_t *out, size_t n)
{
    uint64_t seed;
    memcpy(&seed, key->bytes, 8);
    seed = (seed ^ (uint64_t)plane << 7) | 1;
    for (size_t i = 0; i + 8 <= n; i += 8) {
        uint64_t v = draw(&seed);
        memcpy(out + i, &v, 8);
    }
}

/* A sequence of tokens with all that a sleep needs. */
typedef struct made {
    lull_digest identity;
    size_t n_tokens, n_pages;
    int32_t tokens[64 * MAX_PAGES + 64];
    lull_digest keys[MAX_PAGES + 1]; /* the tail's is the last */
    lull_store_page pages[MAX_PAGES];
    uint8_t *bytes; /* owned: the planes of all pages and the tail */
    lull_store_draft draft;
} made;

/* The pages of m->tokens [n_tokens], whose planes have these sizes. */
static inline void make_pages(made *m, size_t n_tokens, size_t plane0, size_t plane1)
{
    m->n_tokens = n_tokens;
    m->n_pages = n_tokens / 64;
    size_t n_tail = n_tokens % 64, each = plane0 + plane1;
    m->bytes = realloc(m->bytes, (m->n_pages + 1) * each);
    lull_digest parent = {{0}};
    for (size_t i = 0; i < m->n_pages + (n_tail > 0); i++) {
        size_t n = i < m->n_pages ? 64 : n_tail;
        m->keys[i] = lull_store_page_key(&m->identity, &parent, m->tokens + 64 * i, n);
        uint8_t *planes = m->bytes + i * each;
        fill_plane(&m->keys[i], 0, planes, plane0);
        fill_plane(&m->keys[i], 1, planes + plane0, plane1);
        if (i < m->n_pages)
            m->pages[i] = (lull_store_page){
                .key = m->keys[i],
                .parent = parent,
                .kv_identity = m->identity,
                .tokens = m->tokens + 64 * i,
                .planes = {planes, plane1 ? planes + plane0 : NULL},
                .plane_bytes = {plane0, plane1},
            };
        parent = m->keys[i];
    }
    uint8_t *tail = m->bytes + m->n_pages * each;
    m->draft = (lull_store_draft){
        .card = "{\"model\":\"a test\"}",
        .kv_identity = m->identity,
        .pages = m->keys,
        .n_pages = m->n_pages,
        .tail_tokens = m->tokens + 64 * m->n_pages,
        .n_tail = n_tail,
        .session = "{\"position\":1}",
    };
    if (n_tail > 0) {
        m->draft.tail_planes[0] = tail;
        m->draft.tail_planes[1] = plane1 ? tail + plane0 : NULL;
        m->draft.tail_plane_bytes[0] = plane0;
        m->draft.tail_plane_bytes[1] = plane1;
    }
}

/* n_tokens, the first n_shared of which follow from `shared` alone. */
static inline made *make(uint64_t shared, size_t n_shared, uint64_t own, size_t n_tokens)
{
    made *m = calloc(1, sizeof *m);
    memset(m->identity.bytes, 7, sizeof m->identity.bytes);
    uint64_t a = shared * 2 + 1, b = own * 2 + 1;
    for (size_t i = 0; i < n_tokens; i++)
        m->tokens[i] = (int32_t)(draw(i < n_shared ? &a : &b) >> 40);
    make_pages(m, n_tokens, PLANE0_BYTES, PLANE1_BYTES);
    return m;
}

static inline void unmake(made *m)
{
    if (m) free(m->bytes);
    free(m);
}

/* All pages and the state: what a session does. */
static inline lull_status sleep_made(lull_store *s, const made *m, const char *name,
                                     int64_t expected, int64_t *id, lull_error *err)
{
    lull_status st = lull_store_add_pages(s, m->pages, m->n_pages, err);
    return st == LULL_OK ? lull_store_sleep(s, &m->draft, name, expected, id, err) : st;
}

/* Map, check and compare every byte of state id with what its own keys say, and its tokens with those
 * given (NULL: not). What is wrong (static), or NULL; *st: a failure that is honest about itself. */
static inline const char *wake_wrong(lull_store *s, int64_t id, const int32_t *tokens,
                                     size_t n_tokens, lull_status *st, lull_error *err)
{
    lull_store_state state;
    *st = lull_store_get(s, id, false, &state, err);
    if (*st != LULL_OK) return NULL;
    size_t n_tail = state.n_tail, n = state.n_pages + (n_tail > 0), n_there = state.n_tokens;
    lull_digest identity;
    memcpy(&identity, state.kv_identity, sizeof identity);
    lull_store_state_fini(&state);
    if (tokens && n_there != n_tokens) return "another number of tokens";
    lull_store_view *views = calloc(n + 1, sizeof *views);
    *st = lull_store_map(s, id, views, err);
    const char *wrong = NULL;
    lull_digest parent = {{0}};
    for (size_t i = 0; *st == LULL_OK && !wrong && i < n; i++) {
        size_t n_here = n_tail > 0 && i + 1 == n ? n_tail : 64;
        lull_digest key = lull_store_page_key(&identity, &parent, views[i].tokens, n_here);
        if (memcmp(&key, &views[i].key, sizeof key) != 0) wrong = "a key that is not its tokens'";
        if (tokens && memcmp(tokens + 64 * i, views[i].tokens, n_here * 4) != 0)
            wrong = "other tokens";
        *st = lull_store_check(s, &views[i], err);
        for (int k = 0; *st == LULL_OK && k < 2; k++) {
            if (!views[i].planes[k]) continue;
            uint8_t *want = malloc(views[i].plane_bytes[k]);
            fill_plane(&key, k, want, views[i].plane_bytes[k]);
            if (memcmp(want, views[i].planes[k], views[i].plane_bytes[k]) != 0)
                wrong = "other bytes in a plane";
            free(want);
        }
        parent = key;
    }
    lull_store_unpin(s, views, n);
    free(views);
    return wrong;
}

/* ---- folders --------------------------------------------------------------------------------- */

static inline void remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir) {
        unlink(path);
        return;
    }
    for (struct dirent *e; (e = readdir(dir));) {
        char child[4096];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        snprintf(child, sizeof child, "%.2000s/%.255s", path, e->d_name);
        remove_tree(child);
    }
    closedir(dir);
    rmdir(path);
}

static inline void copy_file(const char *from, const char *to)
{
    static char buf[1 << 16];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    if (!in || !out) abort();
    for (size_t n; (n = fread(buf, 1, sizeof buf, in)) > 0;)
        if (fwrite(buf, 1, n, out) != n) abort();
    fclose(in);
    if (fclose(out) != 0) abort();
}

static inline void copy_tree(const char *from, const char *to)
{
    DIR *dir = opendir(from);
    if (!dir) {
        copy_file(from, to);
        return;
    }
    mkdir(to, 0700);
    for (struct dirent *e; (e = readdir(dir));) {
        char a[4096], b[4096];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        snprintf(a, sizeof a, "%.2000s/%.255s", from, e->d_name);
        snprintf(b, sizeof b, "%.2000s/%.255s", to, e->d_name);
        copy_tree(a, b);
    }
    closedir(dir);
}

/* What a tree takes on the disk. */
static inline uint64_t tree_bytes(const char *path)
{
    struct stat info;
    if (lstat(path, &info) < 0) return 0;
    uint64_t n = (uint64_t)info.st_blocks * 512;
    DIR *dir = S_ISDIR(info.st_mode) ? opendir(path) : NULL;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        char child[4096];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        snprintf(child, sizeof child, "%.2000s/%.255s", path, e->d_name);
        n += tree_bytes(child);
    }
    if (dir) closedir(dir);
    return n;
}

/* A new empty folder. */
static inline const char *temp_folder(char out[64])
{
    strcpy(out, "/tmp/lull-store-XXXXXX");
    if (!mkdtemp(out)) abort();
    return out;
}

#endif
