#define PCRE2_CODE_UNIT_WIDTH 8
#include <errno.h>
#include <histedit.h>
#include <pcre2.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <xxhash.h>

#include "cmd.h"
#include "engine.h"
#include "file.h"
#include "format.h"
#include "grid.h"
#include "model.h"
#include "team.h"

/* ---- findings -------------------------------------------------------------------------------- */

/* What a model would take, from its file's header alone. */
typedef struct forecast {
    char architecture[32];
    size_t n_ctx;
    uint64_t weight_bytes, kv_bytes, kv_token_bytes, work_bytes;
} forecast;

typedef struct findings {
    char cpu[64];
    int n_cores;
    lull_cpu_level best, level; /* level: what LULL_CPU makes of best */
    lull_cmd_numerics numerics; /* as asked */
    lull_kv_kind kv;
    lull_activations activations;
    const char *class_name; /* of these */
    const char *wish;       /* $LULL_CPU, NULL when not set */
    lull_error wish_error;  /* msg is "" when the wish can be granted */
    uint64_t memory_bytes, available_bytes;
    char huge_pages[16];
    char cache[1024];
    uint64_t cache_free_bytes;
    lull_error cache_error; /* why nothing can be kept there; msg is "" when it can */
    char pcre2[32];
    char xxhash[16], edit[16];
    lull_roofs roofs[2];
    size_t n_roofs;
    forecast model;
} findings;

/* The number that follows key in a file of lines "key: 123 kB"; false when there is none. key may be
 * "" for a file that holds a number alone. */
