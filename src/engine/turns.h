/* Whether a chat template lets a conversation grow at its end alone. Then the prompt of a turn is the
 * beginning of the next turn's, and nothing is computed twice. Some templates render earlier turns
 * differently: they drop what the model thought, or put tools or a system text in front of the last question. */
#ifndef LULL_ENGINE_TURNS_H
#define LULL_ENGINE_TURNS_H

#include "lull/lull.h"
#include "tokenizer.h"

/* The tokens of all that a request says. Failures of lull_chat_render_json and lull_tokenize. */
LULL_NODISCARD lull_status lull_turns_tokens(const lull_model *model,
                                             const lull_chat_request *request, lull_token_list *out,
                                             lull_error *err);
/* The tokens that the model got when message `at` of a request was due: those before it, and the
 * generation prompt; with_answer: then its content, as the model said it. */
LULL_NODISCARD lull_status lull_turns_prompt(const lull_model *model,
                                             const lull_chat_request *request, size_t at,
                                             bool with_answer, lull_token_list *out,
                                             lull_error *err);

enum { LULL_TURNS_NONE = -1 };

/* *message: the first answer of a request whose prompt is no beginning of the whole, or, with_answer, whose
 * prompt and content are not; LULL_TURNS_NONE: all are. The last token of a content may be another, as
 * it may be one with what follows. Prompts that the template refuses are passed over: they never were. */
LULL_NODISCARD lull_status lull_turns_check(const lull_model *model,
                                            const lull_chat_request *request, long *message,
                                            bool *with_answer, lull_error *err);
/* Tokens [n] part from the whole of a request behind n_common. *message: the first answer whose prompt,
 * or the prompt with the answer's content behind it, agrees with them for longer; then it is the template
 * that made the difference. LULL_TURNS_NONE: none does. */
LULL_NODISCARD lull_status lull_turns_blame(const lull_model *model,
                                            const lull_chat_request *request, const int32_t *tokens,
                                            size_t n, size_t n_common, long *message,
                                            lull_error *err);

#endif
