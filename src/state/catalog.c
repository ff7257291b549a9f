#include "catalog.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { APPLICATION_ID = 0x6c756c6c, CATALOG_VERSION = 1, BUSY_MS = 60000 };

static const char schema[] =
    "CREATE TABLE counters(which INTEGER PRIMARY KEY, value INTEGER NOT NULL, sum INTEGER NOT "
    "NULL);"
    "CREATE TABLE segments(id INTEGER PRIMARY KEY, committed INTEGER NOT NULL,"
    " sealed INTEGER NOT NULL, sum INTEGER NOT NULL);"
    "CREATE TABLE pages(id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, parent BLOB NOT NULL,"
    " kv_identity BLOB NOT NULL, segment INTEGER NOT NULL, offset INTEGER NOT NULL,"
    " bytes INTEGER NOT NULL, plane0_offset INTEGER NOT NULL, plane0_bytes INTEGER NOT NULL,"
    " plane0_sum BLOB NOT NULL, plane1_offset INTEGER NOT NULL, plane1_bytes INTEGER NOT NULL,"
    " plane1_sum BLOB NOT NULL, tokens BLOB NOT NULL, sum INTEGER NOT NULL);"
    "CREATE INDEX pages_of_segment ON pages(segment);"
    "CREATE TABLE states(id INTEGER PRIMARY KEY, parent INTEGER NOT NULL,"
    " created_ms INTEGER NOT NULL, segment INTEGER NOT NULL, offset INTEGER NOT NULL,"
    " bytes INTEGER NOT NULL, page_bytes INTEGER NOT NULL, n_tail INTEGER NOT NULL,"
    " n_window_pages INTEGER NOT NULL, kv_identity BLOB NOT NULL,"
    " pages BLOB NOT NULL, card BLOB NOT NULL, session BLOB NOT NULL, sum INTEGER NOT NULL);"
    "CREATE INDEX states_of_segment ON states(segment);"
    "CREATE TABLE moves(seq INTEGER PRIMARY KEY, name TEXT NOT NULL, state INTEGER NOT NULL,"
    " at_ms INTEGER NOT NULL, sum INTEGER NOT NULL);"
    "CREATE UNIQUE INDEX moves_of_name ON moves(name, seq);"
    "CREATE INDEX moves_of_state ON moves(state);"
    "CREATE TABLE tags(state INTEGER NOT NULL, tag TEXT NOT NULL, sum INTEGER NOT NULL,"
    " PRIMARY KEY(state, tag)) WITHOUT ROWID;";

typedef enum query {
    Q_BEGIN_READ,
    Q_BEGIN_WRITE,
    Q_COMMIT,
    Q_GET_COUNTER,
    Q_SET_COUNTER,
    Q_PUT_SEGMENT,
    Q_DROP_SEGMENT,
    Q_FIND_SEGMENT,
    Q_LIST_SEGMENTS,
    Q_FIND_PAGE,
    Q_GET_PAGE,
    Q_ADD_PAGE,
    Q_MOVE_PAGE,
    Q_DROP_PAGE,
    Q_EACH_PAGE,
    Q_EACH_PAGE_OF,
    Q_GET_STATE,
    Q_PUT_STATE,
    Q_DROP_STATE,
    Q_LIST_STATES,
    Q_LIST_STATES_OF,
    Q_FIND_MOVE,
    Q_ADD_MOVE,
    Q_DROP_MOVE,
    Q_LIST_MOVES,
    Q_LIST_MOVES_OF,
    Q_LIST_MOVES_TO,
    Q_ADD_TAG,
    Q_DROP_TAG,
    Q_LIST_TAGS,
    Q_LIST_TAGS_OF,
    N_QUERIES
} query;

#define PAGE_COLUMNS                                                                               \
    "id, key, parent, kv_identity, segment, offset, bytes, plane0_offset, plane0_bytes,"           \
    " plane0_sum, plane1_offset, plane1_bytes, plane1_sum, tokens, sum"

