/* Noticing that a model goes round in circles: the same token, line or sentence again and again. Lines and
 * sentences are compared by a hash of what they say, sentences without regard to case and spaces. */
#include <string.h>

#include "engine.h"

enum { SHORTEST = 12 }; /* bytes of a sentence that counts */

static uint64_t mix_in(uint64_t hash, unsigned char byte)
{
    return (hash ^ byte) * 0x100000001B3u; /* FNV-1a, 64 bits */
}

/* How many of the last sentences are this one, itself included. */
static int note_sentence(lull_loop *l, uint64_t hash)
{
    int n = 1;
    for (size_t i = 0; i < LULL_LOOP_SENTENCES; i++) n += l->sentences[i] == hash;
    l->sentences[l->n_sentences++ % LULL_LOOP_SENTENCES] = hash;
    return n;
}

static void end_sentence(lull_loop *l)
{
    if (l->sentence_bytes >= SHORTEST) {
        int n = note_sentence(l, l->sentence);
        if (n > l->most_sentences) l->most_sentences = n;
    }
    l->sentence = 0;
    l->sentence_bytes = 0;
    l->has_space = false;
}

static void end_line(lull_loop *l)
{
    if (l->line_bytes > 0) {
        l->n_lines = l->n_lines > 0 && l->line == l->last_line ? l->n_lines + 1 : 1;
        l->last_line = l->line;
    }
    l->line = 0;
    l->line_bytes = 0;
}

static void push_byte(lull_loop *l, unsigned char byte)
{
    if (byte == '\n') {
        end_line(l);
    } else {
        l->line = mix_in(l->line, byte);
        if (byte != ' ' && byte != '\t' && byte != '\r') l->line_bytes++;
    }
    if (byte == '.' || byte == '!' || byte == '?') {
        end_sentence(l);
    } else if (byte <= ' ') {
        l->has_space = l->sentence_bytes > 0;
    } else {
        if (l->has_space) {
            l->sentence = mix_in(l->sentence, ' ');
            l->sentence_bytes++;
        }
        l->has_space = false;
        l->sentence = mix_in(l->sentence, byte >= 'A' && byte <= 'Z' ? byte + 32 : byte);
        l->sentence_bytes++;
    }
}

lull_finish lull_loop_push(lull_loop *l, const lull_loop_guard *guard, int32_t token,
                           const char *text, size_t n_bytes)
{
    l->n_tokens = l->n_tokens > 0 && token == l->last_token ? l->n_tokens + 1 : 1;
    l->last_token = token;
    for (size_t i = 0; i < n_bytes; i++) push_byte(l, (unsigned char)text[i]);
    if (guard->n_tokens > 0 && l->n_tokens >= guard->n_tokens) return LULL_FINISH_LOOP_TOKEN;
    if (guard->n_lines > 0 && l->n_lines >= guard->n_lines) return LULL_FINISH_LOOP_LINE;
    if (guard->n_sentences > 0 && l->most_sentences >= guard->n_sentences)
        return LULL_FINISH_LOOP_SENTENCE;
    return LULL_FINISH_LENGTH;
}
