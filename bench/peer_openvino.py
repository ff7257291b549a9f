"""OpenVINO GenAI as its users run a GGUF file: LLMPipeline with the settings that it comes with,
but for the cache of prefixes, which would answer a repeated prompt without reading it, and for
prompts in pieces of 256 tokens.

    peer_openvino.py MODEL.gguf THREADS TEST...      with TESTs such as pp512, tg64, tg64@4096

prints one JSON object as peer.py does. Exit code 3: OpenVINO does not take the model. Needs the
package openvino-genai; bench/compare --install-peer installs it.
"""
import json
import re
import sys
import time

import numpy as np
import openvino
import openvino_genai

from peer_tokens import REFUSED, any_tokens, parse_test


def type_name(setting):
    """A setting of the CPU that is a type, such as bf16."""
    return openvino.Core().get_property("CPU", setting).get_type_name()


class Peer:
    """A pipeline for prompts of at most n_prompt tokens."""

    def __init__(self, path, n_threads, n_prompt):
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.enable_prefix_caching = False
        scheduler.max_num_batched_tokens = max(n_prompt, 256)
        scheduler.cache_size = 1  # GB
        start = time.perf_counter()
        try:
            self.pipeline = openvino_genai.LLMPipeline(path, "CPU", scheduler_config=scheduler,
                                                       INFERENCE_NUM_THREADS=n_threads)
        except (RuntimeError, IndexError) as e:
            print(f"OpenVINO does not load {path}: {str(e).strip()}", file=sys.stderr)
            sys.exit(REFUSED)
        self.load_ms = (time.perf_counter() - start) * 1000
        self.n_vocab = len(self.pipeline.get_tokenizer().get_vocab())

    def generate(self, tokens, n):
        """Milliseconds until the first of n tokens, and between each two of them."""
        config = openvino_genai.GenerationConfig()
        config.max_new_tokens = n
        config.ignore_eos = True
        config.do_sample = False
        prompt = openvino.Tensor(np.array([tokens], dtype=np.int64))
        metrics = self.pipeline.generate(prompt, config).perf_metrics
        if metrics.get_num_generated_tokens() != n or metrics.get_num_input_tokens() != len(tokens):
            sys.exit("OpenVINO did not read and write what it was asked to")
        return metrics.get_ttft().mean, metrics.get_tpot().mean if n > 1 else None


def measure(peer, test):
    kind, n, depth = parse_test(test)
    if kind == "pp":
        if depth:
            sys.exit(f"{test}: OpenVINO keeps nothing that a prompt could be appended to")
        tokens = any_tokens(n, peer.n_vocab)
        peer.generate(tokens, 1)  # what is compiled for the first prompt of a length
        return n / peer.generate(tokens, 1)[0] * 1000
    # The first token comes out of the prompt; then there are n steps.
    return 1000 / peer.generate(any_tokens(max(depth, 1), peer.n_vocab), n + 1)[1]


def main():
    path, n_threads, tests = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    peer = Peer(path, n_threads, max([sum(parse_test(test)[1:]) for test in tests], default=1))
    first_token_ms = None
    if tests:
        peer.generate(any_tokens(64, peer.n_vocab), 4)
    else:
        first_token_ms = peer.generate([1], 1)[0]
    print(json.dumps({
        "load_ms": peer.load_ms,
        "first_token_ms": first_token_ms,
        "system": (f"{type_name('INFERENCE_PRECISION_HINT')} arithmetic, "
                   f"{type_name('KV_CACHE_PRECISION')} keys and values"),
        "version": "openvino-genai " + re.match(r"[\d.]+", openvino_genai.__version__)[0],
        "tok_s": {test: measure(peer, test) for test in tests},
    }))


if __name__ == "__main__":
    main()
