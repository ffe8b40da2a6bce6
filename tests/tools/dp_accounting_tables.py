#!/usr/bin/env python3
"""Makes the golden tables of the privacy crate.

    python3 -m venv /tmp/dp && /tmp/dp/bin/pip install dp-accounting==0.6.0
    /tmp/dp/bin/python tests/tools/dp_accounting_tables.py privacy/tests/golden

`rdp.json` and `pld.json` come from Google's dp_accounting: ε at each δ after so many releases with Gaussian or discrete
Gaussian noise. Rows of discrete noise in `pld.json` have ε once more, summed here over the integers themselves without a
grid: dp_accounting 0.6.0 treats e^(-loss) as 0 where it underflows, and so returns too much for ε above some 700.
`skellam.json` is computed here with scipy: the Rényi divergence of two Skellam distributions Δ apart,
summed term by term, beside the closed bound that the crate charges.
"""

import json
import math
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from dp_accounting import dp_event
from dp_accounting.pld import privacy_loss_distribution as pld
from dp_accounting.rdp import RdpAccountant
from scipy import signal, special

ORDERS = [*range(2, 129), 160, 192, 256, 512, 1024]
RELEASES = [1, 10, 100, 1000]
DELTAS = [1e-5, 1e-6, 1e-7, 1e-8]
MULTIPLIERS = [0.7, 1.0, 2.0, 5.0, 20.0]
# (σ, Δ) of discrete noise on one integer.
DISCRETE = [(0.9, 1), (2.0, 1), (3.0, 4), (50.0, 10)]
SKELLAM_VARIANCES = [0.5, 2.0, 10.0, 100.0, 1000.0]
SKELLAM_SHIFTS = [1, 2, 8]
SKELLAM_ORDERS = [2, 3, 8, 32, 128]


def gaussian_event(multiplier):
    return dp_event.GaussianDpEvent(multiplier)


def concentrated_event(sigma, shift):
    """Discrete Gaussian noise is ρ-concentrated with ρ = Δ²/2σ²; dp_accounting's RDP has no event of its own for it."""
    return dp_event.ZCDpEvent(rho=shift**2 / (2 * sigma**2), xi=0.0)


def rdp_rows(event, releases):
    accountant = RdpAccountant(ORDERS)
    accountant.compose(event, releases)
    return [accountant.get_epsilon(delta) for delta in DELTAS]


def pld_rows(single, releases):
    composed = single.self_compose(releases) if releases > 1 else single
    return [composed.get_epsilon_for_delta(delta) for delta in DELTAS]


def cases(row_of_gaussian, row_of_discrete):
    rows = []
    for releases in RELEASES:
        for z in MULTIPLIERS:
            rows.append({"noise_multiplier": z, "releases": releases, "epsilons": row_of_gaussian(z, releases)})
        for sigma, shift in DISCRETE:
            epsilons = row_of_discrete(sigma, shift, releases)
            rows.append({"sigma": sigma, "sensitivity": shift, "releases": releases, "epsilons": epsilons})
    return rows


def rdp_table():
    return cases(
        lambda z, releases: rdp_rows(gaussian_event(z), releases),
        lambda sigma, shift, releases: rdp_rows(concentrated_event(sigma, shift), releases),
    )


def pld_table():
    connected = {"value_discretization_interval": 1e-4, "use_connect_dots": True}
    gaussian = {z: pld.from_gaussian_mechanism(z, **connected) for z in MULTIPLIERS}
    discrete = {key: pld.from_discrete_gaussian_mechanism(*key, **connected) for key in DISCRETE}
    rows = cases(
        lambda z, releases: pld_rows(gaussian[z], releases),
        lambda sigma, shift, releases: pld_rows(discrete[sigma, shift], releases),
    )
    for row in rows:
        if "sigma" in row:
            row["without_grid"] = integer_epsilons(row["sigma"], row["sensitivity"], row["releases"])
    return rows


def integer_epsilons(sigma, shift, releases):
    """ε from the distribution of the sum of all noises: the whole loss depends on that sum alone."""
    reach = int(12 * sigma) + 3
    numbers = np.arange(-reach, reach + 1)
    noise = np.exp(-(numbers**2) / (2 * sigma**2))
    total, power = np.array([1.0]), noise / noise.sum()
    for bit in reversed(f"{releases:b}"):
        total = signal.fftconvolve(total, power) if bit == "1" else total
        power = signal.fftconvolve(power, power)
    sums = np.arange(-reach * releases, reach * releases + 1)
    losses = (releases * shift**2 - 2 * shift * sums) / (2 * sigma**2)
    mass = np.maximum(total, 0.0)

    def delta_at(epsilon):
        above = losses > epsilon
        return float(-np.expm1(epsilon - losses[above]) @ mass[above])

    def epsilon_at(delta):
        low, high = 0.0, 1e4
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if delta_at(middle) > delta else (low, middle)
        return high

    return [epsilon_at(delta) for delta in DELTAS]


def log_skellam(variance, shift, order):
    """ln P(k), P(k) = e^(−μ) I_k(μ), for |k| as far out as a divergence of this order looks."""
    reach = int(20 * math.sqrt(variance) + 4 * order * shift + 200)
    # I_{k+1}/I_k by Gauss's continued fraction from far out, which is stable downwards.
    ratios = np.zeros(reach + 1)
    following = 0.0
    for k in range(reach, -1, -1):
        following = 1.0 / (2.0 * (k + 1) / variance + following)
        ratios[k] = following
    one_side = np.concatenate([[0.0], np.cumsum(np.log(ratios[:-1]))])
    one_side += math.log(special.ive(0, variance))
    return np.concatenate([one_side[:0:-1], one_side])


def renyi(variance, shift, order):
    """ln(Σ P(k)^α Q(k)^(1−α))/(α − 1), Q being P moved by the shift."""
    log_p = log_skellam(variance, shift, order)
    terms = order * log_p[shift:] + (1 - order) * log_p[:-shift]
    return float(special.logsumexp(terms) / (order - 1))


def skellam_bound(variance, shift, order):
    extra = ((2 * order - 1) * shift**2 + 6 * shift) / (4 * variance**2)
    return order * shift**2 / (2 * variance) + min(extra, 3 * shift / (2 * variance))


def skellam_table():
    rows = []
    for variance in SKELLAM_VARIANCES:
        for shift in SKELLAM_SHIFTS:
            for order in SKELLAM_ORDERS:
                direct, bound = renyi(variance, shift, order), skellam_bound(variance, shift, order)
                row = {"variance": variance, "shift": shift, "order": order, "direct": direct, "bound": bound}
                rows.append(row | {"excess": bound - direct})
    return rows


def write(path, source, rows, **columns):
    head = ",\n ".join(f'"{key}": {json.dumps(value)}' for key, value in {"source": source, **columns}.items())
    lines = ",\n  ".join(json.dumps(row) for row in rows)
    path.write_text(f'{{{head},\n "rows": [\n  {lines}\n ]}}\n', encoding="utf-8")


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    google = f"dp_accounting {version('dp-accounting')}"
    here = "direct sums in f64"
    write(folder / "skellam.json", here, skellam_table())
    write(folder / "rdp.json", f"{google}, RdpAccountant", rdp_table(), orders=ORDERS, deltas=DELTAS)
    write(folder / "pld.json", f"{google}, connected dots, grid 1e-4", pld_table(), deltas=DELTAS)


if __name__ == "__main__":
    main()
