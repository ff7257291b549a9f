/* Sleeping and waking: a session that comes back from a store goes on with the same bits, whatever was
 * done to it on the way; what does not fit is refused in words; what is damaged is found. Every logit is
 * compared with an uninterrupted run's, exactly. */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine_check.h"

enum { PAGE = 64, N_CTX = 640, N_NEXT = 20 };
static const char *const paths[] = {LLAMA, GEMMA};
static char folder[64];

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *at)
{
    (void)info, (void)type, (void)at;
    return remove(path);
}

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/lull-state-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int drop_folder(void **state)
{
    (void)state;
    return nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static lull_store *open_store(const char *name)
{
    char path[128];
    lull_store *s;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    OK(lull_store_open(path, NULL, &s, err));
    return s;
}

/* What one process has: nothing is shared with another one of these but the files. */
typedef struct process {
    lull_model *model;
    lull_store *store;
} process;

static process begin(const char *path, const char *store)
{
    return (process){open_model(path, NULL, 2), open_store(store)};
}

static void end(process *p)
{
    lull_model_close(p->model);
    lull_store_close(p->store);
}

typedef struct rows {
    float *data; /* [n][n_vocab] */
    size_t n, n_vocab;
} rows;

static bool keep_row(void *user, size_t index, const float *logits)
{
    rows *r = user;
    memcpy(r->data + index * r->n_vocab, logits, r->n_vocab * sizeof *logits);
    r->n = index + 1;
    return true;
}

static rows eval_rows(lull_session *s, const int32_t *tokens, size_t n, int n_vocab)
{
    rows r = {.n_vocab = (size_t)n_vocab};
    r.data = malloc(n * r.n_vocab * sizeof *r.data);
    assert_non_null(r.data);
    OK(lull_session_eval_each(s, tokens, n, keep_row, &r, err));
    return r;
}

/* The logits after each of tokens [n_before, n_before + N_NEXT), never interrupted. */
static rows cold_rows(const char *path, const int32_t *tokens, size_t n_before)
{
    lull_model *m = open_model(path, NULL, 1);
    lull_session *s = new_session(m, N_CTX);
    if (n_before > 0) OK(lull_session_eval(s, tokens, n_before, NULL, err));
    rows r = eval_rows(s, tokens + n_before, N_NEXT, lull_model_get_info(m).n_vocab);
    lull_session_free(s);
    lull_model_close(m);
    return r;
}

/* s ends where `tokens` has n_before: does it go on as if it had never been anywhere else? */
static void expect_cold(const char *path, lull_session *s, const int32_t *tokens, size_t n_before)
{
    assert_int_equal(lull_session_n_tokens(s), n_before);
    assert_memory_equal(lull_session_tokens(s), tokens, n_before * sizeof *tokens);
    rows cold = cold_rows(path, tokens, n_before);
    rows warm = eval_rows(s, tokens + n_before, N_NEXT, (int)cold.n_vocab);
    assert_memory_equal(warm.data, cold.data, N_NEXT * cold.n_vocab * sizeof *cold.data);
    free(cold.data);
    free(warm.data);
}

static lull_session *wake(const process *p, const char *name)
{
    lull_session *s;
    OK(lull_wake(p->model, p->store, name, NULL, &s, err));
    return s;
}

/* Read tokens [n] and sleep. */
static int64_t sleep_tokens(const process *p, const int32_t *tokens, size_t n, const char *name)
{
    int64_t id;
    lull_session *s = new_session(p->model, N_CTX);
    lull_sleep_options o = {.name = name};
    OK(lull_session_eval(s, tokens, n, NULL, err));
    OK(lull_sleep(s, p->store, &o, &id, err));
    assert_int_equal(lull_session_state(s), id);
    lull_session_free(s);
    return id;
}

static void make_tokens(const char *path, int32_t *tokens, uint32_t seed)
{
    lull_model *m = open_model(path, NULL, 1);
    fill_tokens(tokens, N_CTX, lull_model_get_info(m).n_vocab, seed);
    lull_model_close(m);
}

static const size_t lengths[] = {1, 2, 63, 64, 65, 127, 128, 129, 200, 320, 511};
enum { N_LENGTHS = sizeof lengths / sizeof *lengths };

static void test_wake_is_cold(void **state)
{
    (void)state;
    for (int m = 0; m < 2; m++) {
        int32_t tokens[N_CTX];
        char name[32], store[16];
        snprintf(store, sizeof store, "%d", m);
        make_tokens(paths[m], tokens, 3);
        process first = begin(paths[m], store);
        for (size_t i = 0; i < N_LENGTHS; i++) {
            snprintf(name, sizeof name, "n%zu", lengths[i]);
            sleep_tokens(&first, tokens, lengths[i], name);
        }
        end(&first);
        process second = begin(paths[m], store);
        for (size_t i = 0; i < N_LENGTHS; i++) {
            snprintf(name, sizeof name, "n%zu", lengths[i]);
            lull_session *s = wake(&second, name);
            expect_cold(paths[m], s, tokens, lengths[i]);
            /* The 20 tokens are computed, and the last one of the state is not: no logits were asked
             * for. */
            assert_int_equal(lull_session_reuse(s).from_disk, lengths[i]);
            assert_int_equal(lull_session_reuse(s).computed, N_NEXT);
            lull_session_free(s);
        }
        end(&second);
    }
}

/* The beginning of a state, a fork of it on disk, and a fork of that fork. */
static void test_forks(void **state)
{
    (void)state;
    static const size_t cuts[] = {1, 63, 64, 70, 128, 200, 299};
    for (int m = 0; m < 2; m++) {
        int32_t tokens[N_CTX];
        char store[16];
        int64_t id, fork, fork_of_fork;
        snprintf(store, sizeof store, "%d", m);
        make_tokens(paths[m], tokens, 5);
        process p = begin(paths[m], store);
        id = sleep_tokens(&p, tokens, 300, "whole");
        for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
            char name[32];
            snprintf(name, sizeof name, "whole:%zu", cuts[i]);
            lull_session *s = wake(&p, name);
            expect_cold(paths[m], s, tokens, cuts[i]);
            lull_session_free(s);
            snprintf(name, sizeof name, "cut%zu", cuts[i]);
            OK(lull_store_fork(p.store, id, cuts[i], NULL, name, 0, &fork, err));
            s = wake(&p, name);
            expect_cold(paths[m], s, tokens, cuts[i]);
            lull_session_free(s);
            size_t half = (cuts[i] + 1) / 2;
            OK(lull_store_fork(p.store, fork, half, NULL, "half", -1, &fork_of_fork, err));
            s = wake(&p, "half");
            /* In memory, too, and before anything was looked at. */
            lull_session *t;
            OK(lull_session_fork(s, (half + 1) / 2, &t, err));
            expect_cold(paths[m], s, tokens, half);
            expect_cold(paths[m], t, tokens, (half + 1) / 2);
            lull_session_free(s);
            lull_session_free(t);
        }
        end(&p);
    }
}

