/* Running a tool that a model called: a program declared in the file of tools, asked for first. */
#ifndef LULL_CMD_TOOL_RUN_H
#define LULL_CMD_TOOL_RUN_H

#include "cmd.h"

enum { LULL_TOOL_OUTPUT_BYTES = 64 * 1024 }; /* of what it prints; the rest is cut off */

/* Run a command, a JSON array of strings: a program, found by $PATH, and its arguments. It reads `input` on
 * standard input; what it prints is appended to *output, with a word about its exit code unless that is 0.
 *   LULL_EINVAL  no such array;  LULL_EIO: it cannot be started;  LULL_ENOMEM */
LULL_NODISCARD lull_status lull_tool_run(const json_t *command, const char *input,
                                         lull_buffer *output, lull_error *err);

#endif
