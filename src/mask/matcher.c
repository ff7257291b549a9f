/* The automaton of a grammar, made as far as texts need it: its places are sets of points with their
 * stacks (the subset construction, with a stack for what nests), and what was found once is looked up. */
#include <stdlib.h>
#include <string.h>

#include "matcher_private.h"

enum {
    NONE = UINT32_MAX,
    MAX_DEPTH = 1000,   /* frames on each other: objects in objects, rules in rules */
    MAX_SPOTS = 16384,  /* in one place: a grammar that is that ambiguous is of no use */
    MAX_SEEN = 1 << 18, /* points passed for one byte */
    MAX_FRAMES = 1 << 22,
    MAX_PLACES = 1 << 20
};

static uint64_t mix(uint64_t h)
{
    h ^= h >> 32;
    h *= 0xD6E8FEB86659FD93u;
    h ^= h >> 32;
    return h;
}

static void fail(lull_automaton *a, lull_status why, const char *reason)
{
    if (a->failure != LULL_OK) return;
    a->failure = why;
    a->reason = reason;
}

/* Room for one more entry. */
static bool grow(lull_automaton *a, void *table, uint32_t *cap, uint32_t n_used, size_t entry_bytes)
{
    if (n_used < *cap) return true;
    uint32_t grown = *cap * 2 + 256;
    void *p = realloc(*(void **)table, grown * entry_bytes);
    if (!p) {
        fail(a, LULL_ENOMEM, "no memory for the states of a grammar");
        return false;
    }
    *(void **)table = p;
    *cap = grown;
    return true;
}

/* ---- frames ------------------------------------------------------------------------------------ */

static uint32_t frame_hash(const lull_frame *f)
{
    return (uint32_t)mix(f->value ^ mix((uint64_t)f->below << 32 | f->point) ^
                         (uint64_t)f->count << 17);
}

static bool rehash_frames(lull_automaton *a)
{
    uint32_t n = a->n_frame_slots ? a->n_frame_slots * 2 : 1024;
    uint32_t *slots = calloc(n, sizeof *slots);
    if (!slots) {
        fail(a, LULL_ENOMEM, "no memory for the states of a grammar");
        return false;
    }
    for (uint32_t i = 1; i < a->n_frames; i++) {
        uint32_t at = a->frames[i].hash & (n - 1);
        while (slots[at]) at = (at + 1) & (n - 1);
        slots[at] = i;
    }
    free(a->frame_slots);
    a->frame_slots = slots;
    a->n_frame_slots = n;
    return true;
}

/* The frame with these contents; 0 after a failure. */
static uint32_t find_frame(lull_automaton *a, lull_frame f)
{
    f.depth = a->frames[f.below].depth + 1;
    if (f.depth > MAX_DEPTH) fail(a, LULL_EFULL, "the text is nested too deeply for a grammar");
    if (a->n_frames >= MAX_FRAMES) fail(a, LULL_EFULL, "a grammar has too many states");
    if (2 * a->n_frames >= a->n_frame_slots && !rehash_frames(a)) return 0;
    f.hash = frame_hash(&f);
    uint32_t at = f.hash & (a->n_frame_slots - 1);
    for (; a->frame_slots[at]; at = (at + 1) & (a->n_frame_slots - 1)) {
        const lull_frame *g = &a->frames[a->frame_slots[at]];
        if (g->value == f.value && g->count == f.count && g->point == f.point &&
            g->below == f.below)
            return a->frame_slots[at];
    }
    if (!grow(a, &a->frames, &a->frames_cap, a->n_frames, sizeof *a->frames)) return 0;
    a->frames[a->n_frames] = f;
    a->frame_slots[at] = a->n_frames;
    return a->n_frames++;
}

/* ---- from a spot to those that take a byte ------------------------------------------------------ */

static bool grow_seen(lull_automaton *a)
{
    uint32_t n = a->n_seen_slots ? a->n_seen_slots * 2 : 1024;
    uint64_t *seen = malloc(n * sizeof *seen);
    uint32_t *stamps = calloc(n, sizeof *stamps);
    if (!seen || !stamps) {
        free(seen);
        free(stamps);
        fail(a, LULL_ENOMEM, "no memory for the states of a grammar");
        return false;
    }
    for (uint32_t i = 0; i < a->n_seen_slots; i++) {
        if (a->seen_stamp[i] != a->stamp) continue;
        uint32_t at = (uint32_t)mix(a->seen[i]) & (n - 1);
        while (stamps[at] == a->stamp) at = (at + 1) & (n - 1);
        seen[at] = a->seen[i];
        stamps[at] = a->stamp;
    }
    free(a->seen);
    free(a->seen_stamp);
    a->seen = seen;
    a->seen_stamp = stamps;
    a->n_seen_slots = n;
    return true;
}