/* A session goes on after it fell asleep, another one from where it did. */
static void test_going_on(void **state)
{
    (void)state;
    int32_t tokens[N_CTX];
    make_tokens(GEMMA, tokens, 7);
    process p = begin(GEMMA, "s");
    lull_session *s = new_session(p.model, N_CTX);
    int64_t ids[5];
    for (size_t i = 0; i < 5; i++) {
        OK(lull_session_eval(s, tokens + i * 90, 90, NULL, err));
        OK(lull_sleep(s, p.store, &(lull_sleep_options){.name = "chain"}, &ids[i], err));
    }
    expect_cold(GEMMA, s, tokens, 450);
    for (size_t i = 0; i < 5; i++) {
        char name[32];
        lull_store_state info;
        snprintf(name, sizeof name, "chain@{%zu}", 4 - i);
        lull_session *t = wake(&p, name);
        assert_int_equal(lull_session_state(t), ids[i]);
        expect_cold(GEMMA, t, tokens, (i + 1) * 90);
        OK(lull_store_get(p.store, ids[i], false, &info, err));
        assert_int_equal(info.parent, i > 0 ? ids[i - 1] : 0);
        lull_store_state_fini(&info);
        lull_session_free(t);
    }
    lull_session_free(s);
    end(&p);
}

