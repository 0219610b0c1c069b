"""Fits BG/NBD by the package lifetimes whenever a line arrives; prints seconds and r, alpha, a, b."""

import sys
import time
import warnings

import numpy

warnings.filterwarnings("ignore")
from lifetimes import BetaGeoFitter  # noqa: E402

data = numpy.genfromtxt(sys.argv[1], delimiter=",", skip_header=1, usecols=(1, 2, 3))
print(len(data), flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    model = BetaGeoFitter(penalizer_coef=0.0).fit(data[:, 0], data[:, 1], data[:, 2])
    seconds = time.perf_counter() - start
    print(seconds, *(float(model.params_[name]) for name in ("r", "alpha", "a", "b")), flush=True)