/* Go on from there, too, unless that was done for this set. */
static void visit(lull_automaton *a, uint32_t point, uint32_t frame)
{
    if (a->failure != LULL_OK) return;
    if (a->n_seen >= MAX_SEEN) {
        fail(a, LULL_EFULL, "a grammar is too ambiguous: too many ways to read the text");
        return;
    }
    if (2 * a->n_seen >= a->n_seen_slots && !grow_seen(a)) return;
    uint64_t key = (uint64_t)point << 32 | frame;
    uint32_t at = (uint32_t)mix(key) & (a->n_seen_slots - 1);
    for (; a->seen_stamp[at] == a->stamp; at = (at + 1) & (a->n_seen_slots - 1))
        if (a->seen[at] == key) return;
    a->seen[at] = key;
    a->seen_stamp[at] = a->stamp;
    a->n_seen++;
    if (grow(a, &a->todo, &a->todo_cap, a->n_todo, sizeof *a->todo))
        a->todo[a->n_todo++] = (lull_spot){point, frame};
}

/* A loop's head: `frame` counts its rounds. */
static void go_round(lull_automaton *a, const lull_point *p, uint32_t frame)
{
    lull_frame f = a->frames[frame];
    if (f.value >= p->min) visit(a, p->next, f.below);
    if (p->max != NONE && f.value >= p->max) return;
    if (p->max != NONE || f.value < p->min) f.value++; /* what no bound asks for is not counted */
    visit(a, p->first, find_frame(a, f));
}

/* Word w of the members that the text has. */
static uint64_t members_of(const lull_automaton *a, uint32_t frame, uint32_t w)
{
    while (w-- > 0) frame = a->frames[frame].below;
    return a->frames[frame].value;
}

static uint32_t count_missing(const lull_automaton *a, const lull_member_set *set, uint32_t frame)
{
    uint32_t n = 0;
    for (uint32_t w = 0; w < set->n_words; w++, frame = a->frames[frame].below)
        n += (uint32_t)__builtin_popcountll(a->program.words[set->first_word + w] &
                                            ~a->frames[frame].value);
    return n;
}

/* The frames with a member more; member NONE: another one. */
static uint32_t with_member(lull_automaton *a, const lull_member_set *set, uint32_t frame,
                            uint32_t member)
{
    lull_frame kept[64];
    lull_frame *f = kept;
    uint32_t n = set->n_words;
    if (n > 64) { /* more than 4,096 members */
        f = malloc(n * sizeof *f);
        if (!f) {
            fail(a, LULL_ENOMEM, "no memory for the states of a grammar");
            return 0;
        }
    }
    for (uint32_t w = 0; w < n; w++) {
        f[w] = a->frames[frame];
        frame = f[w].below;
    }
    if (member != NONE) f[member / 64].value |= (uint64_t)1 << (member % 64);
    uint32_t most = set->max != NONE ? set->max : set->min > 1 ? set->min : 1;
    if (f[0].count < most) f[0].count++;
    for (uint32_t w = n; w-- > 0;) {
        f[w].below = frame;
        frame = find_frame(a, f[w]);
    }
    if (f != kept) free(f);
    return frame;
}

/* Each member that may come; none: only say whether one may. */
static bool add_members(lull_automaton *a, const lull_member_set *set, uint32_t frame, bool adds)
{
    uint32_t missing = count_missing(a, set, frame), count = a->frames[frame].count;
    bool is_tight = set->max != NONE && count + missing >= set->max; /* required ones only */
    bool has_any = false;
    if (set->max != NONE && count >= set->max) return false;
    for (uint32_t i = 0; i < set->n; i++) {
        uint64_t bit = (uint64_t)1 << (i % 64);
        bool is_required = a->program.words[set->first_word + i / 64] & bit;
        uint32_t target = a->program.targets[set->first_target + i];
        if (target == NONE || (members_of(a, frame, i / 64) & bit) || (is_tight && !is_required))
            continue;
        if (!adds) return true;
        visit(a, target, with_member(a, set, frame, i));
        has_any = true;
    }
    if (set->others != NONE && !is_tight) {
        if (!adds) return true;
        visit(a, set->others, with_member(a, set, frame, NONE));
        has_any = true;
    }
    return has_any;
}

