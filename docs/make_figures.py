"""Draw the pictures of docs/figures.md from the results of the quickstart.

mcstudy run configs/quickstart.py
python docs/make_figures.py results/quickstart
"""

import sys
from pathlib import Path

from mcstudy import open_results

HERE = Path(__file__).parent / "figures"
GROUP2 = {"estimand": "group2_var", "group1_sd": 2.0}
PICTURES = {
    "coverage": ("coverage", {"where": {"estimand": "group2_var"}}),
    "zip": ("zip", {"where": {**GROUP2, "interval": ["reported", "wald"]}}),
    "estimates": ("estimates", {"where": {"estimand": "group1_var"}}),
    "statuses": ("statuses", {}),
}

if __name__ == "__main__":
    results = open_results(sys.argv[1])
    for picture, (name, options) in PICTURES.items():
        results.plot(name, **options).save(HERE / f"{picture}.svg")
