#include "line.h"

#include <fcntl.h>
#include <histedit.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buffer.h"
#include "term.h"

enum { HISTORY_ENTRIES = 1000, HISTORY_READ_BYTES = 1 << 20 };

/* A key that no keyboard sends: pushed into the input to have the prefill inserted. */
#define PREFILL_KEY "\033[9999~"
#define PASTE_BEGIN "\033[200~"
#define PASTE_END L"\033[201~"

struct lull_line {
    EditLine *edit;   /* NULL in a pipe */
    History *history; /* NULL in a pipe */
    char *history_path;
    const char *const *words;
    size_t n_words;
    const char *prefill;
    bool is_interrupted;
    char prompt[64];
    char *line; /* of getline, in a pipe; else the text handed out */
    size_t line_cap;
};

static lull_line *owner_of(EditLine *e)
{
    void *l = NULL;
    el_get(e, EL_CLIENTDATA, &l);
    return l;
}

static char *prompt_of(EditLine *e)
{
    return owner_of(e)->prompt;
}

/* ---- keys ----------------------------------------------------------------------------------- */

static unsigned char on_interrupt(EditLine *e, int key)
{
    (void)key;
    owner_of(e)->is_interrupted = true;
    return CC_NEWLINE;
}

static unsigned char on_suspend(EditLine *e, int key)
{
    (void)e, (void)key;
    raise(SIGTSTP);
    return CC_REDISPLAY;
}

static unsigned char on_prefill(EditLine *e, int key)
{
    (void)key;
    if (owner_of(e)->prefill) el_insertstr(e, owner_of(e)->prefill);
    return CC_REFRESH;
}

static unsigned char on_line_break(EditLine *e, int key)
{
    (void)key;
    return el_insertstr(e, "\n") == 0 ? CC_REFRESH : CC_ERROR;
}

/* Everything up to the end marker is text, line breaks included. */
static unsigned char on_paste(EditLine *e, int key)
{
    (void)key;
    const wchar_t *end = PASTE_END;
    size_t n_matched = 0;
    wchar_t c;
    while (el_wgetc(e, &c) == 1) {
        if (c == end[n_matched]) {
            if (end[++n_matched] == L'\0') break;
            continue;
        }
        /* What looked like the marker was text; its escape character is left out. */
        for (size_t i = 1; i < n_matched; i++) el_winsertstr(e, (wchar_t[]){end[i], 0});
        n_matched = c == end[0];
        if (c == L'\r') c = L'\n';
        if (n_matched == 0 && (c >= L' ' || c == L'\n' || c == L'\t'))
            el_winsertstr(e, (wchar_t[]){c, 0});
    }
    return CC_REFRESH;
}

/* Insert what all words that begin like the line have in common. */
static unsigned char on_tab(EditLine *e, int key)
{
    (void)key;
    const lull_line *l = owner_of(e);
    const LineInfo *info = el_line(e);
    size_t n = (size_t)(info->cursor - info->buffer);
    const char *found = NULL;
    size_t n_common = 0;
    for (size_t i = 0; i < l->n_words; i++) {
        const char *word = l->words[i];
        if (n == 0 || strncmp(word, info->buffer, n) != 0) continue;
        if (!found) {
            found = word;
            n_common = strlen(word);
        }
        size_t k = n;
        while (k < n_common && word[k] == found[k]) k++;
        n_common = k;
    }
    char rest[64];
    if (!found || n_common == n || n_common - n >= sizeof rest) return CC_REFRESH_BEEP;
    memcpy(rest, found + n, n_common - n);
    rest[n_common - n] = '\0';
    return el_insertstr(e, rest) == 0 ? CC_REFRESH : CC_ERROR;
}

static void bind_keys(EditLine *e)
{
    static const struct {
        const char *name;
        const char *help;
        unsigned char (*fn)(EditLine *, int);
    } functions[] = {{"lull-interrupt", "Drop the line", on_interrupt},
                     {"lull-suspend", "Stop the program for now", on_suspend},
                     {"lull-prefill", "Insert the text to edit", on_prefill},
                     {"lull-line-break", "Insert a line break", on_line_break},
                     {"lull-paste", "Insert a paste", on_paste},
                     {"lull-tab", "Complete a command", on_tab}};
    static const char *const keys[][2] = {{"^C", "lull-interrupt"},
                                          {"^Z", "lull-suspend"},
                                          {PREFILL_KEY, "lull-prefill"},
                                          {"\033\r", "lull-line-break"},
                                          {"\033\n", "lull-line-break"},
                                          {PASTE_BEGIN, "lull-paste"},
                                          {"\t", "lull-tab"},
                                          {"^R", "em-inc-search-prev"},
                                          {"^W", "ed-delete-prev-word"},
                                          {"\033[3~", "ed-delete-next-char"},
                                          {"\033[1;5C", "em-next-word"},
                                          {"\033[1;5D", "ed-prev-word"}};
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        el_set(e, EL_ADDFN, functions[i].name, functions[i].help, functions[i].fn);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        el_set(e, EL_BIND, keys[i][0], keys[i][1], NULL);
    /* While a line is edited Ctrl-C and Ctrl-Z arrive as keys; signals that come from elsewhere give
     * the terminal back first. */
    el_set(e, EL_SETTY, "-d", "-isig", NULL);
    el_set(e, EL_SIGNAL, 1);
}

/* ---- history -------------------------------------------------------------------------------- */

static void escape(lull_buffer *out, const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p == '\\')
            lull_buffer_append_str(out, "\\\\");
        else if (*p == '\n')
            lull_buffer_append_str(out, "\\n");
        else
            lull_buffer_append(out, p, 1);
    }
}

