"""Seven mouth parameters -> weights of the head's expression units.

The parameters, each 0..1: jaw, press, pucker, wide, ftuck, teeth, tongue. Weights
were tuned by eye on renders: lips sealed at press, lower lip on the upper teeth at
ftuck, both rows of teeth at teeth.
"""

import numpy as np

JAW, PRESS, PUCKER, WIDE, FTUCK, TEETH, TONGUE = range(7)


def expression(p: np.ndarray, smile: float = 0.12) -> dict[str, float]:
    """Expression units for the parameters `p` [7]; `smile` is the resting pull of the mouth's corners."""
    jaw, press, pucker, wide, ftuck, teeth, tongue = (float(x) for x in p)
    free = (1 - press) * (1 - ftuck)
    sealed = max(0.0, 1 - 4 * jaw - 3 * teeth - 3 * ftuck)  # The base mesh's lips stand a little apart at rest.
    return {
        "mouth-open": 0.62 * jaw + 0.03 * tongue,
        "mouth-compression": 0.55 * press,
        "mouth-pursing": 0.80 * pucker * (1 - 0.25 * jaw),
        "mouth-protusion": 0.16 * pucker + 0.10 * pucker * teeth,
        "mouth-retraction": 0.55 * wide,
        "mouth-corner-puller": smile * (1 - pucker) + 0.12 * wide,
        "mouth-elevation": 0.62 * ftuck + (0.16 * teeth + 0.10 * jaw) * free * (1 - pucker),
        "mouth-part-later": 0.30 * teeth * free * (1 - 0.5 * pucker) - 0.16 * max(sealed, press),
        "mouth-parling": 0.22 * teeth * free + 0.20 * min(jaw * 4, 1) * free * (1 - pucker),
        "mouth-depression-retraction": 0.30 * max(0.0, jaw - 0.25) * (1 - pucker),
        "mouth-eversion": 0.15 * pucker,
    }


def lift_tongue(tongue: np.ndarray, amount: float) -> np.ndarray:
    """Lifts the tip of the tongue's vertices [n,3] towards the upper teeth."""
    z = tongue[:, 2]
    tip = ((z - z.min()) / (z.max() - z.min())) ** 2
    return tongue + tip[:, None] * np.array([0.0, 0.11, 0.04]) * amount