typedef struct text {
    char bytes[8192];
    size_t n;
} text;

static bool take_text(void *user, const char *bytes, size_t n, int32_t token)
{
    (void)token;
    text *t = user;
    assert_true(t->n + n < sizeof t->bytes);
    memcpy(t->bytes + t->n, bytes, n);
    t->n += n;
    return true;
}

/* Generation in pieces, each in a process of its own, says what one uninterrupted call says: the same draws,
 * the same penalties, the same end at a stop string that falls into two pieces. */
static void test_generation(void **state)
{
    (void)state;
    for (int m = 0; m < 2; m++) {
        int32_t tokens[N_CTX];
        static text whole, pieces;
        char store[16];
        snprintf(store, sizeof store, "%d", m);
        make_tokens(paths[m], tokens, 9);
        lull_generate_options o = lull_generate_options_default();
        o.sampling.temperature = 0.8f;
        o.sampling.top_k = 60;
        o.sampling.repeat_penalty = 1.3f;
        o.sampling.frequency_penalty = 0.2f;
        o.sampling.penalty_window = 40;
        o.sampling.seed = 0xfeedface12345678u;
        o.ignore_eog = true;
        o.max_tokens = 100;
        o.on_text = take_text;
        o.user = &whole;
        whole.n = pieces.n = 0;
        lull_model *model = open_model(paths[m], NULL, 1);
        lull_session *s = new_session(model, N_CTX);
        OK(lull_session_eval(s, tokens, 70, NULL, err));
        OK(lull_generate(s, &o, NULL, err));
        lull_session_free(s);
        /* Again with a stop string from the middle of that, so that it is met. */
        char stop[8] = "";
        memcpy(stop, whole.bytes + whole.n / 2, 7);
        const char *stops[] = {"never said", stop};
        o.stop = stops;
        o.n_stop = strlen(stop) == 7 ? 2 : 1;
        whole.n = 0;
        s = new_session(model, N_CTX);
        lull_generate_result result;
        OK(lull_session_eval(s, tokens, 70, NULL, err));
        OK(lull_generate(s, &o, &result, err));
        size_t n_whole = lull_session_n_tokens(s);
        int32_t said[N_CTX];
        memcpy(said, lull_session_tokens(s), n_whole * sizeof *said);
        lull_session_free(s);
        lull_model_close(model);

        process p = begin(paths[m], store);
        s = new_session(p.model, N_CTX);
        OK(lull_session_eval(s, tokens, 70, NULL, err));
        o.max_tokens = 1;
        o.holds_text = true;
        o.user = &pieces;
        OK(lull_generate(s, &o, NULL, err));
        size_t n_left = 99;
        lull_generate_result piece = {.finish = LULL_FINISH_LENGTH};
        for (size_t n = 1; n_left > 0 && piece.finish == LULL_FINISH_LENGTH; n++) {
            OK(lull_sleep(s, p.store, &(lull_sleep_options){.name = "g"}, NULL, err));
            lull_session_free(s);
            end(&p);
            p = begin(paths[m], store);
            s = wake(&p, "g");
            lull_sampling slept;
            assert_true(lull_session_sampling(s, &slept));
            assert_int_equal(slept.seed, o.sampling.seed);
            size_t n_now = n % 7 < n_left ? n % 7 : n_left;
            OK(lull_generate_more(s, n_now, take_text, &pieces, &piece, err));
            n_left -= n_now;
        }
        assert_int_equal(piece.finish, result.finish);
        assert_int_equal(lull_session_n_tokens(s), n_whole);
        assert_memory_equal(lull_session_tokens(s), said, n_whole * sizeof *said);
        if (result.finish == LULL_FINISH_STOP || result.finish == LULL_FINISH_STOP_STRING) {
            assert_int_equal(pieces.n, whole.n);
            OK(lull_generate_more(s, 5, take_text, &pieces, &piece, err));
            assert_int_equal(piece.n_tokens, 0);
        }
        assert_true(pieces.n <= whole.n); /* what is held back, is the end of it */
        assert_memory_equal(pieces.bytes, whole.bytes, pieces.n);
        lull_session_truncate(s, n_whole - 1);
        FAILS(lull_generate_more(s, 5, NULL, NULL, NULL, err), LULL_EINVAL, "generation");
        lull_session_free(s);
        end(&p);
    }
}

