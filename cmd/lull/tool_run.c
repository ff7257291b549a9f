#include "tool_run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { MAX_ARGUMENTS = 64 };

static lull_status get_arguments(const json_t *command, const char **argv, lull_error *err)
{
    size_t n = json_array_size(command);
    for (size_t i = 0; i < n && n <= MAX_ARGUMENTS; i++) {
        argv[i] = json_string_value(json_array_get(command, i));
        if (!argv[i]) n = 0;
    }
    if (n > 0 && n <= MAX_ARGUMENTS) return LULL_OK;
    return lull_fail(
        err, LULL_EINVAL,
        "\"command\" has to be an array of 1 to %d strings: a program and its arguments",
        MAX_ARGUMENTS);
}

/* to: the program's standard input, from: its output. */
static lull_status start(char *const *argv, pid_t *pid, int *to, int *from, lull_error *err)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1}, why = 0;
    posix_spawn_file_actions_t actions;
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) why = errno;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    if (why == 0) why = posix_spawnp(pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (in[0] >= 0) close(in[0]);
    if (out[1] >= 0) close(out[1]);
    *to = in[1];
    *from = out[0];
    if (why == 0) return LULL_OK;
    if (in[1] >= 0) close(in[1]);
    if (out[0] >= 0) close(out[0]);
    return lull_fail(err, LULL_EIO, "%s: %s", argv[0], strerror(why));
}

/* Write the input and read the output at the same time, until the output ends. */
static void exchange(int to, int from, const char *input, lull_buffer *output)
{
    size_t n_input = strlen(input), n_written = 0,
           n_most = output->n_bytes + LULL_TOOL_OUTPUT_BYTES;
    char piece[4096];
    if (n_input == 0) close(to), to = -1;
    for (;;) {
        struct pollfd fds[] = {{from, POLLIN, 0}, {to, POLLOUT, 0}};
        if (poll(fds, to >= 0 ? 2 : 1, -1) < 0 && errno != EINTR) break;
        if (to >= 0 && fds[1].revents) {
            ssize_t n = write(to, input + n_written, n_input - n_written);
            if (n > 0) n_written += (size_t)n;
            bool is_over = (n < 0 && errno != EINTR && errno != EAGAIN) || n_written == n_input;
            if (is_over) close(to), to = -1;
        }
        if (!fds[0].revents) continue;
        ssize_t n = read(from, piece, sizeof piece);
        if (n == 0 || (n < 0 && errno != EINTR)) break;
        size_t room = n_most - output->n_bytes;
        if (n > 0) lull_buffer_append(output, piece, (size_t)n < room ? (size_t)n : room);
    }
    if (to >= 0) close(to);
    close(from);
}

lull_status lull_tool_run(const json_t *command, const char *input, lull_buffer *output,
                          lull_error *err)
{
    const char *argv[MAX_ARGUMENTS + 1] = {0};
    pid_t pid;
    int to, from, status = 0;
    lull_status st = LULL_OK;
    LULL_TRY(get_arguments(command, argv, err));
    LULL_TRY(start((char *const *)argv, &pid, &to, &from, err));
    /* A program that reads nothing closes its input: that is no reason to end here. */
    void (*old)(int) = signal(SIGPIPE, SIG_IGN);
    exchange(to, from, input, output);
    signal(SIGPIPE, old);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
        lull_buffer_printf(output, "%s(exit code %d)", output->n_bytes > 0 ? "\n" : "",
                           WEXITSTATUS(status));
    if (WIFSIGNALED(status))
        lull_buffer_printf(output, "%s(ended by signal %d)", output->n_bytes > 0 ? "\n" : "",
                           WTERMSIG(status));
    if (output->is_failed) st = lull_fail(err, LULL_ENOMEM, "no memory for what a tool prints");
done:
    return st;
}
