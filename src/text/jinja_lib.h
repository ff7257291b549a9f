/* What templates may call: filters, tests, methods of values, and global functions. */
#ifndef LULL_TEXT_JINJA_LIB_H
#define LULL_TEXT_JINJA_LIB_H

#include "jinja_value.h"

typedef struct jinja_args {
    jinja_value *items;
    size_t n;
    jinja_text *names; /* [n_named] of the named ones, whose values are in named */
    jinja_value *named;
    size_t n_named;
} jinja_args;

bool jinja_has_filter(jinja_text name);
bool jinja_has_test(jinja_text name);

/* Calling back into the interpreter, for filters such as map. */
typedef struct jinja_host {
    jinja_run *run;
    void *user;
    bool (*call)(void *user, const jinja_value *callee, const jinja_args *args, jinja_value *out);
} jinja_host;

/* False: the run has failed. */
bool jinja_apply_filter(jinja_host *h, jinja_text name, const jinja_value *v,
                        const jinja_args *args, jinja_value *out);
bool jinja_apply_test(jinja_host *h, jinja_text name, const jinja_value *v, const jinja_args *args,
                      bool *out);
/* object.name and object[key], in the order in which Jinja2 looks. */
bool jinja_get_attribute(jinja_run *r, const jinja_value *object, jinja_text name,
                         jinja_value *out);
bool jinja_get_item(jinja_run *r, const jinja_value *object, const jinja_value *key,
                    jinja_value *out);
/* A method found by jinja_get_attribute. */
bool jinja_call_method(jinja_host *h, const jinja_value *method, const jinja_args *args,
                       jinja_value *out);
/* The global of that name; false (and no failure) when there is none. */
bool jinja_find_global(jinja_text name, jinja_value *out);
bool jinja_call_global(jinja_host *h, const jinja_value *function, const jinja_args *args,
                       jinja_value *out);
/* a + b, a % b and so on. */
bool jinja_add(jinja_run *r, const jinja_value *a, const jinja_value *b, jinja_value *out);
bool jinja_contains(jinja_run *r, const jinja_value *container, const jinja_value *v, bool *out);

#endif