/* A prompt begins with what the store has, and a page that nobody holds any more is found there again. */
static void test_prompts(void **state)
{
    (void)state;
    for (int m = 0; m < 2; m++) {
        int32_t tokens[N_CTX];
        char store[16];
        snprintf(store, sizeof store, "%d", m);
        make_tokens(paths[m], tokens, 11);
        process p = begin(paths[m], store);
        sleep_tokens(&p, tokens, 300, "doc");
        end(&p);
        p = begin(paths[m], store);
        lull_model_use_store(p.model, p.store);
        lull_session *s = new_session(p.model, N_CTX);
        size_t n_known;
        OK(lull_session_recall(s, tokens, 400, &n_known, err));
        assert_int_equal(n_known, 256);
        expect_cold(paths[m], s, tokens, 256);
        lull_session_free(s);
        s = new_session(p.model, N_CTX); /* evicted, as keep_bytes is 1: from the disk again */
        OK(lull_session_eval(s, tokens, 310, NULL, err));
        assert_int_equal(lull_session_reuse(s).from_disk, 256);
        assert_int_equal(lull_session_reuse(s).computed, 54);
        expect_cold(paths[m], s, tokens, 310);
        /* Beside it, from memory. */
        lull_session *t = new_session(p.model, N_CTX);
        OK(lull_session_eval(t, tokens, 310, NULL, err));
        assert_int_equal(lull_session_reuse(t).from_memory, 256);
        lull_session_free(s);
        lull_session_free(t);
        tokens[70] = (tokens[70] + 1) % lull_model_get_info(p.model).n_vocab;
        s = new_session(p.model, N_CTX);
        OK(lull_session_eval(s, tokens, 310, NULL, err));
        assert_int_equal(lull_session_reuse(s).from_disk, 64);
        expect_cold(paths[m], s, tokens, 310);
        lull_session_free(s);
        end(&p);
    }
}

/* Sliding planes that were thinned away are computed again, a window's tokens at most. */
static void test_thinning(void **state)
{
    (void)state;
    enum { WINDOW_PAGES = 1 }; /* the window has 48 positions */
    int32_t tokens[N_CTX];
    make_tokens(GEMMA, tokens, 13);
    process p = begin(GEMMA, "s");
    sleep_tokens(&p, tokens, 600, "long");
    lull_store_gc_options o = {.is_thinning = true};
    lull_store_gc_report report;
    OK(lull_store_gc(p.store, &o, &report, err));
    assert_true(report.n_thinned >= 3);
    end(&p);
    size_t n_mended = 0;
    for (size_t n = 1; n < 580; n += 17) {
        char name[32];
        p = begin(GEMMA, "s");
        snprintf(name, sizeof name, "long:%zu", n);
        lull_session *s = wake(&p, name);
        expect_cold(GEMMA, s, tokens, n);
        uint64_t computed = lull_session_reuse(s).computed;
        assert_in_range(computed, N_NEXT, N_NEXT + WINDOW_PAGES * PAGE);
        n_mended += computed > N_NEXT;
        /* What was computed again can sleep, and is there for others. */
        OK(lull_sleep(s, p.store, &(lull_sleep_options){.name = "other"}, NULL, err));
        lull_session *t = wake(&p, "other");
        lull_session_truncate(t, n);
        expect_cold(GEMMA, t, tokens, n);
        lull_session_free(s);
        lull_session_free(t);
        end(&p);
    }
    assert_true(n_mended > 0);
    p = begin(GEMMA, "s"); /* as the beginning of a prompt */
    lull_model_use_store(p.model, p.store);
    for (size_t n = 64; n < 580; n += 64) {
        lull_session *s = new_session(p.model, N_CTX);
        OK(lull_session_eval(s, tokens, n, NULL, err));
        assert_int_equal(lull_session_reuse(s).from_disk, n);
        expect_cold(GEMMA, s, tokens, n);
        lull_session_free(s);
    }
    end(&p);
}

/* ---- verdicts -------------------------------------------------------------------------------- */

