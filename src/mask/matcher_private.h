/* The states of an automaton, for matcher.c and mask.c. */
#ifndef LULL_MASK_MATCHER_PRIVATE_H
#define LULL_MASK_MATCHER_PRIVATE_H

#include "grammar_program.h"
#include "matcher.h"
#include "trie.h"

/* A frame of the stack, and all below it: equal stacks are one frame. Frame 0 is the empty stack. */
typedef struct lull_frame {
    uint64_t value; /* of a loop: rounds; of an object: which members */
    uint32_t count; /* of an object: how many members */
    uint32_t point; /* of a call: where it goes on */
    uint32_t below, depth, hash;
} lull_frame;

/* Where a text may stand: a point that takes a byte, or the end, and the stack there. */
typedef struct lull_spot {
    uint32_t point, frame;
} lull_spot;

/* Of `next` and `behind_kind`: not yet computed; and of the latter: some characters of the kind may follow,
 * or they lead apart. */
enum { LULL_PLACE_UNKNOWN = UINT32_MAX, LULL_PLACE_MIXED = UINT32_MAX - 1 };

/* How many characters of some kinds may follow, whichever they are. */
enum {
    LULL_RUN_COUNT = 0x3F, /* at least so many */
    LULL_RUN_ENDLESS = 0x3F,
    LULL_RUN_EXACT = 0x40, /* and not one more, of any of these kinds */
    LULL_RUN_UNKNOWN = 0xFF
};

/* A place: the set of its spots, sorted. Place 0 has none. */
typedef struct lull_place_facts {
    uint32_t first_spot, n_spots, hash;
    lull_place *next; /* [n_classes] owned; NULL: nobody asked */
    bool is_complete;
    lull_place behind_kind[LULL_CHAR_KINDS]; /* any character of it; DEAD: none may follow */
    uint8_t runs[1 << LULL_CHAR_KINDS];      /* by kinds, a bit each: LULL_RUN_… */
} lull_place_facts;

struct lull_automaton {
    lull_grammar_program program;
    uint8_t classes[256]; /* bytes that no edge tells apart are one class */
    uint8_t members[256]; /* of a class: a byte in it */
    size_t n_classes;

    lull_frame *frames;
    uint32_t n_frames, frames_cap;
    uint32_t *frame_slots, n_frame_slots; /* a hash table of frames, a power of two */
    lull_place_facts *places;
    uint32_t n_places, places_cap;
    uint32_t *place_slots, n_place_slots;
    lull_spot *spots;
    uint32_t n_spots, spots_cap;
    size_t next_bytes;

    /* While a set is made: */
    lull_spot *found, *todo;
    uint32_t n_found, found_cap, n_todo, todo_cap;
    uint64_t *seen; /* [n_seen_slots] of points and frames, each with the stamp of its set */
    uint32_t *seen_stamp, n_seen_slots, n_seen, stamp;
    lull_status failure;
    const char *reason;

    lull_place start;
};

/* The place behind one byte; LULL_PLACE_DEAD also when a->failure is set. */
lull_place lull_automaton_find_next(lull_automaton *a, lull_place from, uint8_t cls);

static inline lull_place lull_automaton_next(lull_automaton *a, lull_place from, uint8_t byte)
{
    uint8_t cls = a->classes[byte];
    const lull_place *next = a->places[from].next;
    if (next && next[cls] != LULL_PLACE_UNKNOWN) return next[cls];
    return lull_automaton_find_next(a, from, cls);
}

/* LULL_RUN_… of these kinds (a bit each, at least one). */
uint8_t lull_automaton_find_run(lull_automaton *a, lull_place p, unsigned kinds);

static inline uint8_t lull_automaton_run(lull_automaton *a, lull_place p, unsigned kinds)
{
    uint8_t run = a->places[p].runs[kinds];
    return run != LULL_RUN_UNKNOWN ? run : lull_automaton_find_run(a, p, kinds);
}
/* Forget all places but p and the start, which get new numbers. LULL_ENOMEM: the automaton is of no use any
 * more but to be freed. */
LULL_NODISCARD lull_status lull_automaton_trim(lull_automaton *a, lull_place *p, lull_error *err);
/* Fill err from a->failure, which is cleared. */
LULL_NODISCARD lull_status lull_automaton_failed(lull_automaton *a, lull_error *err);

#endif
