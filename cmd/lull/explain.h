/* Where two token sequences part, what stands there, and why, as far as it can be guessed: the cause of
 * a prompt that is computed again although nearly all of it was known. */
#ifndef LULL_CMD_EXPLAIN_H
#define LULL_CMD_EXPLAIN_H

#include "cmd.h"

typedef enum lull_cause {
    LULL_CAUSE_NONE,       /* one is the beginning of the other */
    LULL_CAUSE_BOS,        /* a beginning-of-sequence token on one side */
    LULL_CAUSE_TEMPLATE,   /* a control token against text, or another control token */
    LULL_CAUSE_TURNS,      /* the template renders earlier turns differently */
    LULL_CAUSE_DATE,       /* a date or a time */
    LULL_CAUSE_ID,         /* an identifier: hex digits, a UUID, a long number */
    LULL_CAUSE_NUMBER,     /* another number */
    LULL_CAUSE_WHITESPACE, /* blanks, line ends */
    LULL_CAUSE_CASE,       /* upper and lower case */
    LULL_CAUSE_TOKENS,     /* the same text, cut into other tokens */
    LULL_CAUSE_TEXT        /* other words */
} lull_cause;

const char *lull_cause_name(lull_cause c);   /* "date", for programs */
const char *lull_cause_words(lull_cause c);  /* "a date or a time", for people */
const char *lull_cause_advice(lull_cause c); /* what can be done about it; "" for nothing */

typedef struct lull_divergence {
    size_t n_common; /* tokens; the index of the first one that differs */
    lull_cause cause;
    bool is_in_system;            /* it stands in the system message */
    long message;                 /* of TURNS: the answer whose prompt was another; else -1 */
    lull_buffer before;           /* text in front of the place, the same on both sides */
    lull_buffer after_a, after_b; /* what follows on either side */
} lull_divergence;

/* a [n_a], b [n_b]. LULL_ENOMEM. *out is to be finished. */
LULL_NODISCARD lull_status lull_explain(const lull_model *model, const int32_t *a, size_t n_a,
                                        const int32_t *b, size_t n_b, lull_divergence *out,
                                        lull_error *err);
/* A closer look has shown that it is the template, at this message (turns.h). */
void lull_divergence_blame_turns(lull_divergence *d, long message);
void lull_divergence_fini(lull_divergence *d);

/* Two lines that show both sides, the place marked, on f; names of equal use. */
void lull_divergence_print(const lull_divergence *d, FILE *f, const char *name_a,
                           const char *name_b);
json_t *lull_divergence_json(const lull_divergence *d, const char *key_a, const char *key_b);

/* The vocabulary that a state's tokens are of: path, or the model's path that the state remembers. Its
 * tokenizer is compared with the state's card: LULL_EMISMATCH. LULL_ENOTFOUND says to give --model. */
LULL_NODISCARD lull_status lull_cmd_open_vocab(const lull_store_state *state, const char *name,
                                               const char *path, lull_model **model,
                                               lull_error *err);
/* Do the tokens of two states mean the same? */
bool lull_cmd_is_same_vocab(const lull_store_state *a, const lull_store_state *b);

#endif