static json_t *changed(const json_t *v)
{
    if (json_is_integer(v)) return json_integer(json_integer_value(v) + 1);
    if (json_is_real(v)) return json_real(json_real_value(v) * 2);
    if (json_is_array(v)) return json_pack("[s]", "other");
    return json_string("other");
}

static void expect_verdict(const lull_model *m, json_t *card, lull_verdict verdict,
                           const char *field, const char *words)
{
    char *json = json_dumps(card, JSON_COMPACT);
    lull_judgement j;
    OK(lull_judge(m, json, &j, err));
    assert_int_equal(j.verdict, verdict);
    assert_int_equal(j.n_fields, 1);
    assert_string_equal(j.fields[0].name, field);
    if (!strstr(j.fields[0].text, words))
        fail_msg("%s: \"%s\" does not say \"%s\"", field, j.fields[0].text, words);
    free(json);
}

/* Each field of a card, changed, left out, and one that nobody knows. */
static void test_verdicts(void **state)
{
    (void)state;
    static const struct {
        const char *field, *words;
    } words[] = {
        {"weights", "weights: the state has"},
        {"architecture", "architecture: the state has other, the model gemma3"},
        {"adapter", "adapter"},
        {"numerics", "numerics class: the state has other, the model canon-1"},
        {"kv", "kind of keys and values: the state has other, the model "},
        {"page_positions", "positions of a page: the state has 65, the model 64"},
        {"n_layer", "layers"},
        {"n_head", "attention heads: the state has 5, the model 4"},
        {"n_kv", "key-value heads"},
        {"d_head", "size of a head"},
        {"window", "sliding window: the state has 49, the model 48"},
        {"eps", "epsilon"},
        {"ropes", "RoPE base or scaling"},
        {"sliding_layers", "layers with a sliding window"},
    };
    lull_model *m = open_model(GEMMA, NULL, 1);
    json_t *card = json_loads(lull_model_card(m), 0, NULL), *kv = json_object_get(card, "kv");
    lull_judgement j;
    OK(lull_judge(m, lull_model_card(m), &j, err));
    assert_int_equal(j.verdict, LULL_VERDICT_SAME);
    assert_int_equal(j.n_fields, 0);
    assert_int_equal(json_object_size(kv), sizeof words / sizeof *words);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        json_t *old = json_incref(json_object_get(kv, words[i].field));
        assert_non_null(old);
        json_object_set_new(kv, words[i].field, changed(old));
        expect_verdict(m, card, LULL_VERDICT_CONVERTIBLE, words[i].field, words[i].words);
        json_object_del(kv, words[i].field);
        expect_verdict(m, card, LULL_VERDICT_CONVERTIBLE, words[i].field, "does not say");
        json_object_set_new(kv, words[i].field, old);
    }
    json_object_set_new(kv, "novelty", json_integer(1));
    expect_verdict(m, card, LULL_VERDICT_CONVERTIBLE, "novelty", "does not know");
    json_object_del(kv, "novelty");
    json_object_set_new(card, "novelty", json_integer(1));
    expect_verdict(m, card, LULL_VERDICT_REFUSED, "novelty", "does not know");
    json_object_del(card, "novelty");
    json_t *old = json_incref(json_object_get(card, "tokenizer"));
    json_object_set_new(card, "tokenizer", json_string("other"));
    expect_verdict(m, card, LULL_VERDICT_REFUSED, "tokenizer", "tokenizer: the state has other");
    json_object_set_new(card, "tokenizer", old);
    json_object_set_new(card, "chat_template", json_string("other"));
    expect_verdict(m, card, LULL_VERDICT_CONVERTIBLE, "chat_template", "chat template");
    json_decref(card);
    OK(lull_judge(m, "{\"kv\": [}", &j, err));
    assert_int_equal(j.verdict, LULL_VERDICT_REFUSED);
    lull_model_close(m);
}

/* A file of the same name with other weights is another model; the same file elsewhere is not. */
static void copy_model(const char *from, const char *to, long flip_at)
{
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    assert_true(in && out);
    long at = 0;
    fseek(in, 0, SEEK_END);
    long n = ftell(in);
    rewind(in);
    for (int c; (c = getc(in)) != EOF; at++) putc(at == n - flip_at ? c ^ 1 : c, out);
    fclose(in);
    fclose(out);
}

