#include "cpu.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const level_names[LULL_CPU_N_LEVELS] = {"ref",    "avx2",       "avxvnni",
                                                           "avx512", "avx512vnni", "amx"};

/* The register states that the operating system saves on a context switch (Intel SDM vol. 1,
 * 13.3). */
static uint64_t saved_states(void)
{
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

/* The tile registers take 8 KiB of a thread's state: Linux (5.16 and later) wants to be asked before
 * they are used, once for all threads of the process. From then on every thread's signal frames are
 * so much larger, and alternate stacks too small for them are refused: so they are asked for only
 * when the level is used, not when levels are listed. */
enum { GET_XCOMP_SUPP = 0x1021, REQ_XCOMP_PERM = 0x1023, XTILEDATA = 18 };

static bool are_tiles_to_be_had(void)
{
    uint64_t features = 0;
    return syscall(SYS_arch_prctl, GET_XCOMP_SUPP, &features) == 0 && features >> XTILEDATA & 1;
}

static bool ask_for_tiles(void)
{
    return syscall(SYS_arch_prctl, REQ_XCOMP_PERM, XTILEDATA) == 0;
}

/* Of each level, whether the machine has what it adds to the one that it stands on. */
static void find_levels(bool has[LULL_CPU_N_LEVELS])
{
    enum { TILES = 3 << 17, AMX_TILE = 1 << 24, AMX_INT8 = 1 << 25, AVX_VNNI = 1 << 4 };
    enum { YMM = 0x6, ZMM = 0xe6 };
    uint32_t a, b, c, d, b7, c7, d7;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return;
    bool has_osxsave = c & bit_OSXSAVE, has_fma = c & bit_FMA, has_f16c = c & bit_F16C;
    if (!has_osxsave || !has_fma || !has_f16c) return;
    if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d7)) return;
    uint64_t states = saved_states();
    if ((states & YMM) != YMM || !(b7 & bit_AVX2)) return;
    has[LULL_CPU_AVX2] = true;
    has[LULL_CPU_AVXVNNI] = __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & AVX_VNNI);
    const uint32_t avx512 = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    if ((states & ZMM) != ZMM || (b7 & avx512) != avx512) return;
    has[LULL_CPU_AVX512] = true;
    has[LULL_CPU_AVX512VNNI] = c7 & bit_AVX512VNNI;
    bool has_tiles = (d7 & AMX_TILE) && (d7 & AMX_INT8) && (states & TILES) == TILES;
    has[LULL_CPU_AMX] = has[LULL_CPU_AVX512VNNI] && has_tiles && are_tiles_to_be_had();
}

void lull_cpu_brand(char *buf, int cap)
{
    uint32_t regs[12], a, b, c, d;
    snprintf(buf, (size_t)cap, "unknown");
    if (!__get_cpuid(0x80000000, &a, &b, &c, &d) || a < 0x80000004) return;
    for (uint32_t i = 0; i < 3; i++)
        __get_cpuid(0x80000002 + i, &regs[4 * i], &regs[4 * i + 1], &regs[4 * i + 2],
                    &regs[4 * i + 3]);
    const char *text = (const char *)regs;
    while (*text == ' ') text++;
    snprintf(buf, (size_t)cap, "%.*s", (int)((const char *)regs + sizeof regs - text), text);
}

#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>

static const char *const level_names[LULL_CPU_N_LEVELS] = {"ref", "neon"};

static void find_levels(bool has[LULL_CPU_N_LEVELS])
{
    has[LULL_CPU_NEON] = getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
}

/* The processor has no name of its own. The firmware of boards and of many servers gives one. */
void lull_cpu_brand(char *buf, int cap)
{
    snprintf(buf, (size_t)cap, "unknown");
    FILE *f = fopen("/sys/firmware/devicetree/base/model", "re");
    if (!f) return;
    char name[128];
    size_t n = fread(name, 1, sizeof name, f);
    fclose(f);
    if (n > 0) snprintf(buf, (size_t)cap, "%.*s", (int)n, name);
}

#else

static const char *const level_names[LULL_CPU_N_LEVELS] = {"ref"};

static void find_levels(bool has[LULL_CPU_N_LEVELS])
{
    (void)has;
}

void lull_cpu_brand(char *buf, int cap)
{
    snprintf(buf, (size_t)cap, "unknown");
}

#endif

bool lull_cpu_has(lull_cpu_level level)
{
    bool has[LULL_CPU_N_LEVELS] = {[LULL_CPU_REF] = true};
    find_levels(has);
    return has[level];
}

bool lull_cpu_enable(lull_cpu_level level)
{
    if (!lull_cpu_has(level)) return false;
#if defined(__x86_64__)
    if (level == LULL_CPU_AMX) return ask_for_tiles();
#endif
    return true;
}

lull_cpu_level lull_cpu_best(void)
{
    lull_cpu_level best = LULL_CPU_REF;
    for (int i = 0; i < LULL_CPU_N_LEVELS; i++) {
#if defined(__x86_64__)
        if (i == LULL_CPU_AMX) break;
#endif
        if (lull_cpu_has((lull_cpu_level)i)) best = (lull_cpu_level)i;
    }
    return best;
}

const char *lull_cpu_level_name(lull_cpu_level level)
{
    return level_names[level];
}

/* The names of all levels, or of those that the machine has. */
static void list_levels(bool of_machine, char *buf, size_t cap)
{
    *buf = '\0';
    for (int i = 0; i < LULL_CPU_N_LEVELS; i++) {
        size_t n = strlen(buf);
        if (of_machine && !lull_cpu_has((lull_cpu_level)i)) continue;
        snprintf(buf + n, cap - n, "%s%s", n > 0 ? ", " : "", level_names[i]);
    }
}

lull_status lull_cpu_level_parse(const char *name, lull_cpu_level *out, lull_error *err)
{
    char names[64];
    *out = lull_cpu_best();
    if (!name || !*name) return LULL_OK;
    for (int i = 0; i < LULL_CPU_N_LEVELS; i++) {
        if (strcmp(name, level_names[i]) != 0) continue;
        if (!lull_cpu_has((lull_cpu_level)i)) {
            list_levels(true, names, sizeof names);
            return lull_fail(err, LULL_EUNSUPPORTED,
                             "CPU level %s is not available here; there are %s", name, names);
        }
        if (!lull_cpu_enable((lull_cpu_level)i))
            return lull_fail(err, LULL_EUNSUPPORTED,
                             "Linux refuses CPU level %s to this process: a thread's alternate "
                             "signal stack may be too small",
                             name);
        *out = (lull_cpu_level)i;
        return LULL_OK;
    }
    list_levels(false, names, sizeof names);
    return lull_fail(err, LULL_EINVAL, "no CPU level '%s' on this architecture; there are %s", name,
                     names);
}
