#include "cmd.h"
#include "grid.h"

json_t *lull_cmd_roofs_json(const lull_roofs *roofs, size_t n)
{
    json_t *list = json_array();
    for (const lull_roofs *r = roofs; r < roofs + n; r++)
        json_array_append_new(list, json_pack("{s:i, s:f, s:f, s:f}", "threads", r->n_threads,
                                              "read_bytes_s", r->read_bytes_s, "f32_fma_s",
                                              r->f32_fma_s, "int8_mac_s", r->int8_mac_s));
    return list;
}

void lull_cmd_print_roofs(const lull_roofs *roofs, size_t n)
{
    lull_grid g;
    lull_grid_init(&g, "lrrr");
    lull_grid_cell(&g, "this machine");
    lull_grid_cell(&g, "reads");
    lull_grid_cell(&g, "f32 multiply-adds");
    lull_grid_cell(&g, "int8 multiply-adds");
    for (const lull_roofs *r = roofs; r < roofs + n; r++) {
        lull_grid_cell(&g, "%d thread%s", r->n_threads, r->n_threads == 1 ? "" : "s");
        lull_grid_cell(&g, "%.1f GB/s", r->read_bytes_s * 1e-9);
        lull_grid_cell(&g, "%.1f G/s", r->f32_fma_s * 1e-9);
        lull_grid_cell(&g, "%.1f G/s", r->int8_mac_s * 1e-9);
    }
    lull_grid_print(&g, stdout, true);
    lull_grid_fini(&g);
}