static void test_other_model(void **state)
{
    (void)state;
    int32_t tokens[N_CTX];
    char same[128], other[128], vocabulary[128];
    make_tokens(LLAMA, tokens, 17);
    process p = begin(LLAMA, "s");
    sleep_tokens(&p, tokens, 200, "mine");
    end(&p);
    snprintf(same, sizeof same, "%s/moved.gguf", folder);
    snprintf(other, sizeof other, "%s/tiny-llama.gguf", folder);
    copy_model(LLAMA, same, 0);
    copy_model(LLAMA, other, 4096); /* a bit of the last tensor */
    p = begin(same, "s");
    lull_session *s = wake(&p, "mine");
    expect_cold(LLAMA, s, tokens, 200);
    lull_session_free(s);
    end(&p);
    p = begin(other, "s");
    FAILS(lull_wake(p.model, p.store, "mine", NULL, &s, err), LULL_EMISMATCH,
          "weights: the state has");
    FAILS(lull_wake(p.model, p.store, "mine", NULL, &s, err), LULL_EMISMATCH, "--re-read");
    assert_null(s);
    OK(lull_wake(p.model, p.store, "mine", &(lull_wake_options){.re_reads = true}, &s, err));
    expect_cold(other, s, tokens, 200);
    assert_int_equal(lull_session_reuse(s).computed, 200 + N_NEXT);
    lull_session_free(s);
    end(&p);
    snprintf(vocabulary, sizeof vocabulary, "%s", LONG);
    p = begin(vocabulary, "s");
    FAILS(lull_wake(p.model, p.store, "mine", &(lull_wake_options){.re_reads = true}, &s, err),
          LULL_EMISMATCH, "refused");
    FAILS(lull_wake(p.model, p.store, "mein", NULL, &s, err), LULL_ENOTFOUND, "mine");
    end(&p);
}

/* ---- damage ---------------------------------------------------------------------------------- */

/* Flip a bit of the segment's page that holds the n-th plane's bytes. */
static void flip_segment(size_t offset)
{
    char path[512];
    snprintf(path, sizeof path, "%s/s/segments", folder);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.') continue;
        char file[800];
        snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        int fd = open(file, O_RDWR);
        uint8_t byte;
        assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
        byte ^= 4;
        assert_int_equal(pwrite(fd, &byte, 1, (off_t)offset), 1);
        close(fd);
    }
    closedir(dir);
}

static void test_damage(void **state)
{
    (void)state;
    for (int m = 0; m < 2; m++) {
        int32_t tokens[N_CTX];
        make_tokens(paths[m], tokens, 19);
        drop_folder(NULL);
        assert_int_equal(mkdir(folder, 0700), 0);
        process p = begin(paths[m], "s");
        sleep_tokens(&p, tokens, 300, "mine");
        end(&p);
        flip_segment(3 * 4096 + 77); /* behind the header, and the first page's frame */
        p = begin(paths[m], "s");
        lull_session *s = wake(&p, "mine");
        const float *row;
        FAILS(lull_session_eval(s, tokens, 1, &row, err), LULL_ECORRUPT, ".seg");
        assert_int_equal(lull_session_n_tokens(s), 300);
        FAILS(lull_session_eval(s, tokens, 1, NULL, err), LULL_ECORRUPT, "--re-read");
        lull_generate_options o = lull_generate_options_default();
        o.max_tokens = 1;
        FAILS(lull_generate(s, &o, NULL, err), LULL_ECORRUPT, ".seg");
        lull_session_free(s);
        /* A prompt does without it. */
        lull_model_use_store(p.model, p.store);
        s = new_session(p.model, N_CTX);
        OK(lull_session_eval(s, tokens, 300, NULL, err));
        assert_int_equal(lull_session_reuse(s).from_disk, 0);
        expect_cold(paths[m], s, tokens, 300);
        lull_session_free(s);
        OK(lull_wake(p.model, p.store, "mine", &(lull_wake_options){.re_reads = true}, &s, err));
        expect_cold(paths[m], s, tokens, 300);
        lull_session_truncate(s, 300);
        /* It sleeps whole again. */
        OK(lull_sleep(s, p.store, &(lull_sleep_options){.name = "mended"}, NULL, err));
        lull_session_free(s);
        end(&p);
        p = begin(paths[m], "s");
        s = wake(&p, "mended");
        expect_cold(paths[m], s, tokens, 300);
        lull_session_free(s);
        end(&p);
    }
}