static void go_members(lull_automaton *a, const lull_point *p, uint32_t frame)
{
    const lull_member_set *set = &a->program.sets[p->first];
    if (a->frames[frame].count == 0)
        add_members(a, set, frame, true);
    else if (set->separator != NONE && add_members(a, set, frame, false))
        visit(a, set->separator, frame);
    if (a->frames[frame].count < set->min || count_missing(a, set, frame) > 0) return;
    for (uint32_t w = 0; w < set->n_words; w++) frame = a->frames[frame].below;
    visit(a, p->next, frame);
}

/* All spots that take a byte, or are the end, and that the waiting ones lead to. */
static void follow(lull_automaton *a)
{
    while (a->n_todo > 0 && a->failure == LULL_OK) {
        lull_spot s = a->todo[--a->n_todo];
        const lull_point *p = &a->program.points[s.point];
        switch ((lull_point_kind)p->kind) {
        case LULL_POINT_TAKE:
            if (p->n == 0) break;
            /* fall through */
        case LULL_POINT_END:
            if (a->n_found >= MAX_SPOTS)
                fail(a, LULL_EFULL, "a grammar is too ambiguous: too many ways to read the text");
            else if (grow(a, &a->found, &a->found_cap, a->n_found, sizeof *a->found))
                a->found[a->n_found++] = s;
            break;
        case LULL_POINT_SPLIT:
            for (uint32_t i = 0; i < p->n; i++) visit(a, a->program.targets[p->first + i], s.frame);
            break;
        case LULL_POINT_CALL:
            visit(a, p->first, find_frame(a, (lull_frame){.point = p->next, .below = s.frame}));
            break;
        case LULL_POINT_RETURN: visit(a, a->frames[s.frame].point, a->frames[s.frame].below); break;
        case LULL_POINT_PUSH: {
            uint32_t frame = s.frame;
            for (uint32_t i = 0; i < p->n; i++)
                frame = find_frame(a, (lull_frame){.point = p->first, .below = frame});
            visit(a, p->first, frame);
            break;
        }
        case LULL_POINT_ROUND: go_round(a, p, s.frame); break;
        case LULL_POINT_MEMBERS: go_members(a, p, s.frame); break;
        case LULL_POINT_MEMBER: add_members(a, &a->program.sets[p->first], s.frame, true); break;
        }
    }
    a->n_todo = 0;
}

/* ---- places ------------------------------------------------------------------------------------ */

static int compare_spots(const void *x, const void *y)
{
    const lull_spot *a = x, *b = y;
    if (a->point != b->point) return a->point < b->point ? -1 : 1;
    return (a->frame > b->frame) - (a->frame < b->frame);
}

static uint32_t spots_hash(const lull_spot *s, uint32_t n)
{
    uint64_t h = n;
    for (uint32_t i = 0; i < n; i++) h = mix(h ^ ((uint64_t)s[i].point << 32 | s[i].frame)) + i;
    return (uint32_t)h;
}

static bool rehash_places(lull_automaton *a)
{
    uint32_t n = a->n_place_slots ? a->n_place_slots * 2 : 256;
    uint32_t *slots = calloc(n, sizeof *slots);
    if (!slots) {
        fail(a, LULL_ENOMEM, "no memory for the states of a grammar");
        return false;
    }
    for (uint32_t i = 1; i < a->n_places; i++) {
        uint32_t at = a->places[i].hash & (n - 1);
        while (slots[at]) at = (at + 1) & (n - 1);
        slots[at] = i;
    }
    free(a->place_slots);
    a->place_slots = slots;
    a->n_place_slots = n;
    return true;
}

/* A new set is begun: nothing was found or seen. */
static void begin_set(lull_automaton *a)
{
    a->n_found = a->n_todo = a->n_seen = 0;
    if (++a->stamp == 0) { /* once round: old stamps would look like new ones */
        memset(a->seen_stamp, 0, a->n_seen_slots * sizeof *a->seen_stamp);
        a->stamp = 1;
    }
}

