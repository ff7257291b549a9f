#include "store_cmd.h"

int lull_cmd_rm(int argc, char **argv)
{
    const char *dir = NULL;
    lull_strings names = {.n = 0};
    const lull_option options[] = {LULL_STORE_ROW(&dir)};
    const lull_cli cli = {
        .verb = "rm",
        .operands = "NAME...",
        .about =
            "Take names away. What no other name or history refers to is removed by `lull gc`.",
        .groups = {{"Options", options, sizeof options / sizeof *options}},
        .rest = &names};
    int rc = lull_cli_parse(&cli, argc, argv, NULL);
    if (rc >= 0) return rc;
    lull_error err;
    lull_store *store;
    lull_status st = lull_cmd_store_open(dir, false, &store, &err);
    for (size_t i = 0; i < names.n && st == LULL_OK; i++)
        st = lull_store_remove_name(store, names.v[i], &err);
    lull_store_close(store);
    return st == LULL_OK ? LULL_EXIT_OK : lull_cmd_fail("rm", &err);
}
