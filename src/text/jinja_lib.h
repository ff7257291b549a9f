/* What templates may call: filters, tests, methods of values, and global functions. */
#ifndef LULL_TEXT_JINJA_LIB_H
#define LULL_TEXT_JINJA_LIB_H

#include "jinja_value.h"

typedef struct lull_jinja_args {
    lull_jinja_value *items;
    size_t n;
    lull_jinja_text *names; /* [n_named] of the named ones, whose values are in named */
    lull_jinja_value *named;
    size_t n_named;
} lull_jinja_args;

/* Argument i, or the one of that name (may be NULL); NULL: neither is given. */
const lull_jinja_value *lull_jinja_arg(const lull_jinja_args *a, size_t i, const char *name);
/* Its truth, or `otherwise`. */
bool lull_jinja_arg_truth(const lull_jinja_args *a, size_t i, const char *name, bool otherwise);
/* False: it is given and of another type, and the run has failed. */
bool lull_jinja_arg_int(lull_jinja_run *r, const lull_jinja_args *a, size_t i, const char *name,
                        int64_t otherwise, int64_t *out);
/* *out is left alone when it is not given. */
bool lull_jinja_arg_text(lull_jinja_run *r, const lull_jinja_args *a, size_t i, const char *name,
                         lull_jinja_text *out);
/* Are the arguments such as what (its name) takes? parameters: their names, apart by spaces, of
 * which the first `least` must be given; one that ends in / cannot be given by name. */
bool lull_jinja_check_args(lull_jinja_run *r, const lull_jinja_args *a, const char *what,
                           const char *parameters, size_t least);

bool lull_jinja_has_filter(lull_jinja_text name);
bool lull_jinja_has_test(lull_jinja_text name);

/* Calling back into the interpreter, for filters such as map. */
typedef struct lull_jinja_host {
    lull_jinja_run *run;
    void *user;
    bool (*call)(void *user, const lull_jinja_value *callee, const lull_jinja_args *args,
                 lull_jinja_value *out);
} lull_jinja_host;

/* False: the run has failed. */
bool lull_jinja_apply_filter(lull_jinja_host *h, lull_jinja_text name, const lull_jinja_value *v,
                             const lull_jinja_args *args, lull_jinja_value *out);
bool lull_jinja_apply_test(lull_jinja_host *h, lull_jinja_text name, const lull_jinja_value *v,
                           const lull_jinja_args *args, bool *out);
/* object.name and object[key], in the order in which Jinja2 looks. */
bool lull_jinja_get_attribute(lull_jinja_run *r, const lull_jinja_value *object,
                              lull_jinja_text name, lull_jinja_value *out);
bool lull_jinja_get_item(lull_jinja_run *r, const lull_jinja_value *object,
                         const lull_jinja_value *key, lull_jinja_value *out);
/* A method found by lull_jinja_get_attribute. */
bool lull_jinja_call_method(lull_jinja_host *h, const lull_jinja_value *method,
                            const lull_jinja_args *args, lull_jinja_value *out);
/* A list of (key, value). */
bool lull_jinja_dict_items(lull_jinja_run *r, const lull_jinja_dict *d, lull_jinja_value *out);
/* The global of that name; false (and no failure) when there is none. */
bool lull_jinja_find_global(lull_jinja_text name, lull_jinja_value *out);
bool lull_jinja_call_global(lull_jinja_host *h, const lull_jinja_value *function,
                            const lull_jinja_args *args, lull_jinja_value *out);
/* a + b, a % b and so on. */
bool lull_jinja_add(lull_jinja_run *r, const lull_jinja_value *a, const lull_jinja_value *b,
                    lull_jinja_value *out);
bool lull_jinja_contains(lull_jinja_run *r, const lull_jinja_value *container,
                         const lull_jinja_value *v, bool *out);

#endif
