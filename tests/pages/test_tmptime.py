import time
from tests.pages.test_hooks import *


def test_t(registry, secret):
    send(registry, PUSH, secret)
    for n in (1, 1, 100, 1000, 5000):
        b = time.perf_counter()
        send(registry, many(n), secret)
        print(n, round((time.perf_counter() - b) * 1000, 1), "ms")
    b = time.perf_counter()
    send(registry, PULL, secret)
    print("pull", round((time.perf_counter() - b) * 1000, 1), "ms")
