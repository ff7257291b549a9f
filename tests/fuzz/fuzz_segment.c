/* Fuzz target: a store of one segment, which a recipe gives. Its catalogue is made of it; whatever that
 * was, what is put to sleep beside it wakes, also after a collection and from the segments alone. */
#include "store_use.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    char path[128];
    lull_error err = {0};
    lull_store *s;
    size_t n_file;
    uint8_t *file = follow_recipe(data, n_bytes, &n_file);
    mkdir(own_folder(), 0700);
    snprintf(path, sizeof path, "%s/segments", own_folder());
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/segments/%016x.seg", own_folder(), RECIPE_SEGMENT);
    write_file(path, file, n_file);
    free(file);
    lull_status st = lull_store_open(own_folder(), NULL, &s, &err);
    if (st != LULL_OK) {
        CHECK(!s && err.code == st && strchr(err.msg, '/'));
        goto done;
    }
    int64_t id;
    use_store(s);
    sleep_own(s, &id);
    for (int pass = 0; id > 0 && pass < 2; pass++) {
        lull_store_gc_options options = {.is_thinning = true};
        lull_store_gc_report report;
        st = lull_store_gc(s, &options, &report, &err);
        wake_own(s, id);
        lull_store_close(s);
        snprintf(path, sizeof path, "%s/catalog.db", own_folder());
        unlink(path);
        CHECK(lull_store_open(own_folder(), NULL, &s, &err) == LULL_OK);
        wake_own(s, id);
        use_store(s);
    }
    lull_store_close(s);
done:
    remove_own_folder();
    return 0;
}
