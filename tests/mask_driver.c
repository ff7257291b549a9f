/* Masks of schemas, for schema_compare.py: one command a line on standard input, one answer a
 * line.
 *
 *     S <schema>            compiles: "ok <microseconds>", or "refused <status> <microseconds> <message>"
 *     M <hex>               a text against it: "yes", "no", or "error <message>"
 *     W <seed> <n> <bytes>  n random texts of it, which end as soon as they can when they have that
 *                           many bytes: n lines of hex; "-" for one that was given up */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "matcher.h"
#include "schema.h"

enum { MAX_TEXT = 1 << 16, GIVE_UP = 4000 };

static lull_grammar *grammar;
static lull_automaton *automaton;
static uint64_t state;

static uint32_t draw(uint32_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((state >> 33) % n);
}

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void compile(const char *schema)
{
    lull_error err = {0};
    lull_expr start;
    double from = now_us();
    lull_automaton_free(automaton);
    lull_grammar_free(grammar);
    automaton = NULL;
    grammar = lull_grammar_new();
    lull_status st = lull_schema_compile(schema, strlen(schema), grammar, &start, &err);
    if (st == LULL_OK) st = lull_grammar_finish(grammar, start, &err);
    if (st == LULL_OK) st = lull_automaton_new(grammar, &automaton, &err);
    if (st == LULL_OK)
        printf("ok %.0f\n", now_us() - from);
    else
        printf("refused %s %.0f %s\n", lull_status_name(st), now_us() - from, err.msg);
}

static void match(const char *hex)
{
    static char text[MAX_TEXT];
    lull_error err = {0};
    size_t n = 0;
    for (; hex[2 * n] && hex[2 * n + 1] && n < MAX_TEXT; n++) {
        char two[3] = {hex[2 * n], hex[2 * n + 1], 0};
        text[n] = (char)strtol(two, NULL, 16);
    }
    lull_place p;
    if (lull_automaton_step(automaton, lull_automaton_start(automaton), text, n, &p, &err) !=
        LULL_OK)
        printf("error %s\n", err.msg);
    else
        puts(p != LULL_PLACE_DEAD && lull_automaton_is_complete(automaton, p) ? "yes" : "no");
}

/* A byte that may stand at p, by preference one that closes what is open when `ends`. */
static int choose(lull_place p, int ends, lull_place *next)
{
    unsigned char allowed[256];
    lull_place places[256];
    size_t n = 0;
    for (int b = 0; b < 256; b++) {
        lull_error err;
        char byte = (char)b;
        if (lull_automaton_step(automaton, p, &byte, 1, &places[n], &err) == LULL_OK &&
            places[n] != LULL_PLACE_DEAD)
            allowed[n++] = (unsigned char)b;
    }
    if (n == 0) return -1;
    size_t k = draw((uint32_t)n);
    const char *closing = "\"]}";
    for (size_t i = 0; i < n && ends; i++)
        if (memchr(closing, allowed[i], 3)) {
            k = i;
            break;
        }
    /* Letters more often than the many bytes of other characters. */
    if (allowed[k] >= 128 && draw(8)) {
        size_t again = draw((uint32_t)n);
        if (allowed[again] < 128) k = again;
    }
    *next = places[k];
    return allowed[k];
}

static void walk(const char *line)
{
    unsigned seed, n, n_bytes;
    if (sscanf(line, "%u %u %u", &seed, &n, &n_bytes) != 3) return;
    for (unsigned i = 0; i < n; i++) {
        static unsigned char text[GIVE_UP];
        size_t at = 0;
        lull_place p = lull_automaton_start(automaton);
        state = seed + i * 7919u;
        while (at < GIVE_UP) {
            int ends = at >= n_bytes;
            if (lull_automaton_is_complete(automaton, p) && (ends || draw(4) == 0)) break;
            int byte = choose(p, ends && draw(8), &p);
            if (byte < 0) break;
            text[at++] = (unsigned char)byte;
        }
        if (!lull_automaton_is_complete(automaton, p)) at = 0;
        if (at == 0) putchar('-');
        for (size_t k = 0; k < at; k++) printf("%02x", text[k]);
        putchar('\n');
    }
}

int main(void)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    while ((n = getline(&line, &cap, stdin)) > 1) {
        if (line[n - 1] == '\n') line[n - 1] = '\0';
        const char *rest = line + 2;
        if (line[0] == 'S')
            compile(rest);
        else if (!automaton)
            puts("error nothing is compiled");
        else if (line[0] == 'M')
            match(rest);
        else if (line[0] == 'W')
            walk(rest);
        fflush(stdout);
    }
    free(line);
    lull_automaton_free(automaton);
    lull_grammar_free(grammar);
    return 0;
}
