/* temporary */
#ifndef LULL_CMD_STORE_CMD_H
#define LULL_CMD_STORE_CMD_H
#include "cmd.h"
bool lull_cmd_store_exists(const char *dir);
LULL_NODISCARD lull_status lull_cmd_store_open(const char *dir, bool is_read_only, lull_store **out,
                                               lull_error *err);
#endif
