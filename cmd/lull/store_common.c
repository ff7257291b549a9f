#include "store_cmd.h"
#include <stdlib.h>
#include <sys/stat.h>
static void path_of(const char *dir, char *buf, size_t n)
{
    const char *home = getenv("LULL_HOME");
    snprintf(buf, n, "%s", dir ? dir : home ? home : "/tmp/lull-home");
}
bool lull_cmd_store_exists(const char *dir)
{
    char p[4096];
    struct stat st;
    path_of(dir, p, sizeof p);
    return stat(p, &st) == 0;
}
lull_status lull_cmd_store_open(const char *dir, bool is_read_only, lull_store **out,
                                lull_error *err)
{
    char p[4096];
    path_of(dir, p, sizeof p);
    return lull_store_open(p, &(lull_store_options){.is_read_only = is_read_only}, out, err);
}
