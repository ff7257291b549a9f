/* lull verify --self: the promises, tried on this machine with a user's own model. */
#ifndef LULL_CMD_SELF_TEST_H
#define LULL_CMD_SELF_TEST_H

#include "cmd.h"

/* Prints a line a promise; LULL_EXIT_OK when all hold. Works in a folder of its own, which is removed. */
int lull_self_test(const char *model, int n_threads, lull_cmd_numerics numerics, bool as_json);

#endif