static const char *const sql[N_QUERIES] = {
    [Q_BEGIN_READ] = "BEGIN",
    [Q_BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [Q_COMMIT] = "COMMIT",
    [Q_GET_COUNTER] = "SELECT value, sum FROM counters WHERE which = ?",
    [Q_SET_COUNTER] = "INSERT OR REPLACE INTO counters(which, value, sum) VALUES(?, ?, ?)",
    [Q_PUT_SEGMENT] = "INSERT OR REPLACE INTO segments(id, committed, sealed, sum)"
                      " VALUES(?, ?, ?, ?)",
    [Q_DROP_SEGMENT] = "DELETE FROM segments WHERE id = ?",
    [Q_FIND_SEGMENT] = "SELECT id, committed, sealed, sum FROM segments WHERE id = ?",
    [Q_LIST_SEGMENTS] = "SELECT id, committed, sealed, sum FROM segments ORDER BY id",
    [Q_FIND_PAGE] = "SELECT " PAGE_COLUMNS " FROM pages WHERE key = ?",
    [Q_GET_PAGE] = "SELECT " PAGE_COLUMNS " FROM pages WHERE id = ?",
    [Q_ADD_PAGE] = "INSERT INTO pages(" PAGE_COLUMNS ")"
                   " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [Q_MOVE_PAGE] = "REPLACE INTO pages(" PAGE_COLUMNS ")"
                    " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [Q_DROP_PAGE] = "DELETE FROM pages WHERE id = ?",
    [Q_EACH_PAGE] = "SELECT " PAGE_COLUMNS " FROM pages ORDER BY id",
    [Q_EACH_PAGE_OF] = "SELECT " PAGE_COLUMNS " FROM pages WHERE segment = ? ORDER BY id",
    [Q_GET_STATE] = "SELECT id, parent, created_ms, segment, offset, bytes,"
                    " page_bytes, n_tail, n_window_pages, kv_identity, pages, card, session, sum"
                    " FROM states WHERE id = ?",
    [Q_PUT_STATE] = "INSERT OR REPLACE INTO states(id, parent, created_ms, segment, offset, bytes,"
                    " page_bytes, n_tail, n_window_pages, kv_identity, pages, card, session, sum)"
                    " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [Q_DROP_STATE] = "DELETE FROM states WHERE id = ?",
    [Q_LIST_STATES] = "SELECT id FROM states ORDER BY id",
    [Q_LIST_STATES_OF] = "SELECT id FROM states WHERE segment = ? ORDER BY id",
    [Q_FIND_MOVE] = "SELECT seq, name, state, at_ms, sum FROM moves WHERE name = ?"
                    " ORDER BY seq DESC LIMIT 1 OFFSET ?",
    [Q_ADD_MOVE] = "INSERT INTO moves(seq, name, state, at_ms, sum) VALUES(?, ?, ?, ?, ?)",
    [Q_DROP_MOVE] = "DELETE FROM moves WHERE seq = ?",
    [Q_LIST_MOVES] = "SELECT seq, name, state, at_ms, sum FROM moves ORDER BY seq",
    [Q_LIST_MOVES_OF] = "SELECT seq, name, state, at_ms, sum FROM moves WHERE name = ?"
                        " ORDER BY seq",
    [Q_LIST_MOVES_TO] = "SELECT seq, name, state, at_ms, sum FROM moves WHERE state = ?"
                        " ORDER BY seq",
    [Q_ADD_TAG] = "INSERT OR REPLACE INTO tags(state, tag, sum) VALUES(?, ?, ?)",
    [Q_DROP_TAG] = "DELETE FROM tags WHERE state = ? AND tag = ?",
    [Q_LIST_TAGS] = "SELECT state, tag, sum FROM tags ORDER BY state, tag",
    [Q_LIST_TAGS_OF] = "SELECT state, tag, sum FROM tags WHERE state = ? ORDER BY state, tag",
};

struct lull_catalog {
    sqlite3 *db;
    char *path; /* for messages */
    sqlite3_stmt *statements[N_QUERIES];
    bool is_damaged;
};

/* ---- errors ---------------------------------------------------------------------------------- */

static lull_status fail_sql(lull_catalog *c, int code, lull_error *err)
{
    const char *why = sqlite3_errmsg(c->db);
    switch (code & 0xff) {
    case SQLITE_NOMEM: return lull_fail(err, LULL_ENOMEM, "%s: out of memory", c->path);
    case SQLITE_FULL:
        return lull_fail(err, LULL_EFULL, "%s: no room left on the disk: make room, or `lull gc`",
                         c->path);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_MISMATCH:
    case SQLITE_CONSTRAINT:
    case SQLITE_SCHEMA:
    case SQLITE_ERROR: /* our own statements are right; the tables are not */
    case SQLITE_FORMAT:
    case SQLITE_TOOBIG:
    case SQLITE_RANGE:
        c->is_damaged = true;
        return lull_fail(err, LULL_ECORRUPT, "%s: damaged: %s", c->path, why);
    case SQLITE_BUSY:
        return lull_fail(err, LULL_EIO, "%s: another process has held it for %d s", c->path,
                         BUSY_MS / 1000);
    default: return lull_fail(err, LULL_EIO, "%s: %s", c->path, why);
    }
}

static lull_status fail_row(lull_catalog *c, const char *table, int64_t id, lull_error *err)
{
    c->is_damaged = true;
    return lull_fail(err, LULL_ECORRUPT, "%s: table %s: row %" PRId64 " is damaged", c->path, table,
                     id);
}

/* ---- statements ------------------------------------------------------------------------------ */

static lull_status prepare(lull_catalog *c, query q, sqlite3_stmt **out, lull_error *err)
{
    *out = NULL;
    if (!c->statements[q]) {
        int code = sqlite3_prepare_v3(c->db, sql[q], -1, SQLITE_PREPARE_PERSISTENT,
                                      &c->statements[q], NULL);
        if (code != SQLITE_OK) return fail_sql(c, code, err);
    }
    *out = c->statements[q];
    return LULL_OK;
}

static void rewind_statement(sqlite3_stmt *s)
{
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
}

/* A step that gives a row (*has_row) or ends. A statement at its end, or failed, is rewound. */
static lull_status step(lull_catalog *c, sqlite3_stmt *s, bool *has_row, lull_error *err)
{
    int code = sqlite3_step(s);
    *has_row = code == SQLITE_ROW;
    if (code == SQLITE_ROW) return LULL_OK;
    lull_status st = code == SQLITE_DONE ? LULL_OK : fail_sql(c, code, err);
    rewind_statement(s);
    return st;
}

/* A statement without rows. */
static lull_status run(lull_catalog *c, sqlite3_stmt *s, lull_error *err)
{
    bool has_row;
    lull_status st = step(c, s, &has_row, err);
    if (st == LULL_OK && has_row) rewind_statement(s);
    return st;
}

static void bind_digest(sqlite3_stmt *s, int i, const lull_digest *d)
{
    sqlite3_bind_blob(s, i, d->bytes, 32, SQLITE_STATIC);
}

static bool read_blob(sqlite3_stmt *s, int i, void *out, int n_bytes)
{
    const void *blob = sqlite3_column_blob(s, i);
    if (!blob || sqlite3_column_bytes(s, i) != n_bytes) return false;
    memcpy(out, blob, (size_t)n_bytes);
    return true;
}

/* Text of 1 to LULL_NAME_MAX bytes. */
static bool read_name(sqlite3_stmt *s, int i, char out[LULL_NAME_MAX + 1])
{
    const unsigned char *text = sqlite3_column_text(s, i);
    int n = sqlite3_column_bytes(s, i);
    if (!text || n < 1 || n > LULL_NAME_MAX) return false;
    memcpy(out, text, (size_t)n);
    out[n] = '\0';
    return strlen(out) == (size_t)n;
}

/* The checksum of a row: of its columns' values, one after the other, numbers as 8 bytes. The sum
 * itself is the last column and left out. Lengths are part of it, or columns could trade bytes. */
static int64_t sum_u64s(const uint64_t *values, size_t n)
{
    return (int64_t)lull_checksum_of(values, n * sizeof *values).lo;
}

static int64_t sum_text(const char *text, size_t n_bytes, uint64_t a, uint64_t b, uint64_t d)
{
    lull_checksum of_text = lull_checksum_of(text, n_bytes);
    return sum_u64s((const uint64_t[]){of_text.lo, of_text.hi, n_bytes, a, b, d}, 6);
}

/* ---- opening --------------------------------------------------------------------------------- */

static lull_status exec(lull_catalog *c, const char *text, lull_error *err)
{
    int code = sqlite3_exec(c->db, text, NULL, NULL, NULL);
    return code == SQLITE_OK ? LULL_OK : fail_sql(c, code, err);
}

static lull_status read_int(lull_catalog *c, const char *text, int64_t *value, lull_error *err)
{
    sqlite3_stmt *s;
    int code = sqlite3_prepare_v2(c->db, text, -1, &s, NULL);
    if (code != SQLITE_OK) return fail_sql(c, code, err);
    code = sqlite3_step(s);
    lull_status st = LULL_OK;
    if (code == SQLITE_ROW)
        *value = sqlite3_column_int64(s, 0);
    else
        st = fail_sql(c, code, err);
    sqlite3_finalize(s);
    return st;
}

/* The text of all tables, indices, views and triggers. */
static lull_status read_schema(sqlite3 *db, char **text)
{
    *text = NULL;
    sqlite3_str *all = sqlite3_str_new(db);
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(db,
                                  "SELECT type, name, tbl_name, sql FROM sqlite_schema"
                                  " WHERE name NOT LIKE 'sqlite_stat%' ORDER BY type, name",
                                  -1, &s, NULL);
    while (code == SQLITE_OK || code == SQLITE_ROW) {
        code = sqlite3_step(s);
        if (code != SQLITE_ROW) break;
        for (int i = 0; i < 4; i++) {
            const unsigned char *column = sqlite3_column_text(s, i);
            sqlite3_str_appendf(all, "%s|", column ? (const char *)column : "");
        }
    }
    sqlite3_finalize(s);
    *text = sqlite3_str_finish(all);
    return code == SQLITE_DONE && *text ? LULL_OK : LULL_ECORRUPT;
}

/* Views and triggers of a stranger's file would run inside our statements; a column of another type
 * would mislead them. So the schema has to be ours to the letter. */
static lull_status check_schema(lull_catalog *c, lull_error *err)
{
    sqlite3 *ours = NULL;
    char *a = NULL, *b = NULL;
    bool is_same = sqlite3_open(":memory:", &ours) == SQLITE_OK &&
                   sqlite3_exec(ours, schema, NULL, NULL, NULL) == SQLITE_OK &&
                   read_schema(ours, &a) == LULL_OK && read_schema(c->db, &b) == LULL_OK &&
                   strcmp(a, b) == 0;
    sqlite3_free(a);
    sqlite3_free(b);
    sqlite3_close(ours);
    c->is_damaged = c->is_damaged || !is_same;
    return is_same ? LULL_OK
                   : lull_fail(err, LULL_ECORRUPT, "%s: its tables are not lull's", c->path);
}

static lull_status create_tables(lull_catalog *c, lull_error *err)
{
    char pragmas[128];
    snprintf(pragmas, sizeof pragmas, "PRAGMA application_id = %d; PRAGMA user_version = %d;",
             APPLICATION_ID, CATALOG_VERSION);
    lull_status st = exec(c, pragmas, err);
    return st == LULL_OK ? exec(c, schema, err) : st;
}

static lull_status set_up(lull_catalog *c, lull_catalog_mode mode, lull_error *err)
{
    lull_status st = LULL_OK;
    sqlite3_extended_result_codes(c->db, 1);
    sqlite3_busy_timeout(c->db, BUSY_MS);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(c->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_limit(c->db, SQLITE_LIMIT_LENGTH, 1 << 30);
    LULL_TRY(exec(c,
                  "PRAGMA cell_size_check = ON; PRAGMA foreign_keys = ON;"
                  "PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0;",
                  err));
    if (mode == LULL_CATALOG_CREATE || mode == LULL_CATALOG_MEMORY) {
        LULL_TRY(exec(c, "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF;", err));
        return create_tables(c, err);
    }
    int64_t application = 0, version = 0;
    LULL_TRY(read_int(c, "PRAGMA application_id", &application, err));
    LULL_TRY(read_int(c, "PRAGMA user_version", &version, err));
    if (application != APPLICATION_ID)
        return lull_fail(err, LULL_ECORRUPT, "%s: not a catalogue of lull", c->path);
    if (version > CATALOG_VERSION)
        return lull_fail(err, LULL_EUNSUPPORTED, "%s: version %" PRId64 ", this lull reads %d",
                         c->path, version, CATALOG_VERSION);
    LULL_TRY(check_schema(c, err));
    if (mode == LULL_CATALOG_WRITE) {
        LULL_TRY(exec(c, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;", err));
        int64_t is_wal = 0;
        LULL_TRY(read_int(c, "SELECT journal_mode = 'wal' FROM pragma_journal_mode", &is_wal, err));
        if (!is_wal) return lull_fail(err, LULL_EIO, "%s: cannot use a write-ahead log", c->path);
    }
done:
    return st;
}

lull_status lull_catalog_open(const char *path, lull_catalog_mode mode, lull_catalog **out,
                              lull_error *err)
{
    *out = NULL;
    lull_catalog *c = calloc(1, sizeof *c);
    if (!c || !(c->path = strdup(path ? path : "catalogue"))) {
        free(c);
        return lull_fail(err, LULL_ENOMEM, "out of memory for the catalogue");
    }
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_PRIVATECACHE;
    if (mode == LULL_CATALOG_READ)
        flags |= SQLITE_OPEN_READONLY;
    else
        flags |= SQLITE_OPEN_READWRITE;
    if (mode == LULL_CATALOG_CREATE || mode == LULL_CATALOG_MEMORY) flags |= SQLITE_OPEN_CREATE;
    int code = sqlite3_open_v2(path ? path : ":memory:", &c->db, flags, NULL);
    lull_status st;
    if (code != SQLITE_OK)
        st = (code & 0xff) == SQLITE_CANTOPEN
                 ? lull_fail(err, LULL_EIO, "%s: cannot open: %s", c->path, sqlite3_errmsg(c->db))
                 : fail_sql(c, code, err);
    else
        st = set_up(c, mode, err);
    if (st != LULL_OK) {
        lull_catalog_close(c);
        return st;
    }
    *out = c;
    return LULL_OK;
}

void lull_catalog_close(lull_catalog *c)
{
    if (!c) return;
    for (int i = 0; i < N_QUERIES; i++) sqlite3_finalize(c->statements[i]);
    sqlite3_close(c->db);
    free(c->path);
    free(c);
}

bool lull_catalog_is_damaged(const lull_catalog *c)
{
    return c->is_damaged;
}

lull_status lull_catalog_finish(lull_catalog *c, lull_error *err)
{
    return exec(c,
                "PRAGMA synchronous = FULL; PRAGMA journal_mode = WAL;"
                "PRAGMA wal_checkpoint(TRUNCATE);",
                err);
}

lull_status lull_catalog_inspect(lull_catalog *c, lull_error *err)
{
    sqlite3_stmt *s;
    int code = sqlite3_prepare_v2(c->db, "PRAGMA integrity_check(1)", -1, &s, NULL);
    if (code != SQLITE_OK) return fail_sql(c, code, err);
    code = sqlite3_step(s);
    lull_status st = LULL_OK;
    if (code != SQLITE_ROW) {
        st = fail_sql(c, code, err);
    } else {
        const char *finding = (const char *)sqlite3_column_text(s, 0);
        c->is_damaged = !finding || strcmp(finding, "ok") != 0;
        if (c->is_damaged)
            st = lull_fail(err, LULL_ECORRUPT, "%s: damaged: %.120s", c->path,
                           finding ? finding : "?");
    }
    sqlite3_finalize(s);
    return st;
}

lull_status lull_catalog_bytes(lull_catalog *c, uint64_t *n_bytes, lull_error *err)
{
    int64_t n_pages = 0, page_bytes = 0;
    lull_status st = read_int(c, "PRAGMA page_count", &n_pages, err);
    if (st == LULL_OK) st = read_int(c, "PRAGMA page_size", &page_bytes, err);
    *n_bytes = (uint64_t)n_pages * (uint64_t)page_bytes;
    return st;
}

lull_status lull_catalog_begin(lull_catalog *c, bool is_writing, lull_error *err)
{
    sqlite3_stmt *s;
    lull_status st = prepare(c, is_writing ? Q_BEGIN_WRITE : Q_BEGIN_READ, &s, err);
    return st == LULL_OK ? run(c, s, err) : st;
}

lull_status lull_catalog_commit(lull_catalog *c, lull_error *err)
{
    sqlite3_stmt *s;
    lull_status st = prepare(c, Q_COMMIT, &s, err);
    if (st == LULL_OK) st = run(c, s, err);
    if (st != LULL_OK) lull_catalog_rollback(c);
    return st;
}

bool lull_catalog_is_open(const lull_catalog *c)
{
    return !sqlite3_get_autocommit(c->db);
}

void lull_catalog_rollback(lull_catalog *c)
{
    if (lull_catalog_is_open(c)) sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
}

/* ---- counters and segments ------------------------------------------------------------------- */

lull_status lull_catalog_get_counter(lull_catalog *c, lull_counter which, uint64_t *value,
                                     lull_error *err)
{
    sqlite3_stmt *s;
    bool has_row;
    lull_status st = LULL_OK;
    *value = 0;
    LULL_TRY(prepare(c, Q_GET_COUNTER, &s, err));
    sqlite3_bind_int(s, 1, which);
    LULL_TRY(step(c, s, &has_row, err));
    if (!has_row) return LULL_OK;
    *value = (uint64_t)sqlite3_column_int64(s, 0);
    if (sqlite3_column_int64(s, 1) != sum_u64s((const uint64_t[]){which, *value}, 2) ||
        *value > INT64_MAX / 2) /* nobody has counted that far */
        st = fail_row(c, "counters", which, err);
    rewind_statement(s);
done:
    return st;
}

lull_status lull_catalog_set_counter(lull_catalog *c, lull_counter which, uint64_t value,
                                     lull_error *err)
{
    sqlite3_stmt *s;
    lull_status st = prepare(c, Q_SET_COUNTER, &s, err);
    if (st != LULL_OK) return st;
    sqlite3_bind_int(s, 1, which);
    sqlite3_bind_int64(s, 2, (int64_t)value);
    sqlite3_bind_int64(s, 3, sum_u64s((const uint64_t[]){which, value}, 2));
    return run(c, s, err);
}

static int64_t sum_segment(const lull_segment_row *row)
{
    return sum_u64s((const uint64_t[]){row->id, row->committed, row->is_sealed}, 3);
}

lull_status lull_catalog_put_segment(lull_catalog *c, const lull_segment_row *row, lull_error *err)
{
    sqlite3_stmt *s;
    lull_status st = prepare(c, Q_PUT_SEGMENT, &s, err);
    if (st != LULL_OK) return st;
    sqlite3_bind_int64(s, 1, (int64_t)row->id);
    sqlite3_bind_int64(s, 2, (int64_t)row->committed);
    sqlite3_bind_int64(s, 3, row->is_sealed);
    sqlite3_bind_int64(s, 4, sum_segment(row));
    return run(c, s, err);
}

lull_status lull_catalog_drop_segment(lull_catalog *c, uint64_t id, lull_error *err)
{
    sqlite3_stmt *s;
    lull_status st = prepare(c, Q_DROP_SEGMENT, &s, err);
    if (st != LULL_OK) return st;
    sqlite3_bind_int64(s, 1, (int64_t)id);
    return run(c, s, err);
}

static lull_status read_segment(lull_catalog *c, sqlite3_stmt *s, lull_segment_row *row,
                                lull_error *err)
{
    *row = (lull_segment_row){
        .id = (uint64_t)sqlite3_column_int64(s, 0),
        .committed = (uint64_t)sqlite3_column_int64(s, 1),
        .is_sealed = sqlite3_column_int64(s, 2) != 0,
    };
    bool is_end = row->committed >= LULL_RECORD_ALIGN && row->committed <= INT64_MAX &&
                  row->committed % LULL_RECORD_ALIGN == 0;
    if (is_end && sqlite3_column_int64(s, 3) == sum_segment(row)) return LULL_OK;
    return fail_row(c, "segments", (int64_t)row->id, err);
}

lull_status lull_catalog_find_segment(lull_catalog *c, uint64_t id, lull_segment_row *row,
                                      lull_error *err)
{
    sqlite3_stmt *s;
    bool has_row;
    lull_status st = LULL_OK;
    *row = (lull_segment_row){0};
    LULL_TRY(prepare(c, Q_FIND_SEGMENT, &s, err));
    sqlite3_bind_int64(s, 1, (int64_t)id);
    LULL_TRY(step(c, s, &has_row, err));
    if (!has_row) return LULL_OK;
    st = read_segment(c, s, row, err);
    rewind_statement(s);
done:
    return st;
}

/* Room for one more of each_bytes in a growing array. */
static bool make_room(void **items, size_t n, size_t each_bytes)
{
    if ((n & (n - 1)) != 0 || (n > 0 && n < 8)) return true; /* grows at 0, 8, 16, 32, ... */
    void *more = realloc(*items, (n < 8 ? 8 : 2 * n) * each_bytes);
    if (more) *items = more;
    return more != NULL;
}

/* Run a query to its end, reading each row into a growing array. */
typedef lull_status (*read_row_fn)(lull_catalog *c, sqlite3_stmt *s, void *row, lull_error *err);
static lull_status collect(lull_catalog *c, sqlite3_stmt *s, size_t row_bytes, read_row_fn read,
                           void **rows, size_t *n, lull_error *err)
{
    lull_status st;
    bool has_row;
    *rows = NULL;
    *n = 0;
    while ((st = step(c, s, &has_row, err)) == LULL_OK && has_row) {
        if (!make_room(rows, *n, row_bytes))
            st = lull_fail(err, LULL_ENOMEM, "out of memory for the catalogue's rows");
        else
            st = read(c, s, (char *)*rows + *n * row_bytes, err);
        if (st != LULL_OK) {
            rewind_statement(s);
            break;
        }
        ++*n;
    }
    if (st != LULL_OK) {
        free(*rows);
        *rows = NULL;
        *n = 0;
    }
    return st;
}

static lull_status read_segment_row(lull_catalog *c, sqlite3_stmt *s, void *row, lull_error *err)
{
    return read_segment(c, s, row, err);
}

lull_status lull_catalog_list_segments(lull_catalog *c, lull_segment_row **rows, size_t *n,
                                       lull_error *err)
{
    sqlite3_stmt *s;
    void *all = NULL;
    *rows = NULL;
    *n = 0;
    lull_status st = prepare(c, Q_LIST_SEGMENTS, &s, err);
    if (st == LULL_OK) st = collect(c, s, sizeof **rows, read_segment_row, &all, n, err);
    *rows = all;
    return st;
}

/* ---- pages ----------------------------------------------------------------------------------- */

static int64_t sum_page(const lull_page_row *row)
{
    uint64_t v[16 + LULL_RECORD_TOKENS / 2] = {
        (uint64_t)row->id, row->segment, row->offset, row->n_bytes, row->n_tokens,
    };
    size_t n = 5;
    for (int i = 0; i < LULL_RECORD_PARTS; i++) {
        v[n++] = row->parts[i].offset;
        v[n++] = row->parts[i].n_bytes;
        v[n++] = row->parts[i].sum.lo;
        v[n++] = row->parts[i].sum.hi;
    }
    lull_digest keys[3] = {row->key, row->parent, row->kv_identity};
    v[n++] = lull_checksum_of(keys, sizeof keys).lo;
    memcpy(v + n, row->tokens, row->n_tokens * sizeof *row->tokens);
    return sum_u64s(v, n + LULL_RECORD_TOKENS / 2);
}

static lull_status read_page(lull_catalog *c, sqlite3_stmt *s, lull_page_row *row, lull_error *err)
{
    *row = (lull_page_row){
        .id = sqlite3_column_int64(s, 0),
        .segment = (uint64_t)sqlite3_column_int64(s, 4),
        .offset = (uint64_t)sqlite3_column_int64(s, 5),
        .n_bytes = (uint64_t)sqlite3_column_int64(s, 6),
    };
    bool is_good = read_blob(s, 1, row->key.bytes, 32) && read_blob(s, 2, row->parent.bytes, 32) &&
                   read_blob(s, 3, row->kv_identity.bytes, 32);
    for (int i = 0; i < LULL_RECORD_PARTS; i++) {
        row->parts[i].offset = (uint64_t)sqlite3_column_int64(s, 7 + 3 * i);
        row->parts[i].n_bytes = (uint64_t)sqlite3_column_int64(s, 8 + 3 * i);
        is_good = is_good && read_blob(s, 9 + 3 * i, &row->parts[i].sum, 16);
    }
    int token_bytes = sqlite3_column_bytes(s, 13);
    row->n_tokens = (uint32_t)token_bytes / 4;
    is_good = is_good && token_bytes > 0 && token_bytes % 4 == 0 &&
              row->n_tokens <= LULL_RECORD_TOKENS && read_blob(s, 13, row->tokens, token_bytes);
    if (is_good && sqlite3_column_int64(s, 14) == sum_page(row)) return LULL_OK;
    return fail_row(c, "pages", row->id, err);
}

static void bind_page(sqlite3_stmt *s, const lull_page_row *row)
{
    if (row->id > 0) sqlite3_bind_int64(s, 1, row->id);
    bind_digest(s, 2, &row->key);
    bind_digest(s, 3, &row->parent);
    bind_digest(s, 4, &row->kv_identity);
    sqlite3_bind_int64(s, 5, (int64_t)row->segment);
    sqlite3_bind_int64(s, 6, (int64_t)row->offset);
    sqlite3_bind_int64(s, 7, (int64_t)row->n_bytes);
    for (int i = 0; i < LULL_RECORD_PARTS; i++) {
        sqlite3_bind_int64(s, 8 + 3 * i, (int64_t)row->parts[i].offset);
        sqlite3_bind_int64(s, 9 + 3 * i, (int64_t)row->parts[i].n_bytes);
        sqlite3_bind_blob(s, 10 + 3 * i, &row->parts[i].sum, 16, SQLITE_STATIC);
    }
    sqlite3_bind_blob(s, 14, row->tokens, (int)(4 * row->n_tokens), SQLITE_STATIC);
    sqlite3_bind_int64(s, 15, sum_page(row));
}

static lull_status read_one_page(lull_catalog *c, sqlite3_stmt *s, lull_page_row *row,
                                 lull_error *err)
{
    bool has_row;
    *row = (lull_page_row){0};
    lull_status st = step(c, s, &has_row, err);
    if (st != LULL_OK || !has_row) return st;
    st = read_page(c, s, row, err);
    rewind_statement(s);
    return st;
}

lull_status lull_catalog_find_page(lull_catalog *c, const lull_digest *key, lull_page_row *row,
                                   lull_error *err)
{
    sqlite3_stmt *s;
    lull_status st = prepare(c, Q_FIND_PAGE, &s, err);
    if (st != LULL_OK) return st;
    bind_digest(s, 1, key);
    st = read_one_page(c, s, row, err);
    if (st == LULL_OK && row->id != 0 && memcmp(&row->key, key, sizeof *key) != 0)
        st = fail_row(c, "pages", row->id, err); /* the index led to another row */
    return st;
}

lull_status lull_catalog_get_page(lull_catalog *c, int64_t id, lull_page_row *row, lull_error *err)
{
    sqlite3_stmt *s;
    lull_status st = prepare(c, Q_GET_PAGE, &s, err);
    if (st != LULL_OK) return st;
    sqlite3_bind_int64(s, 1, id);
    st = read_one_page(c, s, row, err);
    return st;
}

lull_status lull_catalog_add_page(lull_catalog *c, lull_page_row *row, lull_error *err)
{
    lull_page_row there;
    lull_status st = lull_catalog_find_page(c, &row->key, &there, err);
    if (st != LULL_OK) return st;
    if (there.id != 0) {
        row->id = there.id;
        return LULL_OK;
    }
    /* The id is in the row's sum, so it is chosen here and not by SQLite. The largest in the table is
     * not enough: the page that had it may be gone, and be known by it to a gc that is under way. Nor
     * is the counter, since there are catalogues, and lulls, without one. */
    int64_t last = 0;
    uint64_t counted;
    LULL_TRY(read_int(c, "SELECT coalesce(max(id), 0) FROM pages", &last, err));
    LULL_TRY(lull_catalog_get_counter(c, LULL_COUNTER_PAGE, &counted, err));
    if (last < 0 || last >= INT64_MAX / 2) return fail_row(c, "pages", last, err);
    if (last < (int64_t)counted) last = (int64_t)counted;
    row->id = last + 1;
    LULL_TRY(lull_catalog_set_counter(c, LULL_COUNTER_PAGE, (uint64_t)row->id, err));
    sqlite3_stmt *s;
    LULL_TRY(prepare(c, Q_ADD_PAGE, &s, err));
    bind_page(s, row);
    st = run(c, s, err);
done:
    return st;
}

lull_status lull_catalog_move_page(lull_catalog *c, const lull_page_row *row, lull_error *err)
{
    sqlite3_stmt *s;
    lull_status st = prepare(c, Q_MOVE_PAGE, &s, err);
    if (st != LULL_OK) return st;
    bind_page(s, row);
    return run(c, s, err);
}

lull_status lull_catalog_drop_page(lull_catalog *c, int64_t id, lull_error *err)
{
    sqlite3_stmt *s;
    lull_status st = prepare(c, Q_DROP_PAGE, &s, err);
    if (st != LULL_OK) return st;
    sqlite3_bind_int64(s, 1, id);
    return run(c, s, err);
}

lull_status lull_catalog_each_page(lull_catalog *c, uint64_t segment, lull_page_fn fn, void *user,
                                   lull_error *err)
{
    sqlite3_stmt *s;
    lull_status st = prepare(c, segment ? Q_EACH_PAGE_OF : Q_EACH_PAGE, &s, err);
    if (st != LULL_OK) return st;
    if (segment) sqlite3_bind_int64(s, 1, (int64_t)segment);
    bool has_row;
    while ((st = step(c, s, &has_row, err)) == LULL_OK && has_row) {
        lull_page_row row;
        st = read_page(c, s, &row, err);
        if (st == LULL_OK) st = fn(user, &row, err);
        if (st != LULL_OK) {
            rewind_statement(s);
            return st;
        }
    }
    return st;
}

/* ---- states ---------------------------------------------------------------------------------- */

void lull_state_row_fini(lull_state_row *row)
{
    free(row->pages);
    free(row->card);
    free(row->session);
    *row = (lull_state_row){0};
}

static int64_t sum_state(const lull_state_row *row, size_t card_bytes, size_t session_bytes)
{
    lull_checksum pages = lull_checksum_of(row->pages, row->n_pages * sizeof *row->pages);
    lull_checksum card = lull_checksum_of(row->card, card_bytes);
    lull_checksum session = lull_checksum_of(row->session, session_bytes);
    lull_checksum identity = lull_checksum_of(&row->kv_identity, sizeof row->kv_identity);
    const uint64_t values[] = {(uint64_t)row->id,
                               (uint64_t)row->parent,
                               row->created_ms,
                               row->segment,
                               row->offset,
                               row->n_bytes,
                               row->page_bytes,
                               row->n_tail,
                               row->n_window_pages,
                               row->n_pages,
                               pages.lo,
                               pages.hi,
                               card_bytes,
                               card.lo,
                               card.hi,
                               session_bytes,
                               session.lo,
                               session.hi,
                               identity.lo,
                               identity.hi};
    return sum_u64s(values, sizeof values / sizeof *values);
}

/* A column's bytes with a NUL behind them; owned. */
static char *copy_column(sqlite3_stmt *s, int i)
{
    const void *blob = sqlite3_column_blob(s, i); /* NULL when it is empty */
    size_t n = (size_t)sqlite3_column_bytes(s, i);
    char *copy = malloc(n + 1);
    if (!copy) return NULL;
    if (n > 0) memcpy(copy, blob, n);
    copy[n] = '\0';
    return copy;
}

static lull_status read_state(lull_catalog *c, sqlite3_stmt *s, lull_state_row *row,
                              lull_error *err)
{
    *row = (lull_state_row){
        .id = sqlite3_column_int64(s, 0),
        .parent = sqlite3_column_int64(s, 1),
        .created_ms = (uint64_t)sqlite3_column_int64(s, 2),
        .segment = (uint64_t)sqlite3_column_int64(s, 3),
        .offset = (uint64_t)sqlite3_column_int64(s, 4),
        .n_bytes = (uint64_t)sqlite3_column_int64(s, 5),
        .page_bytes = (uint64_t)sqlite3_column_int64(s, 6),
        .n_tail = (uint64_t)sqlite3_column_int64(s, 7),
        .n_window_pages = (uint64_t)sqlite3_column_int64(s, 8),
    };
    bool has_identity = read_blob(s, 9, row->kv_identity.bytes, 32);
    size_t page_bytes = (size_t)sqlite3_column_bytes(s, 10);
    row->n_pages = page_bytes / sizeof *row->pages;
    row->pages = (int64_t *)(void *)copy_column(s, 10);
    row->card = copy_column(s, 11);
    row->session = copy_column(s, 12);
    if (!row->pages || !row->card || !row->session) {
        lull_state_row_fini(row);
        return lull_fail(err, LULL_ENOMEM, "out of memory for a state");
    }
    bool is_good =
        has_identity && page_bytes % sizeof *row->pages == 0 && row->n_tail < LULL_RECORD_TOKENS &&
        row->n_window_pages <= INT32_MAX && (row->n_tail == 0 || row->n_pages > 0) &&
        sqlite3_column_int64(s, 13) == sum_state(row, (size_t)sqlite3_column_bytes(s, 11),
                                                 (size_t)sqlite3_column_bytes(s, 12));
    if (is_good) return LULL_OK;
    int64_t id = row->id;
    lull_state_row_fini(row);
    return fail_row(c, "states", id, err);
}

lull_status lull_catalog_get_state(lull_catalog *c, int64_t id, lull_state_row *row,
                                   lull_error *err)
{
    sqlite3_stmt *s;
    bool has_row;
    lull_status st = LULL_OK;
    *row = (lull_state_row){0};
    LULL_TRY(prepare(c, Q_GET_STATE, &s, err));
    sqlite3_bind_int64(s, 1, id);
    LULL_TRY(step(c, s, &has_row, err));
    if (!has_row) return LULL_OK;
    st = read_state(c, s, row, err);
    rewind_statement(s);
done:
    return st;
}

lull_status lull_catalog_put_state(lull_catalog *c, const lull_state_row *row, lull_error *err)
{
    sqlite3_stmt *s;
    lull_status st = prepare(c, Q_PUT_STATE, &s, err);
    if (st != LULL_OK) return st;
    size_t card_bytes = strlen(row->card), session_bytes = strlen(row->session);
    sqlite3_bind_int64(s, 1, row->id);
    sqlite3_bind_int64(s, 2, row->parent);
    sqlite3_bind_int64(s, 3, (int64_t)row->created_ms);
    sqlite3_bind_int64(s, 4, (int64_t)row->segment);
    sqlite3_bind_int64(s, 5, (int64_t)row->offset);
    sqlite3_bind_int64(s, 6, (int64_t)row->n_bytes);
    sqlite3_bind_int64(s, 7, (int64_t)row->page_bytes);
    sqlite3_bind_int64(s, 8, (int64_t)row->n_tail);
    sqlite3_bind_int64(s, 9, (int64_t)row->n_window_pages);
    bind_digest(s, 10, &row->kv_identity);
    sqlite3_bind_blob64(s, 11, row->pages ? (const void *)row->pages : "",
                        row->n_pages * sizeof *row->pages, SQLITE_STATIC);
    sqlite3_bind_blob64(s, 12, row->card, card_bytes, SQLITE_STATIC);
    sqlite3_bind_blob64(s, 13, row->session, session_bytes, SQLITE_STATIC);
    sqlite3_bind_int64(s, 14, sum_state(row, card_bytes, session_bytes));
    return run(c, s, err);
}

lull_status lull_catalog_drop_state(lull_catalog *c, int64_t id, lull_error *err)
{
    sqlite3_stmt *s;
    lull_status st = prepare(c, Q_DROP_STATE, &s, err);
    if (st != LULL_OK) return st;
    sqlite3_bind_int64(s, 1, id);
    return run(c, s, err);
}

static lull_status read_id(lull_catalog *c, sqlite3_stmt *s, void *row, lull_error *err)
{
    (void)c, (void)err;
    *(int64_t *)row = sqlite3_column_int64(s, 0);
    return LULL_OK;
}

lull_status lull_catalog_list_states(lull_catalog *c, uint64_t segment, int64_t **ids, size_t *n,
                                     lull_error *err)
{
    sqlite3_stmt *s;
    void *all = NULL;
    *ids = NULL;
    *n = 0;
    lull_status st = prepare(c, segment ? Q_LIST_STATES_OF : Q_LIST_STATES, &s, err);
    if (st != LULL_OK) return st;
    if (segment) sqlite3_bind_int64(s, 1, (int64_t)segment);
    st = collect(c, s, sizeof **ids, read_id, &all, n, err);
    *ids = all;
    return st;
}

/* ---- names and tags -------------------------------------------------------------------------- */

static int64_t sum_move(const lull_move_row *row)
{
    return sum_text(row->name, strlen(row->name), row->seq, (uint64_t)row->state, row->at_ms);
}

static lull_status read_move(lull_catalog *c, sqlite3_stmt *s, void *out, lull_error *err)
{
    lull_move_row *row = out;
    *row = (lull_move_row){
        .seq = (uint64_t)sqlite3_column_int64(s, 0),
        .state = sqlite3_column_int64(s, 2),
        .at_ms = (uint64_t)sqlite3_column_int64(s, 3),
    };
    if (read_name(s, 1, row->name) && sqlite3_column_int64(s, 4) == sum_move(row)) return LULL_OK;
    return fail_row(c, "moves", (int64_t)row->seq, err);
}

lull_status lull_catalog_find_move(lull_catalog *c, const char *name, uint64_t n,
                                   lull_move_row *row, lull_error *err)
{
    sqlite3_stmt *s;
    bool has_row;
    lull_status st = LULL_OK;
    *row = (lull_move_row){0};
    if (n > INT64_MAX) return LULL_OK;
    LULL_TRY(prepare(c, Q_FIND_MOVE, &s, err));
    sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(s, 2, (int64_t)n);
    LULL_TRY(step(c, s, &has_row, err));
    if (!has_row) return LULL_OK;
    st = read_move(c, s, row, err);
    if (st == LULL_OK && strcmp(row->name, name) != 0)
        st = fail_row(c, "moves", (int64_t)row->seq, err);
    rewind_statement(s);
done:
    return st;
}

lull_status lull_catalog_add_move(lull_catalog *c, const lull_move_row *row, lull_error *err)
{
    sqlite3_stmt *s;
    lull_status st = prepare(c, Q_ADD_MOVE, &s, err);
    if (st != LULL_OK) return st;
    sqlite3_bind_int64(s, 1, (int64_t)row->seq);
    sqlite3_bind_text(s, 2, row->name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(s, 3, row->state);
    sqlite3_bind_int64(s, 4, (int64_t)row->at_ms);
    sqlite3_bind_int64(s, 5, sum_move(row));
    return run(c, s, err);
}

lull_status lull_catalog_drop_move(lull_catalog *c, uint64_t seq, lull_error *err)
{
    sqlite3_stmt *s;
    lull_status st = prepare(c, Q_DROP_MOVE, &s, err);
    if (st != LULL_OK) return st;
    sqlite3_bind_int64(s, 1, (int64_t)seq);
    return run(c, s, err);
}

lull_status lull_catalog_list_moves(lull_catalog *c, const char *name, lull_move_row **rows,
                                    size_t *n, lull_error *err)
{
    sqlite3_stmt *s;
    void *all = NULL;
    *rows = NULL;
    *n = 0;
    lull_status st = prepare(c, name ? Q_LIST_MOVES_OF : Q_LIST_MOVES, &s, err);
    if (st != LULL_OK) return st;
    if (name) sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
    st = collect(c, s, sizeof **rows, read_move, &all, n, err);
    *rows = all;
    return st;
}

lull_status lull_catalog_list_moves_to(lull_catalog *c, int64_t state, lull_move_row **rows,
                                       size_t *n, lull_error *err)
{
    sqlite3_stmt *s;
    void *all = NULL;
    *rows = NULL;
    *n = 0;
    lull_status st = prepare(c, Q_LIST_MOVES_TO, &s, err);
    if (st != LULL_OK) return st;
    sqlite3_bind_int64(s, 1, state);
    st = collect(c, s, sizeof **rows, read_move, &all, n, err);
    *rows = all;
    return st;
}

static int64_t sum_tag(int64_t state, const char *tag)
{
    return sum_text(tag, strlen(tag), (uint64_t)state, 0, 0);
}

static lull_status read_tag(lull_catalog *c, sqlite3_stmt *s, void *out, lull_error *err)
{
    lull_tag_row *row = out;
    *row = (lull_tag_row){.state = sqlite3_column_int64(s, 0)};
    if (read_name(s, 1, row->tag) && sqlite3_column_int64(s, 2) == sum_tag(row->state, row->tag))
        return LULL_OK;
    return fail_row(c, "tags", row->state, err);
}

lull_status lull_catalog_set_tag(lull_catalog *c, int64_t state, const char *tag, bool is_set,
                                 lull_error *err)
{
    sqlite3_stmt *s;
    lull_status st = prepare(c, is_set ? Q_ADD_TAG : Q_DROP_TAG, &s, err);
    if (st != LULL_OK) return st;
    sqlite3_bind_int64(s, 1, state);
    sqlite3_bind_text(s, 2, tag, -1, SQLITE_STATIC);
    if (is_set) sqlite3_bind_int64(s, 3, sum_tag(state, tag));
    return run(c, s, err);
}

lull_status lull_catalog_list_tags(lull_catalog *c, int64_t state, lull_tag_row **rows, size_t *n,
                                   lull_error *err)
{
    sqlite3_stmt *s;
    void *all = NULL;
    *rows = NULL;
    *n = 0;
    lull_status st = prepare(c, state ? Q_LIST_TAGS_OF : Q_LIST_TAGS, &s, err);
    if (st != LULL_OK) return st;
    if (state) sqlite3_bind_int64(s, 1, state);
    st = collect(c, s, sizeof **rows, read_tag, &all, n, err);
    *rows = all;
    return st;
}
