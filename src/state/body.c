#include "body.h"

#include <string.h>

void lull_body_put(lull_buffer *b, uint64_t v)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(v >> (8 * i));
    lull_buffer_append(b, bytes, 8);
}

void lull_body_put_text(lull_buffer *b, const char *text)
{
    size_t n = strlen(text);
    lull_body_put(b, n);
    lull_buffer_append(b, text, n);
}

/* View, or NULL. */
static const uint8_t *get_bytes(lull_body *b, size_t n)
{
    if (b->is_bad || n > b->n_left) {
        b->is_bad = true;
        return NULL;
    }
    const uint8_t *at = b->at;
    b->at += n;
    b->n_left -= n;
    return at;
}

uint64_t lull_body_get(lull_body *b)
{
    const uint8_t *p = get_bytes(b, 8);
    uint64_t v = 0;
    for (int i = 0; p && i < 8; i++) v |= (uint64_t)p[i] << (8 * i);
    return v;
}

size_t lull_body_get_count(lull_body *b, size_t each_bytes)
{
    uint64_t n = lull_body_get(b);
    if (n <= b->n_left / each_bytes) return (size_t)n;
    b->is_bad = true;
    return 0;
}

/* View, not terminated; never NULL. */
static const char *get_text(lull_body *b, size_t *n)
{
    *n = lull_body_get_count(b, 1);
    const uint8_t *text = get_bytes(b, *n);
    if (!text) *n = 0;
    return text ? (const char *)text : "";
}

void lull_body_get_name(lull_body *b, char name[LULL_NAME_MAX + 1])
{
    size_t n;
    const char *text = get_text(b, &n);
    if (n < 1 || n > LULL_NAME_MAX || memchr(text, '\0', n)) {
        b->is_bad = true;
        n = 0;
    }
    memcpy(name, text, n);
    name[n] = '\0';
}

void lull_state_body_put(lull_buffer *b, const lull_store_draft *draft, const char *name)
{
    lull_body_put(b, (uint64_t)draft->parent);
    lull_body_put(b, draft->n_window_pages);
    lull_body_put(b, draft->n_pages);
    lull_buffer_append(b, draft->pages, draft->n_pages * sizeof *draft->pages);
    lull_body_put_text(b, draft->card);
    lull_body_put_text(b, draft->session);
    lull_body_put_text(b, name ? name : "");
    lull_body_put(b, draft->n_tags);
    for (size_t i = 0; i < draft->n_tags; i++) lull_body_put_text(b, draft->tags[i]);
}

bool lull_state_body_get(const uint8_t *bytes, size_t n_bytes, lull_state_body *out)
{
    lull_body b = {.at = bytes, .n_left = n_bytes};
    *out = (lull_state_body){0};
    uint64_t parent = lull_body_get(&b);
    out->parent = parent <= INT64_MAX ? (int64_t)parent : 0;
    uint64_t n_window_pages = lull_body_get(&b);
    if (n_window_pages > LULL_WINDOW_PAGES_MAX) return false;
    out->n_window_pages = (size_t)n_window_pages;
    out->n_pages = lull_body_get_count(&b, 32);
    out->keys = get_bytes(&b, 32 * out->n_pages);
    out->card = get_text(&b, &out->card_bytes);
    out->session = get_text(&b, &out->session_bytes);
    size_t name_bytes;
    const char *name = get_text(&b, &name_bytes);
    if (name_bytes > LULL_NAME_MAX || memchr(name, '\0', name_bytes)) return false;
    memcpy(out->name, name, name_bytes);
    out->has_name = name_bytes > 0;
    out->n_tags = lull_body_get_count(&b, 8);
    out->tags = b;
    for (size_t i = 0; i < out->n_tags; i++) {
        char tag[LULL_NAME_MAX + 1];
        lull_body_get_name(&b, tag);
    }
    return !b.is_bad && b.n_left == 0 && !memchr(out->card, '\0', out->card_bytes) &&
           !memchr(out->session, '\0', out->session_bytes);
}