/* The place of the spots found. */
static lull_place find_place(lull_automaton *a)
{
    if (a->failure != LULL_OK || a->n_found == 0) return LULL_PLACE_DEAD;
    if (a->n_found > 1) qsort(a->found, a->n_found, sizeof *a->found, compare_spots);
    if (2 * a->n_places >= a->n_place_slots && !rehash_places(a)) return LULL_PLACE_DEAD;
    uint32_t hash = spots_hash(a->found, a->n_found), at = hash & (a->n_place_slots - 1);
    for (; a->place_slots[at]; at = (at + 1) & (a->n_place_slots - 1)) {
        const lull_place_facts *p = &a->places[a->place_slots[at]];
        if (p->hash == hash && p->n_spots == a->n_found &&
            memcmp(a->spots + p->first_spot, a->found, a->n_found * sizeof *a->found) == 0)
            return a->place_slots[at];
    }
    if (a->n_places >= MAX_PLACES) fail(a, LULL_EFULL, "a grammar has too many states");
    if (!grow(a, &a->places, &a->places_cap, a->n_places, sizeof *a->places))
        return LULL_PLACE_DEAD;
    lull_place_facts p = {.first_spot = a->n_spots, .n_spots = a->n_found, .hash = hash};
    memset(p.behind_kind, 0xFF, sizeof p.behind_kind); /* UNKNOWN */
    memset(p.runs, LULL_RUN_UNKNOWN, sizeof p.runs);
    for (uint32_t i = 0; i < a->n_found; i++) {
        if (!grow(a, &a->spots, &a->spots_cap, a->n_spots, sizeof *a->spots)) break;
        a->spots[a->n_spots++] = a->found[i];
        p.is_complete |= a->program.points[a->found[i].point].kind == LULL_POINT_END;
    }
    if (a->failure != LULL_OK) return LULL_PLACE_DEAD;
    a->places[a->n_places] = p;
    a->place_slots[at] = a->n_places;
    return a->n_places++;
}

lull_place lull_automaton_find_next(lull_automaton *a, lull_place from, uint8_t cls)
{
    if (from == LULL_PLACE_DEAD || a->failure != LULL_OK) return LULL_PLACE_DEAD;
    if (!a->places[from].next) {
        lull_place *next = malloc(a->n_classes * sizeof *next);
        if (!next) {
            fail(a, LULL_ENOMEM, "no memory for the states of a grammar");
            return LULL_PLACE_DEAD;
        }
        for (size_t i = 0; i < a->n_classes; i++) next[i] = LULL_PLACE_UNKNOWN;
        a->places[from].next = next;
        a->next_bytes += a->n_classes * sizeof *next;
    }
    uint8_t byte = a->members[cls];
    begin_set(a);
    for (uint32_t i = 0; i < a->places[from].n_spots; i++) {
        lull_spot s = a->spots[a->places[from].first_spot + i];
        const lull_point *p = &a->program.points[s.point];
        if (p->kind != LULL_POINT_TAKE) continue;
        for (uint32_t k = 0; k < p->n; k++) {
            const lull_edge *e = &a->program.edges[p->first + k];
            if (e->first <= byte && byte <= e->last) visit(a, e->to, s.frame);
        }
    }
    follow(a);
    lull_place to = find_place(a);
    if (a->failure == LULL_OK) a->places[from].next[cls] = to;
    return to;
}

/* ---- characters that may all follow -------------------------------------------------------------- */

/* Two answers to where something leads, as one. */
static lull_place both(lull_place a, lull_place b)
{
    return a == LULL_PLACE_UNKNOWN || a == b ? b : LULL_PLACE_MIXED;
}

/* Where the bytes [first, last] that are of the kind (LULL_CHAR_KINDS: all of them) lead from p. */
static lull_place common_next(lull_automaton *a, lull_place p, int first, int last,
                              lull_char_kind kind)
{
    lull_place to = LULL_PLACE_UNKNOWN;
    int seen = -1;
    if (p == LULL_PLACE_DEAD || p == LULL_PLACE_MIXED) return p;
    for (int b = first; b <= last && to != LULL_PLACE_MIXED; b++) {
        if (a->classes[b] == seen ||
            (kind < LULL_CHAR_KINDS && lull_char_kind_of((uint8_t)b) != kind))
            continue;
        seen = a->classes[b];
        to = both(to, lull_automaton_next(a, p, (uint8_t)b));
    }
    return to;
}

