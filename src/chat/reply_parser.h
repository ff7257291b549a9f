/* Inside the reply parser.
 *
 * A family of formats is a table of states. A state says what its bytes are (text, a name, the arguments, …) and
 * which markers lead out of it. reply.c runs the tables: it looks for the markers, gives all other bytes
 * to what the state says, and knows how a call begins, ends and fails. The rest are the readers of
 * single parts: an object that holds name and arguments (envelope.c), a call as in Python
 * (python.c), a bare parameter (parameter.c).
 *
 * Invariant: the parser's state is a function of the bytes read, never of the pieces they came in. What is
 * collected into one event (`out`) is the exception, and nothing else looks at it. */
#ifndef LULL_CHAT_REPLY_PARSER_H
#define LULL_CHAT_REPLY_PARSER_H

#include <jansson.h>
#include <stdint.h>

#include "buffer.h"
#include "json_scan.h"
#include "lull/reply.h"

/* ---- tables ----------------------------------------------------------------------------------- */

typedef enum lull_part {
    LULL_PART_TEXT,
    LULL_PART_THOUGHT,
    LULL_PART_SPACE,     /* white space; at anything else on to `other`, or the call fails */
    LULL_PART_NAME,      /* of the function */
    LULL_PART_ID,        /* of the call */
    LULL_PART_NAME_ID,   /* functions.NAME:0, which is both */
    LULL_PART_KEY,       /* of a parameter */
    LULL_PART_VALUE,     /* of the parameter, bare; its schema says what it is */
    LULL_PART_LITERAL,   /* the same, but no string if it can be anything else */
    LULL_PART_ARGUMENTS, /* a JSON object */
    LULL_PART_OBJECT,    /* {"name": …, "arguments": {…}} */
    LULL_PART_PYTHON,    /* name(key=literal, …) */
    LULL_PART_GEMMA,     /* name{key:literal, …} */
    LULL_PART_HEADER     /* of a Harmony message */
} lull_part;

enum lull_marker_flags {
    LULL_MARKER_OPENS = 1,   /* a call begins with this marker; from here its source is kept */
    LULL_MARKER_QUIET = 2,   /* opens, but may be something else: nothing failed if it is no call */
    LULL_MARKER_NAMED = 4,   /* name (and id) are known: CALL_BEGIN */
    LULL_MARKER_CLOSES = 8,  /* the bare parameters are all there */
    LULL_MARKER_ENDS = 16,   /* the call is good; comes before OPENS when both are set */
    LULL_MARKER_UNREAD = 32, /* the marker is read again in the state that it leads to */
    LULL_MARKER_AT_START = 64, /* only where no text stands before */
    LULL_MARKER_ROUTES = 128,  /* a Harmony header is over: it says where to */
    LULL_MARKER_SURE = 256     /* what opened quietly is a call */
};

typedef struct lull_marker {
    const char *text;
    uint8_t to;
    uint16_t flags;
} lull_marker;

enum { LULL_STATE_MARKERS = 8, LULL_MARKER_BYTES = 48 };

typedef struct lull_state {
    lull_part part;
    uint8_t next;   /* ARGUMENTS, OBJECT, PYTHON, GEMMA: the state after it */
    uint8_t other;  /* SPACE; 0: none. A call opens on the way when none is open */
    bool ends_call; /* the call is good with the part's end */
    bool is_item;   /* OBJECT in a list: one that is no call leaves the others alone */
    bool is_exit;   /* SPACE: `other` is text */
    lull_marker markers[LULL_STATE_MARKERS]; /* up to the first without text */
} lull_state;

/* States 0 and 1 of every table: text and thought. Their markers are those of the format;
 * reply.c adds those of the reasoning format. */
enum { LULL_STATE_TEXT, LULL_STATE_THOUGHT, LULL_STATE_FIRST };

const lull_state *lull_reply_states(lull_tool_format format);

/* One way to mark a thought. */
typedef struct lull_thought_tags {
    const char *open[2], *close[2]; /* the second: another spelling, or NULL */
} lull_thought_tags;
typedef struct lull_thought_family {
    bool is_plain;             /* could be ordinary text: opens at the start only */
    lull_thought_tags tags[6]; /* up to the first without open */
    const char *drops[2];      /* marks around the answer that nobody wants to see */
} lull_thought_family;
const lull_thought_family *lull_reply_thoughts(lull_reasoning_format format);