static bool read_number(const char *path, const char *key, uint64_t *out)
{
    char line[128];
    bool is_found = false;
    FILE *f = fopen(path, "re");
    if (!f) return false;
    while (!is_found && fgets(line, sizeof line, f)) {
        if (strncmp(line, key, strlen(key)) != 0) continue;
        char *end, *digits = line + strlen(key);
        errno = 0;
        *out = strtoull(digits, &end, 10);
        is_found = end != digits && errno == 0;
    }
    fclose(f);
    return is_found;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Of the machine, or of the control group that confines this process (a container). */
static void find_memory(findings *f)
{
    uint64_t n, limit, used = 0;
    if (read_number("/proc/meminfo", "MemTotal:", &n)) f->memory_bytes = n * 1024;
    if (read_number("/proc/meminfo", "MemAvailable:", &n)) f->available_bytes = n * 1024;
    if (read_number("/sys/fs/cgroup/memory.max", "", &limit)) { /* "max" is no number */
        read_number("/sys/fs/cgroup/memory.current", "", &used);
        f->memory_bytes = min_u64(f->memory_bytes, limit);
        f->available_bytes = min_u64(f->available_bytes, limit > used ? limit - used : 0);
    }
}

/* "always [madvise] never": the word in brackets. */
static void find_huge_pages(findings *f)
{
    char line[80] = "";
    FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
    strcpy(f->huge_pages, "none");
    if (!file) return;
    if (fgets(line, sizeof line, file)) sscanf(line, "%*[^[][%15[a-z]", f->huge_pages);
    fclose(file);
}

static void find_cache(findings *f)
{
    char probe[sizeof f->cache + 32];
    struct statvfs fs;
    f->cache_error.msg[0] = '\0';
    lull_status st = lull_cache_dir(f->cache, sizeof f->cache, &f->cache_error);
    if (st != LULL_OK) {
        f->cache[0] = '\0';
        return;
    }
    if (lull_dir_create(f->cache, &f->cache_error) != LULL_OK) return;
    snprintf(probe, sizeof probe, "%s/doctor.%d", f->cache, (int)getpid());
    if (lull_file_replace(probe, "lull", 4, &f->cache_error) != LULL_OK) return;
    unlink(probe);
    if (statvfs(f->cache, &fs) == 0) f->cache_free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
}

static void find_libraries(findings *f)
{
    unsigned xx = XXH_versionNumber();
    pcre2_config(PCRE2_CONFIG_VERSION, f->pcre2);
    f->pcre2[strcspn(f->pcre2, " ")] = '\0'; /* a date follows */
    snprintf(f->xxhash, sizeof f->xxhash, "%u.%u.%u", xx / 10000, xx / 100 % 100, xx % 100);
    snprintf(f->edit, sizeof f->edit, "%d.%d", LIBEDIT_MAJOR, LIBEDIT_MINOR);
}

/* As asked, else as the environment says, else the defaults. */
static lull_status find_numerics(findings *f, lull_error *err)
{
    lull_cmd_numerics n = f->numerics;
    if (!n.kv) n.kv = getenv("LULL_KV");
    if (!n.activations) n.activations = getenv("LULL_ACTIVATIONS");
    lull_status st = lull_cmd_numerics_parse(&n, &f->kv, &f->activations, err);
    if (f->kv == LULL_KV_DEFAULT) f->kv = LULL_KV_F16;
    if (f->activations == LULL_ACTIVATIONS_DEFAULT) f->activations = LULL_ACTIVATIONS_8;
    f->class_name = lull_numerics_of(f->kv, f->activations);
    return st;
}

/* n_ctx: 0 for the model's. */
static lull_status forecast_model(const char *path, size_t n_ctx, const findings *f, forecast *out,
                                  lull_error *err)
{
    lull_gguf *gguf;
    lull_model_core *m = NULL;
    lull_device *device = NULL;
    lull_status st = LULL_OK;
    *out = (forecast){0};
    LULL_TRY(lull_gguf_open(path, &gguf, err));
    LULL_TRY(lull_model_core_new(gguf, f->kv, &m, err));
    const lull_config *c = &m->config;
    out->n_ctx = n_ctx ? n_ctx : (size_t)c->n_ctx_train;
    memcpy(out->architecture, m->architecture, sizeof out->architecture);
    for (int i = 0; i < m->n_matrices; i++) {
        const lull_packed *w = &m->matrices[i]->packed;
        out->weight_bytes += (uint64_t)lull_packed_n_tiles(w) * w->tile_bytes;
    }
    size_t n_pages = (out->n_ctx + LULL_PAGE_POSITIONS - 1) / LULL_PAGE_POSITIONS;
    out->kv_bytes = n_pages * lull_kv_page_bytes(&m->kv);
    out->kv_token_bytes = lull_kv_token_bytes(&m->kv);
    /* The device's own share is planned rather than computed again here; it takes address space
     * only. */
    lull_device_plan plan = {.max_rows = m->program.max_rows,
                             .max_d_in = m->program.max_d_in,
                             .max_head = c->n_head,
                             .max_d_head = c->d_head,
                             .max_positions = (int)out->n_ctx,
                             .n_kv = c->n_kv};
    LULL_TRY(lull_device_new_cpu(f->level, f->activations, f->n_cores, &device, err));
    LULL_TRY(lull_device_plan_memory(device, &plan, err));
    out->work_bytes = m->program.memory_bytes + lull_device_work_bytes(device);
done:
    lull_device_free(device);
    lull_model_core_free(m);
    return st;
}

static uint64_t forecast_total(const forecast *m)
{
    return m->weight_bytes + m->kv_bytes + m->work_bytes;
}

/* ---- printing -------------------------------------------------------------------------------- */

static void print_levels(lull_grid *g, const findings *f)
{
    lull_buffer levels = {0};
    for (int i = 0; i < LULL_CPU_N_LEVELS; i++)
        if (lull_cpu_has((lull_cpu_level)i))
            lull_buffer_printf(&levels, "%s%s", i > 0 ? " " : "",
                               lull_cpu_level_name((lull_cpu_level)i));
    lull_grid_cell(g, "levels");
    lull_grid_cell(g, "%s; %s is used%s", levels.is_failed ? "" : levels.data,
                   lull_cpu_level_name(f->level),
                   f->wish && !*f->wish_error.msg ? ", as LULL_CPU says" : "");
    lull_buffer_fini(&levels);
    if (!*f->wish_error.msg) return;
    lull_grid_cell(g, "%s", "");
    lull_grid_cell(g, "%s", f->wish_error.msg);
}

static void print_facts(const findings *f)
{
    char a[LULL_FORMAT_CAP], b[LULL_FORMAT_CAP];
    lull_grid g;
    lull_grid_init(&g, "ll");
    lull_grid_cell(&g, "lull");
    lull_grid_cell(&g, "%s, numerics %s", lull_version(), f->class_name);
    lull_grid_cell(&g, "cpu");
    lull_grid_cell(&g, "%s, %d core%s usable", f->cpu, f->n_cores, f->n_cores == 1 ? "" : "s");
    print_levels(&g, f);
    lull_grid_cell(&g, "memory");
    lull_grid_cell(&g, "%s, %s available", lull_format_bytes(a, f->memory_bytes),
                   lull_format_bytes(b, f->available_bytes));
    lull_grid_cell(&g, "huge pages");
    lull_grid_cell(&g, "%s", f->huge_pages);
    lull_grid_cell(&g, "cache");
    if (*f->cache_error.msg)
        lull_grid_cell(&g, "nothing can be kept: %s", f->cache_error.msg);
    else
        lull_grid_cell(&g, "%s, %s free", f->cache, lull_format_bytes(a, f->cache_free_bytes));
    lull_grid_cell(&g, "libraries");
    lull_grid_cell(&g, "jansson %s, pcre2 %s, libsodium %s, sqlite %s, xxhash %s, libedit %s",
                   jansson_version_str(), f->pcre2, sodium_version_string(), sqlite3_libversion(),
                   f->xxhash, f->edit);
    lull_grid_print(&g, stdout, false);
    lull_grid_fini(&g);
}

static void print_forecast(const findings *f)
{
    const forecast *m = &f->model;
    char a[LULL_FORMAT_CAP];
    lull_grid g;
    lull_grid_init(&g, "lrl");
    lull_grid_cell(&g, "this model");
    lull_grid_cell(&g, "memory");
    lull_grid_cell(&g, "%s", m->architecture);
    lull_grid_cell(&g, "weights");
    lull_grid_cell(&g, "%s", lull_format_bytes(a, m->weight_bytes));
    lull_grid_cell(&g, "from the cache after the first start");
    lull_grid_cell(&g, "keys and values");
    lull_grid_cell(&g, "%s", lull_format_bytes(a, m->kv_bytes));
    lull_grid_cell(&g, "when all %zu positions are used, %s each", m->n_ctx,
                   lull_format_bytes(a, m->kv_token_bytes));
    lull_grid_cell(&g, "buffers");
    lull_grid_cell(&g, "%s", lull_format_bytes(a, m->work_bytes));
    lull_grid_cell(&g, "%s", "");
    lull_grid_cell(&g, "together");
    lull_grid_cell(&g, "%s", lull_format_bytes(a, forecast_total(m)));
    bool fits = forecast_total(m) <= f->available_bytes;
    lull_grid_cell(&g, "%s", fits ? "fits" : "more than is available; --ctx makes it less");
    lull_grid_print(&g, stdout, true);
    lull_grid_fini(&g);
}

static int print_json(const findings *f, const char *model)
{
    json_t *levels = json_array();
    for (int i = 0; i < LULL_CPU_N_LEVELS; i++)
        if (lull_cpu_has((lull_cpu_level)i))
            json_array_append_new(levels, json_string(lull_cpu_level_name((lull_cpu_level)i)));
    json_t *cpu = json_pack("{s:s, s:i, s:o, s:s}", "name", f->cpu, "cores", f->n_cores, "levels",
                            levels, "level", lull_cpu_level_name(f->level));
    json_t *memory =
        json_pack("{s:I, s:I, s:s}", "total_bytes", (json_int_t)f->memory_bytes, "available_bytes",
                  (json_int_t)f->available_bytes, "huge_pages", f->huge_pages);
    json_t *cache = json_pack("{s:o, s:b, s:I}", "path",
                              lull_cmd_json_text(f->cache, strlen(f->cache)), "is_writable",
                              !*f->cache_error.msg, "free_bytes", (json_int_t)f->cache_free_bytes);
    json_t *libraries =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "jansson", jansson_version_str(), "pcre2",
                  f->pcre2, "libsodium", sodium_version_string(), "sqlite", sqlite3_libversion(),
                  "xxhash", f->xxhash, "libedit", f->edit);
    json_t *object =
        json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "version", lull_version(), "numerics",
                  f->class_name, "cpu", cpu, "memory", memory, "cache", cache, "libraries",
                  libraries, "roofs", lull_cmd_roofs_json(f->roofs, f->n_roofs));
    const forecast *m = &f->model;
    if (object && model)
        json_object_set_new(
            object, "model",
            json_pack("{s:o, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:b}", "path",
                      lull_cmd_json_text(model, strlen(model)), "architecture", m->architecture,
                      "ctx", (json_int_t)m->n_ctx, "weight_bytes", (json_int_t)m->weight_bytes,
                      "kv_bytes", (json_int_t)m->kv_bytes, "kv_token_bytes",
                      (json_int_t)m->kv_token_bytes, "work_bytes", (json_int_t)m->work_bytes,
                      "total_bytes", (json_int_t)forecast_total(m), "fits",
                      forecast_total(m) <= f->available_bytes));
    return lull_cmd_print_json(object);
}