/* ---- the rest -------------------------------------------------------------------------------- */

static void test_transfer(void **state)
{
    (void)state;
    for (int m = 0; m < 2; m++) {
        int32_t tokens[N_CTX];
        char store[16], empty[16], file[128];
        snprintf(store, sizeof store, "%d", m);
        snprintf(empty, sizeof empty, "e%d", m);
        snprintf(file, sizeof file, "%s/%d.lull", folder, m);
        make_tokens(paths[m], tokens, 23);
        process p = begin(paths[m], store);
        int64_t id = sleep_tokens(&p, tokens, 333, "travels"), *ids;
        size_t n;
        OK(lull_store_export(p.store, &id, 1, NULL, file, err));
        end(&p);
        p = begin(paths[m], empty);
        OK(lull_store_import(p.store, file, false, &ids, &n, err));
        lull_free(ids);
        lull_session *s = wake(&p, "travels");
        expect_cold(paths[m], s, tokens, 333);
        lull_session_free(s);
        lull_store *in_place;
        OK(lull_store_open_export(file, &in_place, err));
        OK(lull_wake(p.model, in_place, "travels", NULL, &s, err));
        expect_cold(paths[m], s, tokens, 333);
        lull_session_free(s);
        OK(lull_store_gc(p.store, NULL, &(lull_store_gc_report){0}, err));
        s = wake(&p, "travels");
        expect_cold(paths[m], s, tokens, 333);
        lull_session_free(s);
        lull_model_close(p.model);
        lull_store_close(in_place);
        lull_store_close(p.store);
    }
}

static void test_data(void **state)
{
    (void)state;
    int32_t tokens[N_CTX];
    make_tokens(LLAMA, tokens, 29);
    process p = begin(LLAMA, "s");
    lull_session *s = new_session(p.model, N_CTX);
    FAILS(lull_sleep(s, p.store, NULL, NULL, err), LULL_EINVAL, "empty");
    OK(lull_session_eval(s, tokens, 100, NULL, err));
    OK(lull_session_set_data(s, "note", "\"a remark\"", err));
    OK(lull_session_set_data(s, "messages", "[{\"role\": \"user\", \"content\": \"\\u00fc\"}]",
                             err));
    OK(lull_session_set_data(s, "gone", "1", err));
    OK(lull_session_set_data(s, "gone", NULL, err));
    FAILS(lull_session_set_data(s, "note", "not json", err), LULL_EINVAL, "note");
    FAILS(lull_session_set_data(s, "generation", "{}", err), LULL_EINVAL, "lull's own");
    const char *tags[] = {"red", "blue"};
    lull_sleep_options o = {.name = "d", .expected = -1, .tags = tags, .n_tags = 2};
    int64_t id;
    OK(lull_sleep(s, p.store, &o, &id, err));
    FAILS(lull_sleep(s, p.store, &o, NULL, err), LULL_EEXIST, "d");
    o.expected = id + 7;
    FAILS(lull_sleep(s, p.store, &o, NULL, err), LULL_EEXIST, "d");
    o.expected = id;
    OK(lull_sleep(s, p.store, &o, NULL, err));
    o.name = "a/../b\n";
    FAILS(lull_sleep(s, p.store, &o, NULL, err), LULL_EINVAL, "name");
    lull_session_free(s);
    end(&p);
    p = begin(LLAMA, "s");
    s = wake(&p, "d");
    char *note = lull_session_get_data(s, "note");
    assert_string_equal(note, "\"a remark\"");
    lull_free(note);
    assert_null(lull_session_get_data(s, "gone"));
    lull_session_free(s);
    s = wake(&p, "d:50"); /* the messages are of the whole */
    note = lull_session_get_data(s, "note");
    assert_non_null(note);
    lull_free(note);
    assert_null(lull_session_get_data(s, "messages"));
    lull_session_free(s);
    FAILS(lull_wake(p.model, p.store, "d", &(lull_wake_options){.n_ctx = 99}, &s, err), LULL_EFULL,
          "99");
    FAILS(lull_wake(p.model, p.store, "d:0", NULL, &s, err), LULL_EINVAL, "one token");
    end(&p);
}

