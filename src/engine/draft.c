/* Prompt-lookup drafting (Saxena 2023): what followed the last tokens where they stood before is guessed
 * to follow again. A hash table leads from each three tokens in a row to what came after them last. */
#include <stdlib.h>
#include <string.h>

#include "engine.h"

enum { GRAM = 3, FIRST_LENGTH = 3, MOST_SLOTS = 1 << 20, MOST_PAUSE = 64 };

lull_status lull_drafter_init(lull_drafter *d, size_t n_ctx, int most, lull_error *err)
{
    *d = (lull_drafter){.most = most > 0 && most < LULL_DRAFT_MOST ? most : LULL_DRAFT_MOST,
                        .n_slots = 64};
    d->length = d->most < FIRST_LENGTH ? d->most : FIRST_LENGTH;
    while (d->n_slots < 2 * n_ctx && d->n_slots < MOST_SLOTS) d->n_slots *= 2;
    d->next = calloc(d->n_slots, sizeof *d->next);
    return d->next ? LULL_OK : lull_fail(err, LULL_ENOMEM, "out of memory for drafts");
}

void lull_drafter_fini(lull_drafter *d)
{
    free(d->next);
    d->next = NULL;
}

/* The slot of the tokens before position i. */
static uint32_t *slot_of(const lull_drafter *d, const int32_t *tokens, size_t i)
{
    uint64_t hash = 0;
    for (size_t k = i - GRAM; k < i; k++) hash = (hash ^ (uint32_t)tokens[k]) * 0x9e3779b97f4a7c15u;
    return &d->next[(hash >> 32) & (d->n_slots - 1)];
}

int lull_drafter_propose(lull_drafter *d, const int32_t *tokens, size_t n, size_t room,
                         int32_t *draft)
{
    if (n <= GRAM || n >= UINT32_MAX) return 0;
    if (d->n_indexed < GRAM) d->n_indexed = GRAM;
    for (size_t i = d->n_indexed; i < n; i++) *slot_of(d, tokens, i) = (uint32_t)i;
    uint32_t *slot = slot_of(d, tokens, n);
    size_t from = *slot;
    *slot = (uint32_t)n;
    d->n_indexed = n + 1;
    if (d->pause > 0) {
        d->pause--;
        return 0;
    }
    bool is_same = from >= GRAM && from < n &&
                   memcmp(tokens + from - GRAM, tokens + n - GRAM, GRAM * sizeof *tokens) == 0;
    int length = (size_t)d->length < room ? d->length : (int)room;
    if (!is_same || length <= 0) return 0;
    /* What would follow beyond the end is what was drafted already: the text goes round. */
    for (int i = 0; i < length; i++)
        draft[i] = from + (size_t)i < n ? tokens[from + (size_t)i] : draft[from + (size_t)i - n];
    return length;
}

void lull_drafter_learn(lull_drafter *d, int n_drafted, int n_accepted)
{
    d->n_drafted += (size_t)n_drafted;
    d->n_accepted += (size_t)n_accepted;
    if (n_accepted == 0) {
        d->n_misses++;
        d->pause = d->n_misses < 5 ? 2 << d->n_misses : MOST_PAUSE;
    } else {
        d->n_misses = 0;
    }
    /* Panels take 4, 8 and 12 tokens; one of them is no draft. */
    if (n_accepted == n_drafted)
        d->length += 4;
    else if (2 * n_accepted < n_drafted)
        d->length = FIRST_LENGTH;
    if (d->length > d->most) d->length = d->most;
}