/* Where the characters of two bytes and more lead from p. */
static lull_place behind_wide(lull_automaton *a, lull_place p)
{
    /* The forms of UTF-8 (RFC 3629): lead bytes, second bytes, how many more. */
    static const struct {
        uint8_t lead, last_lead, second, last_second, n_more;
    } forms[] = {{0xC2, 0xDF, 0x80, 0xBF, 0}, {0xE0, 0xE0, 0xA0, 0xBF, 1},
                 {0xE1, 0xEC, 0x80, 0xBF, 1}, {0xED, 0xED, 0x80, 0x9F, 1},
                 {0xEE, 0xEF, 0x80, 0xBF, 1}, {0xF0, 0xF0, 0x90, 0xBF, 2},
                 {0xF1, 0xF3, 0x80, 0xBF, 2}, {0xF4, 0xF4, 0x80, 0x8F, 2}};
    lull_place to = LULL_PLACE_UNKNOWN;
    for (size_t i = 0; i < sizeof forms / sizeof *forms && to != LULL_PLACE_MIXED; i++) {
        lull_place end = common_next(a, p, forms[i].lead, forms[i].last_lead, LULL_CHAR_KINDS);
        end = common_next(a, end, forms[i].second, forms[i].last_second, LULL_CHAR_KINDS);
        for (int k = 0; k < forms[i].n_more; k++)
            end = common_next(a, end, 0x80, 0xBF, LULL_CHAR_KINDS);
        to = both(to, end);
    }
    return to;
}

static lull_place behind_kind(lull_automaton *a, lull_place p, lull_char_kind kind)
{
    lull_place to = a->places[p].behind_kind[kind];
    if (to != LULL_PLACE_UNKNOWN) return to;
    to = kind == LULL_CHAR_WIDE ? behind_wide(a, p) : common_next(a, p, 0x20, 0x7E, kind);
    a->places[p].behind_kind[kind] = to;
    return to;
}

/* n characters more than a run. */
static uint8_t longer(uint8_t run, unsigned n)
{
    unsigned count = run & LULL_RUN_COUNT;
    if (count == LULL_RUN_ENDLESS) return run;
    bool fits = count + n < LULL_RUN_ENDLESS;
    return (uint8_t)(fits ? (run & LULL_RUN_EXACT) | (count + n) : LULL_RUN_ENDLESS - 1);
}

static uint8_t find_run(lull_automaton *a, lull_place p, unsigned kinds, int depth);

/* Where kinds lead apart: the least of what may follow behind each. */
static uint8_t find_least_run(lull_automaton *a, lull_place p, unsigned kinds, int depth)
{
    uint8_t least = LULL_RUN_ENDLESS;
    bool is_exact = true;
    if (depth == 0) return 0;
    for (unsigned k = 0; k < LULL_CHAR_KINDS; k++) {
        if (!(kinds >> k & 1)) continue;
        lull_place to = behind_kind(a, p, (lull_char_kind)k);
        if (to == LULL_PLACE_DEAD || to == LULL_PLACE_MIXED) return 0;
        uint8_t run = to == p ? LULL_RUN_ENDLESS : find_run(a, to, kinds, depth - 1);
        is_exact &= (run & LULL_RUN_EXACT) && (least == LULL_RUN_ENDLESS || run == least);
        if ((run & LULL_RUN_COUNT) < (least & LULL_RUN_COUNT)) least = run;
    }
    return longer(is_exact ? least : least & LULL_RUN_COUNT, 1);
}

/* depth: how often the kinds may lead apart on the way. */
static uint8_t find_run(lull_automaton *a, lull_place p, unsigned kinds, int depth)
{
    enum { FAR = 32 }; /* few tokens have more characters */
    if (a->places[p].runs[kinds] != LULL_RUN_UNKNOWN) return a->places[p].runs[kinds];
    lull_place at = p;
    uint8_t rest = 0;
    unsigned n = 0;
    for (; n < FAR; n++) {
        lull_place to = LULL_PLACE_UNKNOWN;
        for (unsigned k = 0; k < LULL_CHAR_KINDS && to != LULL_PLACE_MIXED; k++)
            if (kinds >> k & 1) to = both(to, behind_kind(a, at, (lull_char_kind)k));
        if (to == at) rest = LULL_RUN_ENDLESS;
        if (to == LULL_PLACE_DEAD) rest = LULL_RUN_EXACT;
        if (to == LULL_PLACE_MIXED) rest = find_least_run(a, at, kinds, depth);
        if (to == at || to == LULL_PLACE_DEAD || to == LULL_PLACE_MIXED) break;
        at = to;
    }
    return a->places[p].runs[kinds] = longer(rest, n);
}

uint8_t lull_automaton_find_run(lull_automaton *a, lull_place p, unsigned kinds)
{
    return find_run(a, p, kinds, 16);
}

/* ---- the public part ----------------------------------------------------------------------------- */