static void unescape(char *s)
{
    char *to = s;
    for (; *s; s++) {
        if (*s == '\\' && s[1]) {
            s++;
            *to++ = *s == 'n' ? '\n' : *s;
        } else {
            *to++ = *s;
        }
    }
    *to = '\0';
}

static void load_history(lull_line *l)
{
    FILE *f = fopen(l->history_path, "re");
    if (!f) return;
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    HistEvent ev;
    /* Of a long file the end will do; the line that the seek falls into is dropped. */
    if (fseek(f, -HISTORY_READ_BYTES, SEEK_END) == 0 && getline(&line, &cap, f) < 0) goto done;
    while ((n = getline(&line, &cap, f)) > 0) {
        if (line[n - 1] == '\n') line[n - 1] = '\0';
        unescape(line);
        if (*line) history(l->history, &ev, H_ENTER, line);
    }
done:
    free(line);
    fclose(f);
}

void lull_line_remember(lull_line *l, const char *text)
{
    if (!l->history || !*text) return;
    HistEvent ev;
    history(l->history, &ev, H_ENTER, text);
    if (!l->history_path) return;
    int fd = open(l->history_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) return;
    lull_buffer entry = {0};
    escape(&entry, text);
    lull_buffer_append_str(&entry, "\n");
    /* One write, so that entries of several programs do not mix. */
    bool is_kept = !entry.is_failed && write(fd, entry.data, entry.n_bytes) >= 0;
    lull_buffer_fini(&entry);
    close(fd);
    if (is_kept) return;
    free(l->history_path); /* a full disk, say: go on without the file */
    l->history_path = NULL;
}

/* ---- lines ---------------------------------------------------------------------------------- */

lull_status lull_line_new(const char *program, const char *history_path, lull_line **out,
                          lull_error *err)
{
    *out = NULL;
    lull_line *l = calloc(1, sizeof *l);
    if (!l) return lull_fail(err, LULL_ENOMEM, "no memory for the line editor");
    if (lull_term_is_tty(stdin) && lull_term_is_tty(stdout)) {
        l->edit = el_init(program, stdin, stdout, stderr);
        l->history = history_init();
        l->history_path = history_path ? strdup(history_path) : NULL;
        if (!l->edit || !l->history || (history_path && !l->history_path)) {
            lull_line_free(l);
            return lull_fail(err, LULL_EIO, "the line editor cannot use this terminal");
        }
        HistEvent ev;
        history(l->history, &ev, H_SETSIZE, HISTORY_ENTRIES);
        history(l->history, &ev, H_SETUNIQUE, 1);
        if (l->history_path) load_history(l);
        el_set(l->edit, EL_CLIENTDATA, l);
        el_set(l->edit, EL_HIST, history, l->history);
        el_set(l->edit, EL_PROMPT_ESC, prompt_of, '\1');
        el_set(l->edit, EL_EDITOR, "emacs");
        bind_keys(l->edit);
        el_source(l->edit, NULL);
    }
    *out = l;
    return LULL_OK;
}

void lull_line_free(lull_line *l)
{
    if (!l) return;
    if (l->edit) el_end(l->edit);
    if (l->history) history_end(l->history);
    free(l->history_path);
    free(l->line);
    free(l);
}

bool lull_line_is_interactive(const lull_line *l)
{
    return l->edit != NULL;
}

void lull_line_set_words(lull_line *l, const char *const *words, size_t n)
{
    l->words = words;
    l->n_words = n;
}

static lull_line_event read_edited(lull_line *l, const char *prompt, const char *prefill,
                                   const char **text, size_t *n_bytes)
{
    /* Escape sequences stand between \1; one at the very end would be lost. */
    snprintf(l->prompt, sizeof l->prompt, "\1%s\1%s\1%s\1 ", lull_style_of(stdout, LULL_STYLE_BOLD),
             prompt, lull_style_of(stdout, LULL_STYLE_OFF));
    l->is_interrupted = false;
    l->prefill = prefill;
    if (prefill) el_push(l->edit, PREFILL_KEY);

    /* Before the prompt: a key that answers it at once, Ctrl-D say, is the editor's. */
    el_set(l->edit, EL_PREP_TERM, 1);
    fputs("\033[?2004h", stdout); /* bracketed paste on, and off again after the line */
    fflush(stdout);
    int n = 0;
    const char *line = el_gets(l->edit, &n);
    fputs(l->is_interrupted ? "\033[?2004l\n" : "\033[?2004l", stdout);
    fflush(stdout);
    l->prefill = NULL;

    if (l->is_interrupted) return LULL_LINE_INTERRUPT;
    if (!line || n <= 0) return LULL_LINE_END;
    if (line[n - 1] == '\n') n--;
    free(l->line);
    l->line = strndup(line, (size_t)n);
    if (!l->line) return LULL_LINE_END;
    *text = l->line;
    *n_bytes = (size_t)n;
    return LULL_LINE_TEXT;
}

lull_line_event lull_line_read(lull_line *l, const char *prompt, const char *prefill,
                               const char **text, size_t *n_bytes)
{
    if (l->edit) return read_edited(l, prompt, prefill, text, n_bytes);
    ssize_t n = getline(&l->line, &l->line_cap, stdin);
    if (n < 0) return LULL_LINE_END;
    if (n > 0 && l->line[n - 1] == '\n') l->line[--n] = '\0';
    *text = l->line;
    *n_bytes = (size_t)n;
    return LULL_LINE_TEXT;
}
