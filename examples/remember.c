/* Read a text once and ask about it ever after: remember MODEL.gguf STORE FILE [QUESTION]
 *
 * The first call reads the file and puts the session to sleep in the folder STORE. Every later one
 * wakes it, without reading it again, and answers in two forks of it that know nothing of each other.
 *
 *     cc remember.c -o remember $(pkg-config --cflags --libs lull) */
#include <lull/lull.h>
#include <lull/store.h>
#include <stdio.h>

static const char name[] = "remembered";

static bool print(void *user, const char *text, size_t n_bytes, int32_t token)
{
    (void)token;
    return fwrite(text, 1, n_bytes, user) == n_bytes;
}

static void print_reuse(const char *what, const lull_session *s)
{
    lull_reuse r = lull_session_reuse(s);
    printf("%s: of %zu tokens %llu from the store, %llu from memory; %llu evaluated\n", what,
           lull_session_n_tokens(s), (unsigned long long)r.from_disk,
           (unsigned long long)r.from_memory, (unsigned long long)r.computed);
}

/* The first time: read the file, and sleep. */
static lull_status learn(lull_model *model, lull_store *store, const char *path, lull_error *err)
{
    static char text[1 << 20];
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(text, 1, sizeof text, f) : 0;
    bool is_whole = f && !ferror(f) && n < sizeof text;
    if (f) fclose(f);
    if (!is_whole)
        return snprintf(err->msg, sizeof err->msg, "%.200s: cannot be read whole", path), LULL_EIO;
    text[n] = '\0';
    lull_session *s = NULL;
    lull_status st = lull_session_new(model, NULL, &s, err);
    if (!st) st = lull_prompt(s, text, err);
    if (!st) st = lull_sleep(s, store, &(lull_sleep_options){.name = name}, NULL, err);
    if (!st) print_reuse("read, and asleep", s);
    lull_session_free(s);
    return st;
}

/* Is the state this model's? If its tokens mean the same, at least, they can be read again. */
static lull_status judge(const lull_model *model, lull_store *store, int64_t id, bool *re_reads,
                         lull_error *err)
{
    lull_store_state state;
    lull_judgement j;
    lull_status st = lull_store_get(store, id, false, &state, err);
    if (st) return st;
    st = lull_judge(model, state.card, &j, err);
    lull_store_state_fini(&state);
    if (st) return st;
    printf("verdict: %s\n", lull_verdict_name(j.verdict));
    for (size_t i = 0; i < j.n_fields && i < LULL_JUDGEMENT_FIELDS; i++)
        printf("  %s\n", j.fields[i].text);
    *re_reads = j.verdict == LULL_VERDICT_CONVERTIBLE;
    return LULL_OK;
}

/* Answer in a fork: s itself stays as it is. */
static lull_status answer(const lull_session *s, const char *text, uint64_t seed, lull_error *err)
{
    lull_generate_options options = lull_generate_options_default();
    lull_session *fork = NULL;
    options.sampling.temperature = 0.7f;
    options.sampling.seed = seed;
    options.max_tokens = 24;
    options.on_text = print;
    options.user = stdout;
    lull_status st = lull_session_fork(s, SIZE_MAX, &fork, err);
    if (!st) st = lull_prompt(fork, text, err);
    if (!st) st = lull_generate(fork, &options, NULL, err);
    putchar('\n');
    if (!st) print_reuse("  fork", fork);
    lull_session_free(fork);
    return st;
}

static lull_status ask(lull_model *model, lull_store *store, int64_t id, const char *question,
                       lull_error *err)
{
    lull_wake_options options = {0};
    lull_session *s = NULL;
    lull_status st = judge(model, store, id, &options.re_reads, err);
    if (!st) st = lull_wake(model, store, name, &options, &s, err);
    if (!st) print_reuse("awake", s);
    for (uint64_t seed = 1; seed <= 2 && !st; seed++) st = answer(s, question, seed, err);
    lull_session_free(s);
    return st;
}

int main(int argc, char **argv)
{
    const char *question = argc > 4 ? argv[4] : "\n\nIn short:";
    lull_model *model = NULL;
    lull_store *store = NULL;
    lull_error err;
    int64_t id;
    size_t token;
    if (argc < 4) return fputs("usage: remember MODEL STORE FILE [QUESTION]\n", stderr), 2;
    lull_status st = lull_model_open(argv[1], NULL, &model, &err);
    if (!st) st = lull_store_open(argv[2], NULL, &store, &err);
    if (!st) {
        st = lull_store_resolve(store, name, &id, &token, &err);
        if (!st)
            st = ask(model, store, id, question, &err);
        else if (st == LULL_ENOTFOUND)
            st = learn(model, store, argv[3], &err);
    }
    lull_model_close(model);
    lull_store_close(store);
    if (st) fprintf(stderr, "remember: %s\n", err.msg);
    return st ? 1 : 0;
}
