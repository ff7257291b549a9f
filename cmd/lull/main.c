#include <errno.h>
#include <string.h>

#include "cmd.h"
#include "term.h"

typedef struct lull_verb {
    const char *name, *operands, *summary;
    int (*run)(int argc, char **argv);
} lull_verb;

static const lull_verb verbs[] = {
    {"run", "MODEL", "generate text from a prompt", lull_cmd_run},
    {"chat", "MODEL", "talk with a model", lull_cmd_chat},
    {"read", "MODEL FILE... --as NAME", "read documents once, to be asked many times",
     lull_cmd_read},
    {"ls", "[FILE.lull]", "list states", lull_cmd_ls},
    {"show", "NAME", "a state: sizes, origin, card", lull_cmd_show},
    {"log", "NAME", "where a name stood", lull_cmd_log},
    {"tree", "", "which state came from which", lull_cmd_tree},
    {"fork", "NAME NEW", "give a state, or its beginning, another name", lull_cmd_fork},
    {"mv", "OLD NEW", "change a name", lull_cmd_mv},
    {"rm", "NAME...", "take names away", lull_cmd_rm},
    {"tag", "NAME [TAG...]", "tag a state", lull_cmd_tag},
    {"fold", "NAME NEW", "a long state as a summary and its end", lull_cmd_fold},
    {"diff", "A B", "where two states part", lull_cmd_diff},
    {"why", "NAME -p TEXT", "what a request would reuse, and why not more", lull_cmd_why},
    {"verify", "[NAME]", "check the store, or this program", lull_cmd_verify},
    {"gc", "", "remove what nothing refers to", lull_cmd_gc},
    {"export", "NAME... -o FILE", "write states to one file", lull_cmd_export},
    {"import", "FILE.lull", "take the states of a file in", lull_cmd_import},
    {"store", "", "where the states are, and what they take", lull_cmd_store},
    {"eval", "MODEL -f TEXT", "perplexity of a text", lull_cmd_eval},
    {"logits", "MODEL -o FILE.npy", "next-token logits at every position", lull_cmd_logits},
    {"template", "MODEL -m FILE", "a conversation in the chat template's form", lull_cmd_template},
    {"tokenize", "MODEL", "text to token ids, and back", lull_cmd_tokenize},
    {"inspect", "FILE", "metadata and tensors of a file", lull_cmd_inspect},
    {"bench", "MODEL", "speed, and the share of the machine's", lull_cmd_bench},
    {"doctor", "[MODEL]", "the machine, and what a model needs", lull_cmd_doctor},
};
enum { N_VERBS = sizeof verbs / sizeof *verbs };

static void print_verb(FILE *f, const char *name, const char *operands, const char *summary)
{
    char form[40];
    snprintf(form, sizeof form, "%s %s", name, operands);
    fprintf(f, "  %-28s %s\n", form, summary);
}

static void print_usage(FILE *f)
{
    fprintf(f, "%susage:%s lull VERB [MODEL] [options]\n\n", lull_style_of(f, LULL_STYLE_BOLD),
            lull_style_of(f, LULL_STYLE_OFF));
    for (size_t i = 0; i < N_VERBS; i++)
        print_verb(f, verbs[i].name, verbs[i].operands, verbs[i].summary);
    print_verb(f, "help", "[VERB]", "this page, or a verb's");
    fputs("\nlull VERB --help tells a verb's options, lull --version the version;\n"
          "man lull has it all.\n",
          f);
}

static const lull_verb *find_verb(const char *name)
{
    for (size_t i = 0; i < N_VERBS; i++)
        if (strcmp(verbs[i].name, name) == 0) return &verbs[i];
    return NULL;
}

static int unknown_verb(const char *name)
{
    const char *names[N_VERBS];
    for (size_t i = 0; i < N_VERBS; i++) names[i] = verbs[i].name;
    const char *near = lull_cli_nearest(name, names, N_VERBS);
    fprintf(stderr, "lull: unknown verb '%s'", name);
    if (near) fprintf(stderr, "; did you mean %s?", near);
    fputs("\nTry 'lull help'.\n", stderr);
    return LULL_EXIT_USAGE;
}

static int help(const char *name)
{
    if (!name) {
        print_usage(stdout);
        return LULL_EXIT_OK;
    }
    const lull_verb *verb = find_verb(name);
    if (!verb) return unknown_verb(name);
    return verb->run(2, (char *[]){(char *)verb->name, "--help", NULL});
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return LULL_EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        printf("lull %s\n", lull_version());
        return LULL_EXIT_OK;
    }
    bool is_help = strcmp(name, "help") == 0 || strcmp(name, "--help") == 0;
    if (is_help || strcmp(name, "-h") == 0) return help(argc > 2 ? argv[2] : NULL);
    const lull_verb *verb = find_verb(name);
    return verb ? verb->run(argc - 1, argv + 1) : unknown_verb(name);
}

int main(int argc, char **argv)
{
    lull_term_init_locale();
    int rc = dispatch(argc, argv);
    /* What did not reach standard output was not done: a full disk, say. */
    errno = 0;
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "lull: cannot write standard output: %s\n",
                errno ? strerror(errno) : "write failed");
        if (rc == LULL_EXIT_OK) rc = LULL_EXIT_FAILED;
    }
    return rc;
}
