#include "store_cmd.h"

int lull_cmd_mv(int argc, char **argv)
{
    const char *names[2] = {NULL}, *dir = NULL;
    const lull_option options[] = {LULL_STORE_ROW(&dir)};
    const lull_cli cli = {.verb = "mv",
                          .operands = "OLD NEW",
                          .about = "Change a name. Its history moves along.",
                          .groups = {{"Options", options, sizeof options / sizeof *options}}};
    int rc = lull_cli_parse(&cli, argc, argv, names);
    if (rc < 0) rc = lull_cmd_check_name("mv", "name", names[1]);
    if (rc >= 0) return rc;
    lull_error err;
    lull_store *store;
    lull_status st = lull_cmd_store_open(dir, false, &store, &err);
    if (st == LULL_OK) st = lull_store_rename(store, names[0], names[1], &err);
    lull_store_close(store);
    return st == LULL_OK ? LULL_EXIT_OK : lull_cmd_fail("mv", &err);
}