/* ---- the parser ------------------------------------------------------------------------------- */

typedef enum lull_step { LULL_STEP_MORE, LULL_STEP_DONE, LULL_STEP_BAD } lull_step;

typedef struct lull_envelope {
    lull_json_scan scan;
    uint8_t state, field, level; /* level 2: inside "function": {…} */
    bool has_name, has_arguments, is_no_call;
} lull_envelope;

typedef struct lull_python {
    uint8_t state, depth, quote, escape, n_digits, n_mark;
    uint8_t brackets[LULL_REPLY_DEPTH + 1]; /* the closing ones */
    uint64_t has_items;
    bool is_key;
    uint32_t character;
    lull_utf8 utf8;
} lull_python;

typedef struct lull_parameter {
    bool is_string, is_streamed, is_null_allowed; /* by the schema */
    bool is_begun, has_newline;                   /* a newline that may be the last */
    lull_utf8 utf8;
} lull_parameter;

typedef struct lull_reply_call_entry {
    char *id, *name, *arguments; /* owned */
    int index;
} lull_reply_call_entry;

struct lull_reply {
    lull_reply_options options;
    const lull_state *states;
    const lull_thought_family *thoughts;
    json_t *tools;                /* NULL: unknown */
    lull_marker text_markers[24]; /* of the two formats together */
    lull_marker thought_markers[16];

    uint8_t state;
    char held[LULL_MARKER_BYTES]; /* may become a marker */
    size_t n_held;
    lull_buffer unread; /* to be read before what comes; the next byte is its last */
    size_t n_total, n_reread;

    lull_buffer space; /* white space held back, in text or thought */
    bool at_start;     /* no text since the start, the last call or thought */
    bool has_gap;      /* the text, or the thought, begins anew: white space is dropped */
    bool has_text, has_thought, may_reopen;
    const lull_thought_tags *tags; /* of the thought that is open */

    bool is_open, is_quiet, is_begun,
        is_whole; /* the call: see the flags; whole: has its arguments */
    size_t
        n_fixed; /* of its source: up to the last marker read. Text for good when the call fails */
    int n_parameters;
    int n_begun, n_failed;
    lull_buffer source, scratch, name, id, key, arguments;
    union {
        lull_json_scan scan;
        lull_envelope envelope;
        lull_python python;
        lull_parameter parameter;
    } at; /* of the part that is being read */

    lull_reply_event_kind out_kind; /* what is collected for the next event */
    lull_buffer out;
    lull_buffer text, thought;
    lull_reply_call_entry *calls;
    size_t n_calls, calls_cap;
    bool is_out_of_memory, is_finished;
};

/* Empty a buffer; a write that failed before is remembered. */
void lull_reply_clear(lull_reply *r, lull_buffer *b);

/* For the readers of parts. Name and id are in r->name, r->id: send CALL_BEGIN, and the arguments that
 * came before. False: this can be no call. */
bool lull_reply_begin_call(lull_reply *r);
/* More of the arguments, as JSON text. */
void lull_reply_add_arguments(lull_reply *r, const char *bytes, size_t n_bytes);
/* A byte of a string, as it stands in JSON. */
void lull_reply_add_escaped(lull_reply *r, uint8_t c);
/* In front of the value of a bare parameter whose name is r->key: the opening brace or a comma, the
 * key, a colon. False: the name is not UTF-8. */
bool lull_reply_add_key(lull_reply *r);

void lull_envelope_init(lull_reply *r);
lull_step lull_envelope_step(lull_reply *r, uint8_t c);
void lull_python_init(lull_reply *r);
lull_step lull_python_step(lull_reply *r, uint8_t c, bool is_gemma);
bool lull_parameter_begin(lull_reply *r, bool is_literal);
bool lull_parameter_step(lull_reply *r, uint8_t c);
bool lull_parameter_end(lull_reply *r);

bool lull_tools_know(const json_t *tools, const char *name);

#endif
