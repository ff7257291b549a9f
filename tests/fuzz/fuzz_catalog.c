/* Fuzz target: a catalogue beside a good segment. Whatever it says, what is put to sleep beside it wakes;
 * and without it, the states of the segment do.
 *
 *   first byte 0   the good catalogue with bytes changed: offset u24, n u8, bytes [n], and so on
 *              1   the rest is the file
 *              2   the good one with rows changed, whose sums are right: see change_row */
#include "catalog.h"
#include "store_use.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

/* Two states of three pages, a name with history, a tag. */
static const uint8_t good_recipe[] =
    "\2"
    "\1\100\0\0\20\0\0\0AAAAAAAAAAAAAAAA"
    "\1\100\0\0\20\0\20\0BBBBBBBBBBBBBBBBbbbbbbbbbbbbbbbb"
    "\1\005\0\0\20\0\0\0CCCCCCCCCCCCCCCC"
    "\2\005\1\1\207\0\0\0"
    "\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0"
    "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
    "\2\0\0\0\0\0\0\0{}\0\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0name\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0t"
    "\2\0\2\2\176\0\0\0"
    "\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0"
    "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
    "\2\0\0\0\0\0\0\0{}\0\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0name\0\0\0\0\0\0\0\0";

static uint8_t *segment, *catalog; /* the good ones */
static size_t n_segment, n_catalog;

static const char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", own_folder(), name);
    return path;
}

static lull_store *open_own(lull_status want)
{
    lull_error err;
    lull_store *s;
    lull_status st = lull_store_open(own_folder(), NULL, &s, &err);
    if (st != LULL_OK) fprintf(stderr, "%s\n", err.msg);
    CHECK(st == want);
    return s;
}

static void lay_segment(void)
{
    char name[64];
    mkdir(own_folder(), 0700);
    mkdir(path_of("segments"), 0700);
    snprintf(name, sizeof name, "segments/%016x.seg", RECIPE_SEGMENT);
    write_file(path_of(name), segment, n_segment);
}

static void make_good(void)
{
    struct stat info;
    segment = follow_recipe(good_recipe, sizeof good_recipe - 1, &n_segment);
    lay_segment();
    lull_store *s = open_own(LULL_OK);
    use_clean_store(s);
    lull_store_close(s);
    CHECK(stat(path_of("catalog.db"), &info) == 0);
    n_catalog = (size_t)info.st_size;
    catalog = malloc(n_catalog);
    FILE *f = fopen(path_of("catalog.db"), "rb");
    CHECK(catalog && f && fread(catalog, 1, n_catalog, f) == n_catalog);
    fclose(f);
    empty_folder(own_folder());
}

static void patch(recipe *r)
{
    uint8_t *bytes = malloc(n_catalog);
    CHECK(bytes);
    memcpy(bytes, catalog, n_catalog);
    while (r->n_left > 0) {
        uint64_t offset = take_number(r, 3), n = take_number(r, 1);
        for (uint64_t i = 0; i < n && r->n_left > 0; i++)
            bytes[(offset + i) % n_catalog] = (uint8_t)take_number(r, 1);
    }
    write_file(path_of("catalog.db"), bytes, n_catalog);
    free(bytes);
}

/* One row: what, which, field, value. */
static void change_row(lull_catalog *c, recipe *r)
{
    lull_error err;
    lull_status st = LULL_OK;
    uint64_t op = take_number(r, 1), which = take_number(r, 1), field = take_number(r, 1);
    uint64_t value = take_number(r, 8);
    lull_page_row page;
    lull_state_row state;
    lull_segment_row row = {which, value, field & 1};
    lull_move_row move = {.seq = which, .at_ms = field, .state = (int64_t)value, .name = "name"};
    uint64_t *const of_page[] = {
        &page.segment,          &page.offset,           &page.n_bytes,
        &page.parts[0].offset,  &page.parts[0].n_bytes, &page.parts[1].offset,
        &page.parts[1].n_bytes, (uint64_t *)&page.key,  (uint64_t *)&page.parent,
    };
    uint64_t *const of_state[] = {
        &state.segment,    &state.offset, &state.n_bytes,        &state.created_ms,
        &state.page_bytes, &state.n_tail, &state.n_window_pages, (uint64_t *)&state.parent,
        &state.n_pages,
    };
    switch (op) {
    case 0: st = lull_catalog_put_segment(c, &row, &err); break;
    case 1: st = lull_catalog_drop_segment(c, which, &err); break;
    case 2:
        if (lull_catalog_get_page(c, (int64_t)which, &page, &err) != LULL_OK || !page.id) break;
        *of_page[field % (sizeof of_page / sizeof *of_page)] = value;
        st = lull_catalog_move_page(c, &page, &err);
        break;
    case 3: st = lull_catalog_drop_page(c, (int64_t)which, &err); break;
    case 4:
        if (lull_catalog_get_state(c, (int64_t)which, &state, &err) != LULL_OK || !state.id) break;
        if (field >= 16 && state.n_pages > 0)
            state.pages[field % state.n_pages] = (int64_t)value;
        else if (field % 9 != 8 || value <= state.n_pages)
            *of_state[field % 9] = value;
        st = lull_catalog_put_state(c, &state, &err);
        lull_state_row_fini(&state);
        break;
    case 5: st = lull_catalog_drop_state(c, (int64_t)which, &err); break;
    case 6: st = lull_catalog_add_move(c, &move, &err); break;
    case 7: st = lull_catalog_set_tag(c, (int64_t)value, "tag", field & 1, &err); break;
    case 8: st = lull_catalog_set_counter(c, (lull_counter)(which % 4), value, &err); break;
    default: break;
    }
    CHECK(st == LULL_OK || err.code == st);
}

static void change_rows(recipe *r)
{
    lull_error err;
    lull_catalog *c;
    write_file(path_of("catalog.db"), catalog, n_catalog);
    CHECK(lull_catalog_open(path_of("catalog.db"), LULL_CATALOG_WRITE, &c, &err) == LULL_OK);
    CHECK(lull_catalog_begin(c, true, &err) == LULL_OK);
    while (r->n_left > 0) change_row(c, r);
    CHECK(lull_catalog_commit(c, &err) == LULL_OK);
    lull_catalog_close(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    recipe r = {.at = data, .n_left = n_bytes};
    if (!catalog) make_good();
    lay_segment();
    uint64_t kind = take_number(&r, 1);
    if (kind == 2)
        change_rows(&r);
    else if (kind == 1)
        write_file(path_of("catalog.db"), r.at, r.n_left);
    else
        patch(&r);

    int64_t id;
    size_t token;
    lull_error err;
    lull_store *s;
    if (lull_store_open(own_folder(), NULL, &s, &err) != LULL_OK) {
        CHECK(!s && err.msg[0]);
    } else {
        use_store(s);
        sleep_own(s, &id);
        if (id > 0) wake_own(s, id);
        lull_store_close(s);
    }
    unlink(path_of("catalog.db"));
    s = open_own(LULL_OK);
    CHECK(lull_store_resolve(s, "name@{1}", &id, &token, &err) == LULL_OK && id == 1);
    use_clean_store(s);
    lull_store_close(s);
    remove_own_folder();
    return 0;
}
