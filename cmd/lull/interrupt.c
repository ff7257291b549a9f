#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

#include "cmd.h"

static volatile sig_atomic_t noted;
static lull_session *_Atomic watched;

static void on_signal(int signal_number)
{
    noted = signal_number;
    lull_session *s = atomic_load(&watched);
    if (s) lull_session_cancel(s);
}

static void set_handlers(void (*handler)(int))
{
    /* SA_RESTART: an answer that is being written when Ctrl-C comes is no failure of the terminal. */
    struct sigaction action = {.sa_handler = handler, .sa_flags = (int)SA_RESETHAND | SA_RESTART};
    sigemptyset(&action.sa_mask);
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction old;
        /* A program started with nohup, or in the background, keeps ignoring what it ignored. */
        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == SIG_IGN) continue;
        sigaction(signals[i], &action, NULL);
    }
}

void lull_interrupt_arm(void)
{
    noted = 0;
    atomic_store(&watched, NULL);
    set_handlers(on_signal);
}

void lull_interrupt_watch(lull_session *s)
{
    atomic_store(&watched, s);
    if (s && noted) lull_session_cancel(s);
}

void lull_interrupt_disarm(void)
{
    atomic_store(&watched, NULL);
    set_handlers(SIG_DFL);
}

int lull_interrupt_signal(void)
{
    return noted;
}