/* Bytes that no edge tells apart. */
static void find_classes(lull_automaton *a)
{
    bool is_cut[257] = {true};
    for (uint32_t i = 0; i < a->program.n_edges; i++) {
        is_cut[a->program.edges[i].first] = true;
        is_cut[a->program.edges[i].last + 1] = true;
    }
    for (int b = 0; b < 256; b++) {
        if (is_cut[b]) a->members[a->n_classes++] = (uint8_t)b;
        a->classes[b] = (uint8_t)(a->n_classes - 1);
    }
}

/* The tables of frames and places, empty but for what every automaton has; and its start. */
static void begin_tables(lull_automaton *a)
{
    if (!grow(a, &a->frames, &a->frames_cap, 0, sizeof *a->frames) ||
        !grow(a, &a->places, &a->places_cap, 0, sizeof *a->places) || (!a->seen && !grow_seen(a)))
        return;
    a->frames[a->n_frames++] = (lull_frame){.point = NONE};
    a->places[a->n_places++] = (lull_place_facts){0};
    begin_set(a);
    visit(a, a->program.start, 0);
    follow(a);
    a->start = find_place(a);
}

static void forget_tables(lull_automaton *a)
{
    a->frames = NULL;
    a->frame_slots = NULL;
    a->places = NULL;
    a->place_slots = NULL;
    a->spots = NULL;
    a->n_frames = a->frames_cap = a->n_frame_slots = a->n_places = a->places_cap = 0;
    a->n_place_slots = a->n_spots = a->spots_cap = 0;
}

static void end_tables(lull_automaton *a)
{
    for (uint32_t i = 0; i < a->n_places; i++) free(a->places[i].next);
    free(a->frames);
    free(a->frame_slots);
    free(a->places);
    free(a->place_slots);
    free(a->spots);
    forget_tables(a);
}

/* A stack of other tables, in these. As deep as MAX_DEPTH. */
static uint32_t import_frame(lull_automaton *a, const lull_frame *old, uint32_t frame)
{
    if (frame == 0) return 0;
    lull_frame f = old[frame];
    f.below = import_frame(a, old, f.below);
    return a->failure == LULL_OK ? find_frame(a, f) : 0;
}

lull_status lull_automaton_trim(lull_automaton *a, lull_place *p, lull_error *err)
{
    lull_automaton old = *a;
    forget_tables(a);
    begin_tables(a);
    if (a->failure == LULL_OK) {
        begin_set(a);
        for (uint32_t i = 0; i < old.places[*p].n_spots && a->failure == LULL_OK; i++) {
            lull_spot s = old.spots[old.places[*p].first_spot + i];
            s.frame = import_frame(a, old.frames, s.frame);
            if (grow(a, &a->found, &a->found_cap, a->n_found, sizeof *a->found))
                a->found[a->n_found++] = s;
        }
        *p = find_place(a);
    }
    end_tables(&old);
    return lull_automaton_failed(a, err);
}

lull_status lull_automaton_new(const lull_grammar *grammar, lull_automaton **out, lull_error *err)
{
    lull_automaton *a = calloc(1, sizeof *a);
    lull_status st = LULL_OK;
    *out = NULL;
    if (!a) return lull_fail(err, LULL_ENOMEM, "no memory for the states of a grammar");
    LULL_TRY(lull_grammar_compile(grammar, &a->program, err));
    find_classes(a);
    begin_tables(a);
    LULL_TRY(lull_automaton_failed(a, err));
    *out = a;
    return LULL_OK;
done:
    lull_automaton_free(a);
    return st;
}

void lull_automaton_free(lull_automaton *a)
{
    if (!a) return;
    lull_grammar_program_fini(&a->program);
    end_tables(a);
    free(a->found);
    free(a->todo);
    free(a->seen);
    free(a->seen_stamp);
    free(a);
}

lull_status lull_automaton_failed(lull_automaton *a, lull_error *err)
{
    lull_status st = a->failure;
    a->failure = LULL_OK;
    return st == LULL_OK ? st : lull_fail(err, st, "%s", a->reason);
}

lull_place lull_automaton_start(const lull_automaton *a)
{
    return a->start;
}

lull_status lull_automaton_step(lull_automaton *a, lull_place from, const char *text,
                                size_t n_bytes, lull_place *to, lull_error *err)
{
    for (size_t i = 0; i < n_bytes && from != LULL_PLACE_DEAD; i++)
        from = lull_automaton_next(a, from, (uint8_t)text[i]);
    *to = from;
    return lull_automaton_failed(a, err);
}

bool lull_automaton_is_complete(const lull_automaton *a, lull_place p)
{
    return a->places[p].is_complete;
}
