"""llama.cpp's way to keep a sequence: llama_state_seq_save_file and llama_state_seq_load_file.

    peer_state.py MODEL.gguf THREADS N_TOKENS FOLDER

prints one JSON object: bytes, save_ms, load_ms (medians; not synced, as llama.cpp does it), prefill_ms,
and first_ms: one token after a restore. See peer.py.
"""
import json
import pathlib
import statistics
import sys
import time

import llama_cpp as L
from peer import Peer
from peer_tokens import any_tokens

TRIES = 7


def timed(function):
    start = time.perf_counter()
    result = function()
    return (time.perf_counter() - start) * 1000, result


def main():
    path, n_threads, n_tokens = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    file = pathlib.Path(sys.argv[4]) / "peer.state"
    peer = Peer(path, n_threads, n_tokens + 64)
    tokens = any_tokens(n_tokens, peer.n_vocab)
    prefill_ms, _ = timed(lambda: peer.feed(tokens))
    array = (L.llama_token * n_tokens)(*tokens)
    count = L.ctypes.c_size_t()
    out = (L.llama_token * n_tokens)()
    save, load, first = [], [], []
    for _ in range(TRIES):
        ms, n_bytes = timed(lambda: L.llama_state_seq_save_file(
            peer.ctx, str(file).encode(), 0, array, n_tokens))
        save.append(ms)
        peer.clear()
        ms, n_read = timed(lambda: L.llama_state_seq_load_file(
            peer.ctx, str(file).encode(), 0, out, n_tokens, L.ctypes.byref(count)))
        load.append(ms)
        if n_bytes == 0 or n_read != n_bytes:
            sys.exit("llama.cpp did not restore what it saved")
        peer.n_past = n_tokens
        ms, _ = timed(lambda: peer.feed([17]))
        first.append(ms)
        L.llama_memory_seq_rm(L.llama_get_memory(peer.ctx), 0, n_tokens, -1)
        peer.n_past = n_tokens
    file.unlink()
    print(json.dumps({"bytes": n_bytes, "save_ms": statistics.median(save),
                      "load_ms": statistics.median(load), "first_ms": statistics.median(first),
                      "prefill_ms": prefill_ms}))


if __name__ == "__main__":
    main()
