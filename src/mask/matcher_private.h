/* The states of an automaton, for matcher.c and mask.c. */
#ifndef LULL_MASK_MATCHER_PRIVATE_H
#define LULL_MASK_MATCHER_PRIVATE_H

#include "matcher.h"
#include "program.h"

/* A frame of the stack, and all below it: equal stacks are one frame. Frame 0 is the empty stack. */
typedef struct lull_frame {
    uint64_t value; /* of a loop: rounds; of an object: which members */
    uint32_t count; /* of an object: how many members */
    uint32_t point; /* of a call: where it goes on */
    uint32_t below, depth;
} lull_frame;

/* Where a text may stand: a point that takes a byte, or the end, and the stack there. */
typedef struct lull_spot {
    uint32_t point, frame;
} lull_spot;

enum {
    LULL_PLACE_UNKNOWN = UINT32_MAX, /* of `next`: not yet computed */
    LULL_FREE_UNKNOWN = 255,
    LULL_FREE_ENDLESS = 254
};

/* A place: the set of its spots, sorted. Place 0 has none. */
typedef struct lull_place_facts {
    uint32_t first_spot, n_spots;
    lull_place *next; /* [n_classes] owned; NULL: nobody asked */
    bool is_complete;
    uint8_t
        free_chars; /* so many characters of any kind may follow, of those that JSON writes as they
                           are; LULL_FREE_ENDLESS, LULL_FREE_UNKNOWN */
} lull_place_facts;

struct lull_automaton {
    lull_program program;
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

/* LULL_FREE_…, or a count. */
uint8_t lull_automaton_free_chars(lull_automaton *a, lull_place p);
/* Fill err from a->failure, which is cleared. */
LULL_NODISCARD lull_status lull_automaton_failed(lull_automaton *a, lull_error *err);

#endif