static long n_json_left = -1; /* requests of the JSON library until one fails; -1: none does */

static void *json_malloc(size_t n)
{
    if (n_json_left >= 0 && n_json_left-- == 0) return NULL;
    return malloc(n);
}

/* A sleep that memory does not suffice for fails; one that is acknowledged has all of the generation. */
static void test_sleep_without_memory(void **state)
{
    (void)state;
    int32_t tokens[N_CTX];
    make_tokens(LLAMA, tokens, 33);
    const char *stops[] = {"\xff\xfe", "\x80, no UTF-8"}; /* one way to save them */
    const int32_t stop_tokens[] = {70, 71};
    const lull_logit_bias bias[] = {{72, -1.5f}, {73, 2}};
    lull_generate_options o = lull_generate_options_default();
    o.sampling.bias = bias;
    o.sampling.n_bias = 2;
    o.stop = stops;
    o.n_stop = 2;
    o.stop_tokens = stop_tokens;
    o.n_stop_tokens = 2;
    o.ignore_eog = true;
    o.max_tokens = 3;
    process p = begin(LLAMA, "s");
    lull_session *s = new_session(p.model, N_CTX);
    OK(lull_session_eval(s, tokens, 70, NULL, err));
    OK(lull_generate(s, &o, NULL, err));
    OK(lull_sleep(s, p.store, &(lull_sleep_options){.name = "whole"}, NULL, err));
    json_t *want = NULL;
    json_set_alloc_funcs(json_malloc, free);
    for (long n = -1; n < 0 || n_json_left < 0; n++) {
        int64_t id;
        lull_store_state info;
        n_json_left = n;
        lull_status st = lull_sleep(s, p.store, &(lull_sleep_options){.name = "g"}, &id, NULL);
        long n_left = n_json_left;
        n_json_left = -1;
        if (n < 0) assert_int_equal(st, LULL_OK);
        if (st != LULL_OK) {
            assert_int_equal(st, LULL_ENOMEM);
            continue;
        }
        OK(lull_store_get(p.store, id, false, &info, err));
        json_t *all = json_loads(info.session, 0, NULL);
        if (!all) fail_msg("request %ld: no JSON: %s", n, info.session);
        lull_store_state_fini(&info);
        json_t *generation = json_object_get(all, "generation");
        if (n < 0)
            want = json_incref(generation);
        else if (!json_equal(generation, want))
            fail_msg("request %ld: another generation has fallen asleep", n);
        json_decref(all);
        n_json_left = n_left;
    }
    n_json_left = -1;
    json_decref(want);
    json_set_alloc_funcs(malloc, free);
    lull_session_free(s);
    end(&p);
}

/* What sleeps a second time costs its new pages only. */
static void test_cost(void **state)
{
    (void)state;
    int32_t tokens[N_CTX];
    make_tokens(GEMMA, tokens, 31);
    process p = begin(GEMMA, "s");
    sleep_tokens(&p, tokens, 500, "a");
    lull_store_info before, after;
    OK(lull_store_get_info(p.store, &before, err));
    sleep_tokens(&p, tokens, 500, "b"); /* computed by another session, the same pages */
    OK(lull_store_get_info(p.store, &after, err));
    assert_int_equal(after.n_pages, before.n_pages);
    assert_true(after.segment_bytes - before.segment_bytes <= 16384);
    end(&p);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, drop_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_wake_is_cold),
        TEST(test_forks),
        TEST(test_going_on),
        TEST(test_generation),
        TEST(test_prompts),
        TEST(test_thinning),
        TEST(test_verdicts),
        TEST(test_other_model),
        TEST(test_damage),
        TEST(test_transfer),
        TEST(test_data),
        TEST(test_cost),
        TEST(test_sleep_without_memory),
    };
    return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
