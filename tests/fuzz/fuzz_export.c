/* Fuzz target: bytes of a .lull file, or the recipe of one, opened in place and imported. */
#include "store_use.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static void use_file(const char *path)
{
    lull_error err = {0};
    lull_store *s;
    lull_status st = lull_store_open_export(path, &s, &err);
    if (st != LULL_OK) {
        CHECK(!s && err.code == st && strstr(err.msg, path));
        CHECK(st == LULL_ECORRUPT || st == LULL_EUNSUPPORTED);
        return;
    }
    int64_t id;
    use_store(s);
    CHECK(lull_store_set_name(s, "n", 1, -1, &err) == LULL_EINVAL);
    sleep_own(s, &id);
    CHECK(id == 0);
    lull_store_close(s);
}

/* What is imported is whole: verify finds nothing. */
static void import_file(const char *path, const char *folder)
{
    lull_error err = {0};
    lull_store *s;
    int64_t *ids;
    size_t n;
    CHECK(lull_store_open(folder, NULL, &s, &err) == LULL_OK);
    lull_status st = lull_store_import(s, path, false, &ids, &n, &err);
    if (st == LULL_OK) {
        for (size_t i = 0; i < n; i++) use_state(s, ids[i]);
        free(ids);
    } else {
        CHECK(err.code == st && err.msg[0]);
    }
    use_clean_store(s);
    lull_store_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    char path[128], folder[128];
    mkdir(own_folder(), 0700);
    snprintf(path, sizeof path, "%s/a.lull", own_folder());
    snprintf(folder, sizeof folder, "%s/store", own_folder());
    size_t n_file = n_bytes;
    bool is_raw = n_bytes >= 8 && memcmp(data, "lullseg", 8) == 0;
    uint8_t *file = is_raw ? NULL : follow_recipe(data, n_bytes, &n_file);
    write_file(path, is_raw ? data : file, n_file);
    use_file(path);
    import_file(path, folder);
    free(file);
    remove_own_folder();
    return 0;
}