/* ---- the verb -------------------------------------------------------------------------------- */

int lull_cmd_doctor(int argc, char **argv)
{
    const char *model = NULL;
    int64_t n_ctx = 0;
    bool as_json = false;
    findings f = {.n_cores = lull_cpu_count(), .best = lull_cpu_best()};
    const lull_option options[] = {
        {'c', "ctx", "ctx-size", LULL_OPT_INT, &n_ctx, 1, 1 << 24, "N",
         "positions of the forecast (default: the model's)"},
        LULL_CMD_KV_OPTION(&f.numerics.kv),
        LULL_CMD_ACTIVATIONS_OPTION(&f.numerics.activations),
        {0, "json", NULL, LULL_OPT_FLAG, &as_json, 0, 0, NULL, "print JSON"},
    };
    const lull_cli cli = {.verb = "doctor",
                          .operands = "[MODEL]",
                          .about = "What lull finds on this machine, and how fast it reads and "
                                   "multiplies; with a model, the memory that it would take.",
                          .groups = {{"Options", options, sizeof options / sizeof *options}}};
    int rc = lull_cli_parse(&cli, argc, argv, &model);
    if (rc >= 0) return rc;

    lull_error err;
    f.wish = getenv("LULL_CPU");
    if (find_numerics(&f, &err) != LULL_OK) return lull_cmd_fail("doctor", &err);
    f.level = f.best;
    if (lull_cpu_level_parse(f.wish, &f.level, &f.wish_error) != LULL_OK) f.level = f.best;
    lull_cpu_brand(f.cpu, sizeof f.cpu);
    find_memory(&f); /* before the measurements take some */
    find_huge_pages(&f);
    find_cache(&f);
    find_libraries(&f);
    if (model && forecast_model(model, (size_t)n_ctx, &f, &f.model, &err) != LULL_OK)
        return lull_cmd_fail("doctor", &err);
    int n_threads[2] = {1, f.n_cores};
    f.n_roofs = f.n_cores > 1 ? 2 : 1;
    if (lull_roofs_measure(f.level, n_threads, (int)f.n_roofs, f.roofs, &err) != LULL_OK)
        return lull_cmd_fail("doctor", &err);

    rc = LULL_EXIT_OK;
    if (as_json) {
        rc = print_json(&f, model);
        if (*f.wish_error.msg) fprintf(stderr, "lull doctor: %s\n", f.wish_error.msg);
    } else {
        print_facts(&f);
        putchar('\n');
        lull_cmd_print_roofs(f.roofs, f.n_roofs);
        if (model) putchar('\n');
        if (model) print_forecast(&f);
    }
    /* A level that cannot be had makes every other verb fail. */
    return *f.wish_error.msg && rc == LULL_EXIT_OK ? LULL_EXIT_FAILED : rc;
}
