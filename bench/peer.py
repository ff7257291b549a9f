"""llama.cpp through its C interface, as llama-bench drives it: llama_decode on batches of at most
512 tokens, flash attention on, keys and values in f16, sliding layers keep their window alone.

    peer.py MODEL.gguf THREADS TEST...      with TESTs such as pp512, tg64, tg64@4096

prints one JSON object: "load_ms" (model and context, without importing Python's side),
"first_token_ms" of a prompt of one token (when no TEST is given), "system" (what the build uses)
and "tok_s" of each test. Exit code 3: llama.cpp does not take the model. Needs the package
llama-cpp-python; bench/compare --install-peer builds it.
"""
import ctypes
import json
import re
import sys
import time

import llama_cpp as L

from peer_tokens import REFUSED, any_tokens, parse_test

BATCH = 512
FLASH_ATTENTION_ON = 1  # LLAMA_FLASH_ATTN_TYPE_ENABLED


@L.llama_log_callback
def _ignore(level, text, user):
    pass


class Peer:
    """A model and one context of n_ctx positions."""

    def __init__(self, path, n_threads, n_ctx):
        L.llama_log_set(_ignore, ctypes.c_void_p(0))
        L.llama_backend_init()
        start = time.perf_counter()
        params = L.llama_model_default_params()
        params.n_gpu_layers = 0
        self.model = L.llama_model_load_from_file(path.encode(), params)
        if not self.model:
            print(f"llama.cpp does not load {path}", file=sys.stderr)
            sys.exit(REFUSED)
        params = L.llama_context_default_params()
        params.n_ctx = n_ctx
        params.n_batch = params.n_ubatch = BATCH
        params.n_threads = params.n_threads_batch = n_threads
        params.flash_attn_type = FLASH_ATTENTION_ON
        params.swa_full = False
        params.no_perf = True
        self.ctx = L.llama_init_from_model(self.model, params)
        if not self.ctx:
            sys.exit(f"llama.cpp makes no context for {path}")
        self.load_ms = (time.perf_counter() - start) * 1000
        self.n_vocab = L.llama_vocab_n_tokens(L.llama_model_get_vocab(self.model))
        self.batch = L.llama_batch_init(BATCH, 0, 1)
        self.n_past = 0

    def clear(self):
        L.llama_memory_clear(L.llama_get_memory(self.ctx), True)
        self.n_past = 0

    def decode(self, tokens, wants_all=False):
        """Evaluate tokens after what is there. The last one has logits, or with wants_all each."""
        for first in range(0, len(tokens), BATCH):
            part = tokens[first:first + BATCH]
            for i, token in enumerate(part):
                self.batch.token[i] = token
                self.batch.pos[i] = self.n_past + i
                self.batch.n_seq_id[i] = 1
                self.batch.seq_id[i][0] = 0
                self.batch.logits[i] = wants_all or first + i == len(tokens) - 1
            self.batch.n_tokens = len(part)
            code = L.llama_decode(self.ctx, self.batch)
            if code != 0:
                sys.exit(f"llama_decode returns {code} after {self.n_past} tokens")
            self.n_past += len(part)
            if wants_all:
                yield L.llama_get_logits(self.ctx), len(part)
        L.llama_synchronize(self.ctx)

    def feed(self, tokens):
        for _ in self.decode(tokens):
            pass


def measure(peer, test):
    """Tokens a second in one pass of a test."""
    kind, n, depth = parse_test(test)
    tokens = any_tokens(depth + n, peer.n_vocab)
    if peer.n_past > depth:
        peer.clear()
    peer.feed(tokens[peer.n_past:depth])  # each test's tokens begin with those of a shorter one
    start = time.perf_counter()
    if kind == "pp":
        peer.feed(tokens[depth:])
    else:
        for token in tokens[depth:]:
            peer.feed([token])
    return n / (time.perf_counter() - start)


def main():
    path, n_threads, tests = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    peer = Peer(path, n_threads, max([BATCH, *(sum(parse_test(test)[1:]) for test in tests)]))
    first_token_ms = None
    if tests:
        measure(peer, "pp64")  # brings the weights in
    else:
        first_token_ms = 1000 / measure(peer, "pp1")
    print(json.dumps({
        "load_ms": peer.load_ms,
        "first_token_ms": first_token_ms,
        "system": "flash attention, f16 keys and values, batches of 512; " +
                  re.sub(r" *[|] *", ", ", L.llama_print_system_info().decode()).strip(", "),
        "version": f"llama-cpp-python {L.__version__}",
        "tok_s": {test: measure(peer, test) for test in tests},
    }))


if __name__ == "__main__":
    main()
